"""SMTP from anybody and submission by the people here, spoken by swaks and Python's smtplib."""

import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import unittest

import server
import waiting
import wire
from test_imaplib import message

UNVOUCHED = ssl.create_default_context()
UNVOUCHED.check_hostname = False
UNVOUCHED.verify_mode = ssl.CERT_NONE

BAD_ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n.\r\r\n", b"\r.\r\n"]


def reply(lines):
    """One reply with all its lines. RFC 5321 §4.2.1"""
    text = line = lines.readline()
    while line[3:4] == b"-":
        line = lines.readline()
        text += line
    return text


class Smtp(unittest.TestCase):
    def setUp(self):
        self.server = server.shared()
        if self.server.smtp is None:
            self.skipTest("a server without SMTP")
        self.first = self.server.account("smtp-first@mail.example")
        self.second = self.server.account("smtp-second@mail.example")

    def messages(self, account, mailbox=b"INBOX"):
        client = wire.Client(self.server.imap, account, server.PASSWORD)
        client.run(b"EXAMINE %s" % mailbox)
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[])")
        client.logout()
        return [wire.fetched(line)[b"BODY[]"] for line in reply.all(b"FETCH")]

    def grown(self, account, count):
        """The messages of INBOX once there are so many: what is submitted goes through the queue."""
        def found():
            messages = self.messages(account)
            return messages if len(messages) >= count else None

        messages = waiting.until(found, f"message {count}")
        self.assertEqual(len(messages), count)
        return messages

    def connect(self):
        smtp = smtplib.SMTP("127.0.0.1", self.server.smtp)
        self.addCleanup(smtp.close)
        return smtp

    def log_in(self):
        smtp = smtplib.SMTP("127.0.0.1", self.server.submission)
        self.addCleanup(smtp.close)
        smtp.starttls(context=UNVOUCHED)
        smtp.login(self.first, server.PASSWORD)
        return smtp

    def test_mail_for_two_arrives_over_starttls_behind_one_reply(self):
        before = len(self.messages(self.first)), len(self.messages(self.second))
        smtp = self.connect()
        smtp.starttls(context=UNVOUCHED)
        refused = smtp.sendmail(
            "office@harbour.example",
            [self.first, "nobody@mail.example", self.second, "x@elsewhere.example"],
            message(1),
        )
        self.assertEqual(refused["nobody@mail.example"][0], 550)
        self.assertEqual(refused["x@elsewhere.example"], (550, b"5.7.1 No relaying"))
        found = self.messages(self.first), self.messages(self.second)
        self.assertEqual(tuple(map(len, found)), (before[0] + 1, before[1] + 1))
        self.assertIn(b" with ESMTPS id ", found[0][-1])
        self.assertTrue(found[1][-1].endswith(message(1)))

    def test_extensions_are_offered_and_dots_survive(self):
        smtp = self.connect()
        smtp.ehlo("client.example")
        for name in ("pipelining", "8bitmime", "smtputf8", "chunking", "size", "limits"):
            self.assertTrue(smtp.has_extn(name), name)
        for name in ("auth", "dsn", "requiretls", "binarymime"):
            self.assertFalse(smtp.has_extn(name), name)
        text = message(2) + b".\r\n..\r\n.hidden\r\nend\r\n"
        smtp.sendmail("", [self.second], text)
        self.assertTrue(self.messages(self.second)[-1].endswith(text))

    def dial(self):
        raw = socket.create_connection(("127.0.0.1", self.server.smtp), timeout=waiting.SECONDS)
        self.addCleanup(raw.close)
        return raw, raw.makefile("rb")

    def raw(self, pieces):
        """Sends pieces, each when the one before has all its replies; returns all that was replied."""
        raw, lines = self.dial()
        replies = reply(lines)
        for piece, count in pieces:
            raw.sendall(piece)
            for _ in range(count):
                replies += reply(lines)
        raw.sendall(b"QUIT\r\n")
        return replies + lines.read()

    def test_a_message_hidden_in_a_message_is_refused_with_it(self):
        before = len(self.messages(self.second))
        to = self.second.encode()
        for end in BAD_ENDS:
            envelope = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<%s>\r\nDATA\r\n" % to
            text = b"Subject: x\r\n\r\nx" + end + envelope + b"Subject: evil\r\n\r\nevil\r\n.\r\n"
            replies = self.raw([(b"EHLO a.example\r\n", 1), (envelope, 3), (text, 1)])
            self.assertIn(b"550 5.6.0", replies, end)
            self.assertEqual(replies.count(b"354"), 1, end)
        self.assertEqual(len(self.messages(self.second)), before)

    def test_who_does_not_wait_for_the_greeting_is_sent_away(self):
        if "PILLARBOX_AT" in os.environ:
            self.skipTest("needs a server that can be stopped for a moment")
        # The system takes connections for a server that is stopped. So the server finds what was sent when it looks for the first
        # time, however slow we are.
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            raw, lines = self.dial()
            raw.sendall(b"EHLO junk.example\r\nMAIL FROM:<a@b.example>\r\n")
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        replies = lines.read()
        self.assertTrue(replies.startswith(b"554 "), replies)
        self.assertEqual(replies.count(b"\r\n"), 1)

    def test_commands_behind_starttls_are_never_answered(self):
        raw, lines = self.dial()
        reply(lines)
        raw.sendall(b"EHLO a.example\r\n")
        reply(lines)
        raw.sendall(b"STARTTLS\r\nMAIL FROM:<evil@b.example>\r\nNOOP\r\n")
        replies = b""
        try:
            while more := raw.recv(4096):
                replies += more
        except ConnectionError:
            pass
        self.assertTrue(replies.startswith(b"220 2.0.0 Begin TLS\r\n"), replies)
        self.assertNotIn(b"250", replies)

    def test_a_submitted_message_is_completed(self):
        before = len(self.messages(self.second))
        text = f"From: First <{self.first}>\r\nBcc: x@y.example\r\nSubject: s\r\n\r\nbody\r\n"
        self.log_in().sendmail(self.first, [self.second], text)
        found = self.grown(self.second, before + 1)
        self.assertIn(b" with ESMTPSA id ", found[-1])
        self.assertIn(b"\r\nMessage-ID: <", found[-1])
        self.assertIn(b"\r\nDate: ", found[-1])
        self.assertNotIn(b"Bcc", found[-1])

    def test_submission_needs_a_login_and_ones_own_name(self):
        smtp = smtplib.SMTP("127.0.0.1", self.server.submission)
        self.addCleanup(smtp.close)
        smtp.ehlo()
        self.assertEqual(smtp.mail(self.first)[0], 530)
        with self.assertRaises(smtplib.SMTPAuthenticationError):
            smtp.login(self.first, "wrong-horse")
        smtp = self.log_in()
        self.assertEqual(smtp.mail(self.second)[0], 553)
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            smtp.sendmail(self.first, [self.second], f"From: {self.second}\r\n\r\nx\r\n")
        self.assertEqual(refused.exception.smtp_code, 550)
        smtp.mail(self.first)
        self.assertEqual(smtp.rcpt("x@elsewhere.example")[0], 550)

    def test_submission_over_tls_from_the_start(self):
        before = len(self.messages(self.second))
        with smtplib.SMTP_SSL(
            "127.0.0.1", self.server.submissions, context=UNVOUCHED
        ) as smtp:
            smtp.login(self.first, server.PASSWORD)
            text = f"From: {self.first}\r\nSubject: tls\r\n\r\nbody\r\n"
            smtp.sendmail(self.first, [self.second], text)
        self.assertIn(b"Subject: tls", self.grown(self.second, before + 1)[-1])

    def test_an_alias_is_added_used_and_removed(self):
        alias = ("alias", "add", "both@mail.example", "--to", self.first, "--to", self.second)
        self.server.run(*alias)
        listed = self.server.run("alias", "list")
        self.assertIn(f"both@mail.example: {self.first} {self.second}\n", listed)
        before = len(self.messages(self.first)), len(self.messages(self.second))
        self.connect().sendmail("a@b.example", ["both+x@mail.example"], message(3))
        after = len(self.messages(self.first)), len(self.messages(self.second))
        self.assertEqual(after, (before[0] + 1, before[1] + 1))
        self.server.run("alias", "remove", "both@mail.example")
        smtp = self.connect()
        smtp.ehlo()
        smtp.mail("a@b.example")
        self.assertEqual(smtp.rcpt("both@mail.example")[0], 550)


