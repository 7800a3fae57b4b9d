"""`pillarbox try`: one command, and a mailbox with sample mail is there to be looked at."""

import email
import email.policy
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

import structure
import wire
from server import START_SECONDS, STOP_SECONDS


@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts a trial of its own")
class Try(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-try-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self):
        """Starts a trial; returns what it printed up to the moment in which it was ready."""
        process = subprocess.Popen(
            [os.environ["PILLARBOX"], "try", "--data", str(self.folder / "data")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(self.stop, process)
        lines = queue.Queue()
        reader = threading.Thread(target=self.read, args=(process.stdout, lines), daemon=True)
        reader.start()
        printed = ""
        # It is ready when it has printed where it listens, and with what to sign in.
        while True:
            try:
                line = lines.get(timeout=START_SECONDS if not printed else 1.5)
            except queue.Empty:
                break
            self.assertIsNotNone(line, f"it ended early:\n{printed}")
            printed += line
        self.process = process
        return printed

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.put(line)
        lines.put(None)
        stream.close()

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def sign_in(self, printed):
        """A session for each of the two accounts that were printed."""
        ports = [int(port) for port in re.findall(r"(?:127\.0\.0\.1:|[Pp]ort:? +)(\d+)", printed)]
        pairs = re.findall(r"(\S+@\S+)\s+(?:password:?\s+)?([\w-]{6,})\s*$", printed, re.M)
        self.assertGreaterEqual(len(dict(pairs)), 2, printed)
        clients = []
        for user, password in dict(pairs).items():
            for port in dict.fromkeys(ports):
                try:
                    clients.append(wire.Client(port, user, password, timeout=5))
                    break
                except (wire.WireError, OSError):
                    continue
            else:
                self.fail(f"{user} cannot sign in at {ports}:\n{printed}")
        for client in clients:
            self.addCleanup(client.close)
        return clients

    def test_a_trial_prints_how_to_sign_in_and_holds_sample_mail(self):
        printed = self.start()
        for client_name in ("Thunderbird", "neomutt", "mbsync", "curl"):
            self.assertIn(client_name.lower(), printed.lower())
        total = 0
        for client in self.sign_in(printed):
            listed = client.run(b'LIST "" *').all(b"LIST")
            names = [line[-1] for line in listed if b"\\Noselect" not in line[1]]
            for name in names:
                client.run(b"EXAMINE %s" % wire.quoted(bytes(name)))
                reply = client.run(
                    b"FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])"
                )
                for line in reply.all(b"FETCH"):
                    self.check(wire.fetched(line))
                    total += 1
        self.assertGreaterEqual(total, 60)

    def check(self, items):
        body = items[b"BODY[]"]
        self.assertEqual(int(items[b"RFC822.SIZE"]), len(body))
        structure.check_envelope(items[b"ENVELOPE"])
        tree = structure.check_body(items[b"BODYSTRUCTURE"])
        parsed = email.message_from_bytes(body, policy=email.policy.default)
        theirs = [part.get_content_type() for part in parsed.walk()]
        ours = [part.kind.decode() for part in tree.walk()]
        if "message/delivery-status" not in theirs:
            self.assertEqual(ours, theirs, parsed["subject"])

    def test_a_trial_goes_on_where_it_was_stopped(self):
        clients = self.sign_in(self.start())
        clients[0].run(b"CREATE Kept")
        clients[0].run(b"SELECT INBOX")
        clients[0].run(b"UID COPY 1:3 Kept")
        self.stop(self.process)
        self.assertEqual(self.process.returncode, 0)
        clients = self.sign_in(self.start())
        statuses = clients[0].run(b"STATUS Kept (MESSAGES)").all(b"STATUS")
        self.assertEqual(statuses[0][2], [b"MESSAGES", b"3"])


if __name__ == "__main__":
    unittest.main()
