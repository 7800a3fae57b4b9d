"""`pillarbox try`: one command, and a mailbox with sample mail is there to be looked at."""

import email
import email.policy
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import unittest

import server
import structure
import waiting
import wire


@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts a trial of its own")
class Try(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-try-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self):
        """Starts a trial; returns what it wrote for scripts, and what it printed for people."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        printed = self.folder / "printed"
        with open(printed, "w") as out:
            process = subprocess.Popen(
                [os.environ["PILLARBOX"], "try", "--data", str(self.folder / "data")]
                + ["--ready-file", str(ready)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
            )
        self.addCleanup(self.stop, process)
        self.process = process
        server.wait_for("ready file", ready.exists, process)
        server.wait_for("settings", lambda: "MAILINDEX=1'\n" in printed.read_text(), process)
        return json.loads(ready.read_text()), printed.read_text()

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(waiting.SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def sign_in(self, ready):
        """A session for each of the two accounts."""
        clients = []
        for account in ready["accounts"]:
            name, password = account["name"], account["password"]
            clients.append(wire.Client(ready["imap"], name, password))
            self.addCleanup(clients[-1].close)
        self.assertEqual(len(clients), 2)
        return clients

    def test_what_is_printed_can_be_pasted(self):
        ready, printed = self.start()
        for client_name in ("Thunderbird", "neomutt", "mbsync", "curl"):
            self.assertIn(f"\n{client_name}", printed)
        for account in ready["accounts"]:
            self.assertRegex(printed, rf"{account['name']}\s+password\s+{account['password']}\n")
        curl = self.pasted(printed, "curl")
        got = self.shell(curl)
        self.assertIn("Message-ID: <", got)
        config = self.pasted(printed, "mbsync")
        (self.folder / "trial.mbsyncrc").write_text(config)
        (self.folder / "trial-mail").mkdir()
        self.shell("mbsync -c trial.mbsyncrc -a")
        pulled = list((self.folder / "trial-mail").glob("**/cur/*"))
        pulled += list((self.folder / "trial-mail").glob("**/new/*"))
        self.assertGreaterEqual(len(pulled), 55)

    @staticmethod
    def pasted(printed, name):
        """The indented lines below a client's name."""
        after = re.split(rf"\n{name}\b[^\n]*\n", printed, maxsplit=1)[1]
        return textwrap.dedent(re.match(r"(?:(?: {4}[^\n]*)?\n)*", after)[0])

    def shell(self, line):
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=waiting.SECONDS,
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_every_sample_is_a_message_that_clients_can_read(self):
        ready, _ = self.start()
        total = 0
        for client in self.sign_in(ready):
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
        self.assertEqual(structure.kinds(tree), structure.python_kinds(parsed), parsed["subject"])

    def test_a_trial_goes_on_where_it_was_stopped(self):
        clients = self.sign_in(self.start()[0])
        clients[0].run(b"CREATE Kept")
        clients[0].run(b"SELECT INBOX")
        clients[0].run(b"UID COPY 1:3 Kept")
        self.stop(self.process)
        self.assertEqual(self.process.returncode, 0)
        clients = self.sign_in(self.start()[0])
        statuses = clients[0].run(b"STATUS Kept (MESSAGES)").all(b"STATUS")
        self.assertEqual(statuses[0][2], [b"MESSAGES", b"3"])


if __name__ == "__main__":
    unittest.main()
