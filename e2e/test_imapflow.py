"""ImapFlow, the Node.js library that many mail applications are built on."""

import json
import os
import subprocess
import threading
import unittest

import languages
import server
from clients import CLIENT_SECONDS, ClientTest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "imapflow.mjs")


class ImapFlow(ClientTest):
    program = "node"

    def start(self, scenario):
        return subprocess.Popen(
            ["node", SCRIPT, str(self.server.imap), self.account, server.PASSWORD, scenario],
            env={**os.environ, "PILLARBOX_NODE": str(languages.folder("node"))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process):
        said, complained = process.communicate(timeout=CLIENT_SECONDS)
        self.assertEqual(process.returncode, 0, said[-4000:] + complained[-2000:])
        return json.loads(said)["result"]

    def test_makes_renames_and_lists_folders(self):
        boxes = {box["path"]: box for box in self.end(self.start("tree"))}
        self.assertTrue({"INBOX", "Plans", "Plans/Boathouse", "Pläne", "Sent"} <= set(boxes))
        self.assertNotIn("Short", boxes)
        self.assertEqual(boxes["Sent"]["use"], "\\Sent")
        self.assertEqual(boxes["Plans/Boathouse"]["status"]["messages"], 0)

    def test_stores_fetches_copies_moves_and_searches(self):
        result = self.end(self.start("messages"))
        self.assertEqual([row["uid"] for row in result["rows"]], [1, 2, 5, 6])
        self.assertEqual(result["copied"], [[1, 1], [2, 2]])
        self.assertEqual(result["moved"], [[3, 3]])
        self.assertEqual(result["found"], [2, 6])
        self.assertEqual(result["text"], "Berth 5 is free.\r\n")
        first = result["rows"][0]
        self.assertEqual(first["subject"], "Berth 1")
        self.assertEqual(first["flags"], ["\\Seen"])
        self.assertEqual(first["date"], "1970-01-02T00:00:00.000Z")
        self.assertEqual(first["size"], len(first["source"]))
        self.assertTrue(first["emailId"])
        self.assertEqual(self.numbers("Kept"), {1, 2, 3})

    def hears(self, process, word):
        """Until the client has said the word."""
        while word not in (said := process.stderr.readline()):
            self.assertNotEqual(said, "", f"ended before it said {word}")

    def test_hears_of_what_another_client_does(self):
        self.fill("INBOX", [1])
        process = self.start("push")
        # From here on it idles; a watchdog, so that a client that hangs fails the test.
        timer = threading.Timer(CLIENT_SECONDS, process.kill)
        timer.start()
        self.addCleanup(timer.cancel)
        self.hears(process, "waiting")
        self.fill("INBOX", [2])
        self.hears(process, "exists")
        self.store("INBOX", 1, "+FLAGS", "(\\Flagged)")
        self.hears(process, "Flagged")
        self.remove("INBOX", 2)
        told = self.end(process)
        self.assertIn(["exists", 2], told)
        self.assertTrue(any(what[0] == "flags" and "\\Flagged" in what[2] for what in told), told)
        self.assertIn(["expunge", 2], told)


if __name__ == "__main__":
    unittest.main()
