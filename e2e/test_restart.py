"""What was acknowledged is there after a stop, and after a crash."""

import imaplib
import os
import smtplib
import unittest

import server
import wire
from test_imaplib import message, ok


@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts and stops a server of its own")
class Restart(unittest.TestCase):
    def setUp(self):
        self.server = server.Server().start()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        self.account = self.server.account("desk@mail.example")

    def login(self):
        client = imaplib.IMAP4("127.0.0.1", self.server.imap)
        ok(client.login(self.account, server.PASSWORD))
        return client

    def change(self):
        """A few changes of every kind; returns what must be there afterwards."""
        client = self.login()
        for number in range(1, 6):
            ok(client.append("INBOX", "", None, message(number)))
        ok(client.create("Projects/Boathouse"))
        ok(client.select("INBOX"))
        ok(client.uid("STORE", "1", "+FLAGS", "(\\Flagged keep)"))
        ok(client.uid("MOVE", "2", "Projects/Boathouse"))
        ok(client.uid("STORE", "3", "+FLAGS", "(\\Deleted)"))
        ok(client.expunge())
        lmtp = smtplib.LMTP("127.0.0.1", self.server.lmtp)
        lmtp.sendmail("office@harbour.example", [self.account], message(9))
        lmtp.quit()
        return self.picture()

    def picture(self):
        client = wire.Client(self.server.imap, self.account, server.PASSWORD)
        found = {}
        for name in (b"INBOX", b"Projects/Boathouse"):
            selected = client.run(b"EXAMINE %s" % name)
            state = sorted(
                line[1] for line in selected.untagged if line[0] == b"OK" and b"UID" in line[1]
            )
            reply = client.run(b"UID FETCH 1:* (FLAGS INTERNALDATE EMAILID MODSEQ BODY.PEEK[])")
            rows = [wire.fetched(line) for line in reply.all(b"FETCH")]
            for row in rows:
                # Recent belongs to whoever looks first.
                row[b"FLAGS"] = sorted(set(row[b"FLAGS"]) - {b"\\Recent"})
            found[name] = (state, rows)
        client.logout()
        return found

    def test_a_stop_says_bye_and_loses_nothing(self):
        before = self.change()
        watcher = wire.Client(self.server.imap, self.account, server.PASSWORD)
        watcher.run(b"SELECT INBOX")
        watcher.idle()
        self.assertEqual(self.server.stop(), [])
        self.assertEqual(watcher.response()[0], b"BYE")
        self.server.start()
        self.assertEqual(self.picture(), before)

    def test_a_crash_loses_nothing_that_was_acknowledged(self):
        before = self.change()
        self.server.kill()
        self.server.start()
        self.assertEqual(self.picture(), before)
        self.assertEqual(self.server.stop(), [])
        self.server.run("check")


if __name__ == "__main__":
    unittest.main()