class Swaks(unittest.TestCase):
    def setUp(self):
        self.server = server.shared()
        if self.server.smtp is None or shutil.which("swaks") is None:
            self.skipTest("no SMTP, or no swaks")
        self.first = self.server.account("swaks-first@mail.example")
        self.second = self.server.account("swaks-second@mail.example")

    def swaks(self, port, *words):
        command = ["swaks", "--server", "127.0.0.1", "--port", str(port), "--timeout", str(waiting.SECONDS), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=waiting.SECONDS, check=False)

    def test_mail_is_delivered_pipelined_and_plain(self):
        for words in ([], ["--pipeline"], ["--protocol", "SMTP"]):
            done = self.swaks(
                self.server.smtp, "--from", "a@b.example", "--to", self.first, *words
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_unknown_recipients_and_relaying_are_refused(self):
        for to in ("nobody@mail.example", "x@elsewhere.example"):
            done = self.swaks(self.server.smtp, "--from", "a@b.example", "--to", to)
            # 24: no recipient was accepted.
            self.assertEqual(done.returncode, 24, done.stdout)

    def test_every_password_mechanism_hands_mail_in(self):
        for mechanism in ("PLAIN", "LOGIN"):
            done = self.swaks(
                self.server.submission,
                *("--from", self.first, "--to", self.second),
                *("--auth", mechanism, "--auth-user", self.first),
                *("--auth-password", server.PASSWORD),
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        wrong = self.swaks(
            self.server.submission,
            *("--from", self.first, "--to", self.second, "--auth", "PLAIN"),
            *("--auth-user", self.first, "--auth-password", "wrong"),
        )
        # 28: the login was refused.
        self.assertEqual(wrong.returncode, 28, wrong.stdout)


if __name__ == "__main__":
    unittest.main()
