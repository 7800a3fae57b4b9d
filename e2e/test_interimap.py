"""interimap keeps two accounts in step by QRESYNC: what one session is told is what it has."""

import imaplib
import unittest

import server
from clients import ClientTest
from test_imaplib import ok

SIDE = """
[{side}]
type = imap
host = 127.0.0.1
port = {port}
STARTTLS = NO
auth = PLAIN LOGIN
username = {user}
password = {password}
"""


class InterImap(ClientTest):
    program = "interimap"

    def setUp(self):
        super().setUp()
        self.other = self.server.account(self.account.replace("interimap-", "far-", 1))
        self.near = self.imap
        self.far = imaplib.IMAP4("127.0.0.1", self.server.imap)
        ok(self.far.login(self.other, server.PASSWORD))
        self.addCleanup(self.far.logout)
        text = f"database = {self.folder}/state.db\n"
        for side, user in (("local", self.account), ("remote", self.other)):
            text += SIDE.format(
                side=side, port=self.server.imap, user=user, password=server.PASSWORD
            )
        self.config = self.folder / "config"
        self.config.write_text(text)
        self.config.chmod(0o600)

    def sync(self):
        said = self.call(["interimap", "--config", self.config, "--debug"])
        for line in said.splitlines():
            for word in (" BAD ", "Error", "WARNING", "unexpected", "Invalid"):
                # A parent comes with its child, and is then made once more.
                if "ALREADYEXISTS" not in line:
                    self.assertNotIn(word, line, said[-4000:])
        return said

    def settle(self):
        """Twice: a run does not learn the modseqs of what it has appended itself."""
        self.sync()
        return self.sync()

    def at(self, imap):
        """Lets the helpers of ClientTest talk to one of the two accounts."""
        self.imap = imap
        return self

    def test_mail_flags_and_deletions_go_both_ways(self):
        self.at(self.near).fill("INBOX", range(1, 6))
        self.at(self.far).fill("INBOX", range(11, 14), "\\Seen")
        self.settle()
        all_of_them = {1, 2, 3, 4, 5, 11, 12, 13}
        self.assertEqual(self.at(self.near).numbers("INBOX"), all_of_them)
        self.assertEqual(self.at(self.far).numbers("INBOX"), all_of_them)
        self.at(self.near).store("INBOX", 1, "+FLAGS", "(\\Flagged $Forwarded)")
        self.at(self.near).remove("INBOX", 2)
        self.at(self.far).store("INBOX", 11, "-FLAGS", "(\\Seen)")
        self.at(self.far).remove("INBOX", 12)
        self.at(self.far).fill("INBOX", [14])
        self.sync()
        near, far = (self.at(side).mailbox("INBOX") for side in (self.near, self.far))
        self.assertEqual(set(near), {1, 3, 4, 5, 11, 13, 14})
        self.assertEqual(near, far, "the same messages with the same flags")
        self.assertEqual(near[1], {"\\Flagged", "$Forwarded"})
        self.assertEqual(near[11], set())

    def test_a_settled_account_has_nothing_to_do(self):
        self.at(self.near).fill("INBOX", range(1, 20))
        self.settle()
        self.assertEqual(self.at(self.far).numbers("INBOX"), set(range(1, 20)))
        said = self.sync()
        self.assertIn("QRESYNC", said)
        for word in ("APPEND", "STORE", "EXPUNGE"):
            self.assertNotIn(f" {word} ", said)

    def test_folders_are_made_on_the_other_side(self):
        ok(self.near.create("Projects/Boathouse"))
        ok(self.near.subscribe("Projects/Boathouse"))
        self.at(self.near).fill("Projects/Boathouse", [1])
        ok(self.far.create("Lists"))
        self.sync()
        self.assertIn("Lists", self.at(self.near).mailboxes())
        self.assertEqual(self.at(self.far).numbers("Projects/Boathouse"), {1})


if __name__ == "__main__":
    unittest.main()
