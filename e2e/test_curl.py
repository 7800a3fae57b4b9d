"""curl lists, fetches, searches, appends and flags by IMAP addresses."""

import unittest

import server
from clients import ClientTest
from test_imaplib import message, ok


class Curl(ClientTest):
    program = "curl"

    def curl(self, path, *options, scheme="imap", port=None):
        url = f"{scheme}://127.0.0.1:{port or self.server.imap}/{path}"
        user = f"{self.account}:{server.PASSWORD}"
        command = ["curl", "--silent", "--show-error", "--user", user, url, *options]
        return self.call(command)

    def test_lists_folders(self):
        ok(self.imap.create("Projects/Boathouse"))
        said = self.curl("")
        self.assertIn('"/" Projects/Boathouse', said.replace('"Projects/Boathouse"', "Projects/Boathouse"))
        for name in ("INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"):
            self.assertIn(name, said)

    def test_fetches_a_message_and_its_parts(self):
        self.fill("INBOX", [1, 2])
        self.curl("INBOX;MAILINDEX=2", "--output", "whole")
        self.assertEqual((self.folder / "whole").read_bytes(), message(2))
        self.curl("INBOX;UID=1;SECTION=TEXT", "--output", "text")
        self.assertEqual((self.folder / "text").read_bytes(), b"Berth 1 is free.\r\n")
        self.curl("INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)", "--output", "subject")
        self.assertEqual((self.folder / "subject").read_bytes(), b"Subject: Berth 1\r\n\r\n")

    def test_appends_a_file(self):
        path = self.folder / "new.eml"
        path.write_bytes(message(7))
        self.curl("Drafts", "--upload-file", path)
        self.assertEqual(self.numbers("Drafts"), {7})

    def test_searches(self):
        self.fill("INBOX", [1, 2, 3])
        said = self.curl("INBOX?SUBJECT%20%22Berth%202%22")
        self.assertEqual(said.strip(), "* SEARCH 2")
        self.assertEqual(self.curl("INBOX?FLAGGED").strip(), "* SEARCH")

    def test_sends_commands_of_its_own(self):
        self.fill("INBOX", [1])
        self.curl("INBOX", "--request", "STORE 1 +FLAGS (\\Flagged)")
        self.assertEqual(self.mailbox("INBOX"), {1: {"\\Flagged"}})
        self.curl("", "--request", "CREATE Projects")
        self.curl("", "--request", "RENAME Projects Plans")
        self.assertIn("Plans", self.mailboxes())
        self.curl("", "--request", "DELETE Plans")
        self.assertNotIn("Plans", self.mailboxes())

    def test_uses_tls(self):
        if self.server.imaps is None:
            self.skipTest("a server without TLS")
        said = self.curl("", "--insecure", scheme="imaps", port=self.server.imaps)
        self.assertIn("INBOX", said)
        said = self.curl("", "--insecure", "--ssl-reqd", port=self.server.starttls)
        self.assertIn("INBOX", said)


if __name__ == "__main__":
    unittest.main()
