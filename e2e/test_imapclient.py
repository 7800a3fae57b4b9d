"""IMAPClient, the Python library: folders, messages, flags, searches and IDLE as it sees them."""

import unittest

import languages
import server
import waiting
from clients import ClientTest
from test_imaplib import message


class ImapClient(ClientTest):
    program = "python3"

    def setUp(self):
        super().setUp()
        languages.python("imapclient")
        import imapclient

        self.client = imapclient.IMAPClient("127.0.0.1", port=self.server.imap, ssl=False)
        self.client.login(self.account, server.PASSWORD)
        self.addCleanup(self.client.shutdown)

    def test_folders_in_a_tree_with_names_of_the_world(self):
        client = self.client
        for name in ("Projects/Boathouse", "Entwürfe & Pläne", "船/港"):
            client.create_folder(name)
        names = {name for _, _, name in client.list_folders()}
        self.assertTrue({"Projects", "Projects/Boathouse", "Entwürfe & Pläne", "船/港"} <= names)
        client.rename_folder("Projects", "Plans")
        client.subscribe_folder("Plans/Boathouse")
        subscribed = {name for _, _, name in client.list_sub_folders()}
        self.assertIn("Plans/Boathouse", subscribed)
        client.delete_folder("船/港")
        self.assertFalse(client.folder_exists("船/港"))
        self.assertEqual(client.find_special_folder(b"\\Sent"), "Sent")
        self.assertEqual(client.namespace().personal[0], ("", "/"))

    def test_messages_with_flags_copies_and_moves(self):
        client = self.client
        client.create_folder("Kept")
        for number in range(1, 7):
            client.append("INBOX", message(number), flags=[b"\\Seen"] if number == 1 else [])
        status = client.folder_status("INBOX", ["MESSAGES", "UNSEEN", "UIDNEXT"])
        self.assertEqual(status, {b"MESSAGES": 6, b"UNSEEN": 5, b"UIDNEXT": 7})
        chosen = client.select_folder("INBOX")
        self.assertEqual(chosen[b"EXISTS"], 6)
        flags = client.add_flags([2, 3], [b"\\Flagged", b"later"])
        self.assertEqual(set(flags[3]) - {b"\\Recent"}, {b"\\Flagged", b"later"})
        client.copy([1, 2], "Kept")
        client.move([3], "Kept")
        client.delete_messages([4])
        client.uid_expunge([4])
        self.assertEqual(client.search(["ALL"]), [1, 2, 5, 6])
        fetched = client.fetch([2], ["ENVELOPE", "FLAGS", "RFC822.SIZE", "BODYSTRUCTURE", "BODY[]"])
        self.assertEqual(fetched[2][b"BODY[]"], message(2))
        self.assertEqual(fetched[2][b"ENVELOPE"].subject, b"Berth 2")
        self.assertEqual(fetched[2][b"RFC822.SIZE"], len(message(2)))
        self.assertEqual(self.numbers("Kept"), {1, 2, 3})

    def test_searches_with_charsets_and_modseqs(self):
        client = self.client
        client.append("INBOX", message(1))
        text = "Subject: Gezeiten am Sørfjord\r\n\r\nHöchststand um neun.\r\n".encode()
        client.append("INBOX", text)
        client.select_folder("INBOX")
        self.assertEqual(client.search(["TEXT", "höchststand"], "UTF-8"), [2])
        self.assertEqual(client.search(["NOT", "SUBJECT", "Berth"]), [2])
        found = client.search(["MODSEQ", "1"])
        self.assertEqual(list(found), [1, 2])
        self.assertGreater(found.modseq, 1)

    def test_idle_tells_of_what_another_client_does(self):
        client = self.client
        client.select_folder("INBOX")
        client.idle()
        self.fill("INBOX", [1])
        told = []

        def is_told():
            told.extend(client.idle_check(timeout=1))
            return (1, b"EXISTS") in told

        waiting.until(is_told, "a message", lambda: told)
        text, _ = client.idle_done()
        self.assertEqual(text, b"IDLE completed")


if __name__ == "__main__":
    unittest.main()
