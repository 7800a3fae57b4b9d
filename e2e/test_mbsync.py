"""mbsync (isync) keeps a Maildir and the account in step, in both directions."""

import re
import ssl
import unittest

import server
import waiting
from clients import ClientTest, drop, flag, make_maildir, maildir
from test_imaplib import ok

CONFIG = """\
IMAPAccount account
Host {host}
Port {port}
User {user}
Pass {password}
Timeout {seconds}
AuthMechs LOGIN
{tls}

IMAPStore far
Account account

MaildirStore near
SubFolders Verbatim
Path {folder}/mail/
Inbox {folder}/mail/INBOX

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""


class Mbsync(ClientTest):
    program = "mbsync"

    def setUp(self):
        super().setUp()
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        self.config = self.folder / "mbsyncrc"
        self.configure(self.server.imap, "SSLType None")

    def configure(self, port, tls):
        text = CONFIG.format(
            # A certificate is made out to a name; mbsync does not look for addresses in it.
            host="localhost" if "Certificate" in tls else "127.0.0.1",
            port=port,
            user=self.account,
            password=server.PASSWORD,
            folder=self.folder,
            tls=tls,
            seconds=waiting.SECONDS,
        )
        self.config.write_text(text)

    def sync(self):
        said = self.call(["mbsync", "-c", self.config, "-Dn", "-a"])
        for line in said.splitlines():
            if "Password is being sent in the clear" in line:
                continue
            trouble = re.search(r"Warning|Error|error:|unexpected|^(\d+|\*) BAD ", line)
            self.assertIsNone(trouble, f"{line}\n{said[-4000:]}")
        return said

    def test_a_full_pull_brings_every_folder_of_a_tree(self):
        self.fill("INBOX", range(1, 41))
        for name in ("Projects", "Projects/Boathouse", '"Projects/Boathouse/Roof and walls"'):
            ok(self.imap.create(name))
        self.fill("Projects/Boathouse", range(50, 53), "\\Seen")
        self.fill('"Projects/Boathouse/Roof and walls"', [60], "\\Flagged \\Seen")
        self.sync()
        self.assertEqual(set(maildir(self.mail / "INBOX")), set(range(1, 41)))
        self.assertEqual(maildir(self.mail / "Projects/Boathouse")[51][1], {"S"})
        deep = maildir(self.mail / "Projects/Boathouse/Roof and walls")
        self.assertEqual(deep[60][1], {"F", "S"})
        for name in ("Drafts", "Sent", "Junk", "Trash", "Archive"):
            self.assertTrue((self.mail / name / "cur").is_dir(), name)
        again = self.sync()
        changes = re.findall(r">>> \d+ (?:UID )?(?:APPEND|STORE|FETCH \S+ \(BODY).*", again)
        self.assertEqual(changes, [], "a second run has nothing to do")

    def test_flags_new_mail_and_deletions_go_both_ways(self):
        self.fill("INBOX", range(1, 9))
        self.sync()
        inbox = self.mail / "INBOX"
        local = maildir(inbox)
        flag(local[1][0], "FS")
        flag(local[2][0], "RS")
        flag(local[3][0], "ST")
        self.store("INBOX", 4, "+FLAGS", "(\\Flagged \\Answered)")
        self.remove("INBOX", 5)
        drop(inbox, 20)
        self.fill("INBOX", [21], "\\Seen")
        self.sync()
        self.sync()
        there = self.mailbox("INBOX")
        here = {number: letters for number, (_, letters) in maildir(inbox).items()}
        self.assertEqual(set(there), {1, 2, 4, 6, 7, 8, 20, 21})
        self.assertEqual(set(here), set(there))
        self.assertEqual(there[1], {"\\Flagged", "\\Seen"})
        self.assertEqual(there[2], {"\\Answered", "\\Seen"})
        self.assertEqual(here[4], {"F", "R"})
        self.assertEqual(here[21], {"S"})
        local = maildir(inbox)
        flag(local[1][0], "")
        self.store("INBOX", 4, "-FLAGS", "(\\Flagged \\Answered)")
        self.sync()
        self.assertEqual(self.mailbox("INBOX")[1], set())
        self.assertEqual(maildir(inbox)[4][1], set())

    def test_folders_are_made_renamed_and_removed_on_both_sides(self):
        self.sync()
        make_maildir(self.mail / "Local/Deep")
        drop(self.mail / "Local/Deep", 1)
        ok(self.imap.create("Remote/Deep"))
        self.fill("Remote/Deep", [2])
        self.sync()
        self.assertEqual(self.numbers("Local/Deep"), {1})
        self.assertEqual(set(maildir(self.mail / "Remote/Deep")), {2})
        # To mbsync a renamed mailbox is a new one and one that is gone. It removes only what
        # is empty, so the mail is moved first, as its manual asks.
        self.remove("Remote/Deep", 2)
        self.sync()
        ok(self.imap.unselect() if "UNSELECT" in self.imap.capabilities else self.imap.close())
        ok(self.imap.rename("Remote/Deep", "Remote/Deeper"))
        self.fill("Remote/Deeper", [3])
        self.sync()
        self.assertFalse((self.mail / "Remote/Deep/cur").exists())
        self.assertEqual(set(maildir(self.mail / "Remote/Deeper")), {3})
        self.assertIn("Remote/Deeper", self.mailboxes())

    def test_the_same_over_tls(self):
        if self.server.imaps is None:
            self.skipTest("a server without TLS")
        certificate = self.folder / "certificate.pem"
        certificate.write_text(ssl.get_server_certificate(("127.0.0.1", self.server.imaps)))
        self.fill("INBOX", range(1, 4))
        self.configure(self.server.imaps, f"SSLType IMAPS\nCertificateFile {certificate}")
        self.sync()
        self.assertEqual(set(maildir(self.mail / "INBOX")), {1, 2, 3})
        self.configure(self.server.starttls, f"SSLType STARTTLS\nCertificateFile {certificate}")
        self.fill("INBOX", [4])
        self.sync()
        self.assertEqual(set(maildir(self.mail / "INBOX")), {1, 2, 3, 4})


if __name__ == "__main__":
    unittest.main()
