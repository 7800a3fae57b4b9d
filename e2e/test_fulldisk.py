"""A disk that is full, and has room again: mail stays readable, and nothing has to be started again.

The data folder is a small file system in memory. Where none may be mounted there is nothing to test.
"""

import os
import random
import smtplib
import subprocess
import tempfile
import unittest

import engines
import server
import waiting
import wire

DISK_MIB = 96
BALLAST_MIB = 24


def may_mount():
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        try:
            done = subprocess.run(mount, capture_output=True, timeout=waiting.SECONDS, check=False)
        except OSError:
            return False
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return done.returncode == 0


def body(number, size):
    text = random.Random(number).randbytes(size // 2).hex()
    lines = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    return f"Subject: {number}\r\n\r\n{lines}\r\n".encode()


@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs a data folder of its own")
@unittest.skipUnless(may_mount(), "needs to mount a file system")
class FullDisk(unittest.TestCase):
    def setUp(self):
        # Whatever the other tests run on: it is the engine of one machine whose disk is full.
        self.server = server.Server(place=engines.Place("local"))
        self.data = self.server.folder / "data"
        self.data.mkdir(mode=0o700)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", self.data], check=True
        )
        self.addCleanup(self.server.remove)
        self.addCleanup(subprocess.run, ["umount", str(self.data)], check=True)
        self.addCleanup(self.server.kill)
        self.ballast = self.data / "ballast"
        self.ballast.write_bytes(bytes(BALLAST_MIB << 20))
        self.server.start()
        self.account = self.server.account("full@mail.example")
        self.imap = wire.Client(self.server.imap, self.account, server.PASSWORD)
        self.cases = 0

    def append(self, number, size):
        return self.imap.finish(self.imap.send(b"APPEND INBOX %L", body(number, size)))

    def deliver(self, number):
        """The code and the extended code of the reply."""
        lmtp = smtplib.LMTP("127.0.0.1", self.server.lmtp)
        try:
            lmtp.ehlo("client.example")
            lmtp.mail("office@harbour.example")
            lmtp.rcpt(self.account)
            code, text = lmtp.data(body(number, 200_000))
            return code, text.split(b" ")[0]
        finally:
            lmtp.close()

    def fill(self):
        """Appends until nothing fits; returns the numbers that were taken."""
        taken = []
        for size in (1_000_000, 200_000, 30_000):
            for number in range(len(taken) + 1, 1000):
                reply = self.append(number, size)
                if reply.status != b"OK":
                    self.assertTrue(reply.text.startswith(b"[OVERQUOTA]"), reply.text)
                    break
                taken.append((number, size))
        return taken

    def test_mail_stays_readable_and_can_be_removed_and_comes_again_when_there_is_room(self):
        taken = self.fill()
        self.assertGreater(len(taken), 10)
        self.assertEqual(self.deliver(5000), (452, b"4.3.1"))
        self.check_readable(taken)
        # What makes room is possible on a disk without room, for a good while.
        for uid in range(1, 201):
            self.imap.run(b"UID STORE %d %sFLAGS (\\Flagged k%d)" % (1 + uid % 5, b"+-"[uid % 2 :][:1], uid % 7))
        self.imap.run(b"UID STORE 1:3 +FLAGS (\\Deleted)")
        self.assertEqual(len(self.imap.run(b"EXPUNGE").all(b"EXPUNGE")), 3)
        self.assertEqual(self.append(6000, 1_000_000).status, b"NO")
        self.restart_while_full(taken)
        # Room comes from elsewhere; mail is taken again by the same process.
        self.ballast.unlink()
        waiting.until(lambda: self.deliver(5001)[0] == 250, "mail that is taken again")
        self.imap.run(b"APPEND INBOX %L", body(7000, 30_000))
        self.check_readable(taken[3:])
        complaints = [line for line in self.server.stop() if " ERROR " not in line]
        self.assertEqual(complaints, [])
        self.server.run("check")
        self.note(201)

    def restart_while_full(self, taken):
        """Killed on a full disk, the server starts on it and shows what it showed."""
        self.server.kill()
        self.server.start()
        self.imap = wire.Client(self.server.imap, self.account, server.PASSWORD)
        self.check_readable(taken[3:])

    def check_readable(self, taken):
        self.imap.run(b"SELECT INBOX")
        rows = self.imap.run(b"UID FETCH 1:* (BODY.PEEK[])").all(b"FETCH")
        found = [wire.fetched(row)[b"BODY[]"] for row in rows]
        for number, size in taken:
            self.assertIn(body(number, size), found, f"message {number}")

    @staticmethod
    def note(cases):
        faults = os.environ.get("PILLARBOX_FAULTS")
        if faults:
            with open(faults, "a", encoding="ascii") as table:
                table.write(f"a change on a full disk\t{cases}\t0\n")


if __name__ == "__main__":
    unittest.main()
