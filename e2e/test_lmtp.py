"""Delivery by LMTP: a reply for each recipient, addresses with detail, TCP and a socket."""

import smtplib
import unittest

import server
import wire
from test_imaplib import message


class Lmtp(unittest.TestCase):
    def setUp(self):
        self.server = server.shared()
        self.first = self.server.account("lmtp-first@mail.example")
        self.second = self.server.account("lmtp-second@mail.example")

    def connect(self):
        lmtp = smtplib.LMTP("127.0.0.1", self.server.lmtp)
        self.addCleanup(lmtp.close)
        lmtp.ehlo("client.example")
        return lmtp

    def messages(self, account, mailbox=b"INBOX"):
        client = wire.Client(self.server.imap, account, server.PASSWORD)
        client.run(b"EXAMINE %s" % mailbox)
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[])")
        client.logout()
        return [wire.fetched(line)[b"BODY[]"] for line in reply.all(b"FETCH")]

    def test_each_recipient_gets_a_reply_of_its_own(self):
        before = len(self.messages(self.first)), len(self.messages(self.second))
        lmtp = self.connect()
        lmtp.mail("office@harbour.example")
        self.assertEqual(lmtp.rcpt(self.first)[0], 250)
        self.assertEqual(lmtp.rcpt("nobody@mail.example")[0], 550)
        self.assertEqual(lmtp.rcpt(self.second)[0], 250)
        # smtplib reads one reply after the text; RFC 2033 §4.2 promises one for each recipient.
        code, _ = lmtp.data(message(1))
        self.assertEqual(code, 250)
        self.assertEqual(lmtp.getreply()[0], 250)
        self.assertEqual(lmtp.noop()[0], 250)
        after = len(self.messages(self.first)), len(self.messages(self.second))
        self.assertEqual(after, (before[0] + 1, before[1] + 1))

    def test_detail_after_a_plus_still_finds_the_account(self):
        name, domain = self.first.split("@")
        before = len(self.messages(self.first))
        self.connect().sendmail("a@b.example", [f"{name}+lists@{domain}"], message(2))
        found = self.messages(self.first)
        self.assertEqual(len(found), before + 1)
        self.assertTrue(found[-1].endswith(message(2)))

    def test_dots_at_the_start_of_lines_survive(self):
        text = message(3) + b".\r\n..\r\n.hidden\r\nend\r\n"
        self.connect().sendmail("a@b.example", [self.second], text)
        self.assertTrue(self.messages(self.second)[-1].endswith(text))

    def test_an_empty_sender_is_a_bounce(self):
        self.connect().sendmail("", [self.second], message(4))
        found = self.messages(self.second)[-1]
        self.assertIn(b"Return-Path: <>\r\n", found)

    def test_the_same_over_a_socket_in_the_file_system(self):
        if self.server.socket is None:
            self.skipTest("a server without a socket")
        lmtp = smtplib.LMTP(str(self.server.socket))
        lmtp.sendmail("a@b.example", [self.second], message(5))
        lmtp.quit()
        self.assertTrue(self.messages(self.second)[-1].endswith(message(5)))


if __name__ == "__main__":
    unittest.main()
