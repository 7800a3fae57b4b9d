"""offlineimap3 keeps Maildirs and the account in step, in both directions."""

import unittest

import server
import waiting
from clients import ClientTest, drop, flag, make_maildir, maildir
from test_imaplib import ok

CONFIG = """\
[general]
accounts = account
metadata = {folder}/state
ui = basic
socktimeout = {seconds}

[Account account]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {folder}/mail
sep = /

[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = {user}
remotepass = {password}
auth_mechanisms = PLAIN, LOGIN
ssl = {ssl}
starttls = no
{tls}
"""


class OfflineImap(ClientTest):
    program = "offlineimap"

    def setUp(self):
        super().setUp()
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        self.config = self.folder / "offlineimaprc"
        self.configure(self.server.imap, "no", "")

    def configure(self, port, ssl, tls):
        self.config.write_text(
            CONFIG.format(
                folder=self.folder,
                port=port,
                user=self.account,
                password=server.PASSWORD,
                ssl=ssl,
                tls=tls,
                seconds=waiting.SECONDS,
            )
        )

    def sync(self):
        said = self.call(["offlineimap", "-c", self.config, "-o", "-1"])
        for line in said.splitlines():
            for word in ("ERROR", "WARNING", "Traceback", "BAD ", "error"):
                self.assertNotIn(word, line, said[-4000:])
        return said

    def test_a_full_pull_brings_every_folder_of_a_tree(self):
        self.fill("INBOX", range(1, 31))
        ok(self.imap.create("Projects/Boathouse"))
        self.fill("Projects/Boathouse", range(50, 53), "\\Seen \\Flagged")
        self.sync()
        self.assertEqual(set(maildir(self.mail / "INBOX")), set(range(1, 31)))
        self.assertEqual(maildir(self.mail / "Projects/Boathouse")[51][1], {"F", "S"})

    def test_flags_new_mail_and_deletions_go_both_ways(self):
        self.fill("INBOX", range(1, 9))
        self.sync()
        inbox = self.mail / "INBOX"
        local = maildir(inbox)
        flag(local[1][0], "FS")
        flag(local[2][0], "RS")
        local[3][0].unlink()
        self.store("INBOX", 4, "+FLAGS", "(\\Flagged \\Answered)")
        self.remove("INBOX", 5)
        drop(inbox, 20)
        self.fill("INBOX", [21], "\\Seen")
        self.sync()
        there = self.mailbox("INBOX")
        here = {number: letters for number, (_, letters) in maildir(inbox).items()}
        self.assertEqual(set(there), {1, 2, 4, 6, 7, 8, 20, 21})
        self.assertEqual(set(here), set(there))
        self.assertEqual(there[1], {"\\Flagged", "\\Seen"})
        self.assertEqual(there[2], {"\\Answered", "\\Seen"})
        self.assertEqual(here[4], {"F", "R"})
        self.assertEqual(here[21], {"S"})

    def test_folders_are_made_on_both_sides(self):
        self.sync()
        make_maildir(self.mail / "Local")
        drop(self.mail / "Local", 1)
        ok(self.imap.create("Remote/Deep"))
        self.fill("Remote/Deep", [2])
        self.sync()
        self.assertEqual(self.numbers("Local"), {1})
        self.assertEqual(set(maildir(self.mail / "Remote/Deep")), {2})

    def test_the_same_over_tls(self):
        if self.server.imaps is None:
            self.skipTest("a server without TLS")
        import hashlib
        import ssl

        pem = ssl.get_server_certificate(("127.0.0.1", self.server.imaps))
        print_ = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        self.fill("INBOX", [1, 2])
        self.configure(self.server.imaps, "yes", f"cert_fingerprint = {print_}")
        self.sync()
        self.assertEqual(set(maildir(self.mail / "INBOX")), {1, 2})


if __name__ == "__main__":
    unittest.main()
