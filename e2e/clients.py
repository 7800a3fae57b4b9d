"""What the tests of mail clients share: accounts with mail in them, and clients as processes."""

import imaplib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import server
import waiting
from test_imaplib import message, ok

# From the start of a client to its end, whatever it does meanwhile.
CLIENT_SECONDS = 2 * waiting.SECONDS


class ClientTest(unittest.TestCase):
    """A test with an account of its own, an imaplib session on it, and a folder for the client."""

    program = None

    def setUp(self):
        if self.program and shutil.which(self.program) is None:
            self.fail(f"{self.program} is not installed; cargo xtask ci --only packages")
        self.server = server.shared()
        name = self.id().rsplit(".", 1)[1].removeprefix("test_").replace("_", "-")[:40]
        self.account = self.server.account(f"{self.program}-{name}@mail.example")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"pillarbox-{self.program}-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.imap = imaplib.IMAP4("127.0.0.1", self.server.imap)
        ok(self.imap.login(self.account, server.PASSWORD))
        self.addCleanup(self.leave)

    def leave(self):
        try:
            self.imap.logout()
        except imaplib.IMAP4.error:
            pass

    def fill(self, mailbox, numbers, flags=""):
        for number in numbers:
            ok(self.imap.append(mailbox, flags, None, message(number)))

    def call(self, command, stdin="", env=None):
        """Runs a client; returns what it said. A client that fails, fails the test."""
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=CLIENT_SECONDS,
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", **(env or {})},
            check=False,
        )
        shown = f"{command[0]} ended with {done.returncode}:\n{done.stdout[-6000:]}"
        self.assertEqual(done.returncode, 0, shown)
        return done.stdout

    def mailbox(self, name):
        """{number in the subject: set of flags} of a mailbox on the server."""
        ok(self.imap.select(f'"{name}"', readonly=True))
        if ok(self.imap.search(None, "ALL")) == [b""]:
            return {}
        data = ok(self.imap.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
        found = {}
        text = b""
        for item in data:
            text += b" ".join(item) if isinstance(item, tuple) else item
            if text.endswith(b")"):
                number = int(re.search(rb"Subject: (?:Re: )?Berth (\d+)", text)[1])
                flags = set(re.search(rb"FLAGS \(([^)]*)\)", text)[1].split())
                self.assertNotIn(number, found, f"message {number} is there twice")
                found[number] = {flag.decode() for flag in flags} - {"\\Recent"}
                text = b""
        return found

    def numbers(self, name):
        return set(self.mailbox(name))

    def mailboxes(self):
        """The names of all mailboxes that can be selected."""
        found = set()
        for line in ok(self.imap.list()):
            flags, name = re.match(rb'\(([^)]*)\) "/" "?([^"]*)"?$', line).groups()
            if b"\\noselect" not in flags.lower():
                found.add(name.decode())
        return found

    def store(self, mailbox, number, how, flags):
        ok(self.imap.select(f'"{mailbox}"'))
        uid = ok(self.imap.uid("SEARCH", "SUBJECT", f'"Berth {number}"'))[0].split()[0]
        ok(self.imap.uid("STORE", uid.decode(), how, flags))
        return uid.decode()

    def remove(self, mailbox, number):
        self.store(mailbox, number, "+FLAGS.SILENT", "(\\Deleted)")
        ok(self.imap.expunge())


def maildir(folder):
    """{number in the subject: (path, letters)} of a Maildir."""
    found = {}
    for part in ("cur", "new"):
        for path in (pathlib.Path(folder) / part).glob("*"):
            number = int(re.search(rb"Subject: Berth (\d+)", path.read_bytes())[1])
            letters = set(path.name.rsplit(":2,", 1)[1]) if ":2," in path.name else set()
            assert number not in found, f"message {number} is there twice"
            found[number] = (path, letters)
    return found


def flag(path, letters):
    """Gives a message in a Maildir these flags, as a mail reader does: by its name."""
    base = path.name.rsplit(":2,", 1)[0]
    target = path.parent.parent / "cur" / f"{base}:2,{''.join(sorted(letters))}"
    path.rename(target)
    return target


def drop(folder, number):
    """Puts a new message into a Maildir."""
    raw = message(number).replace(b"\r\n", b"\n")
    (pathlib.Path(folder) / "new" / f"1700000000.{number}.here").write_bytes(raw)


def make_maildir(folder):
    for part in ("cur", "new", "tmp"):
        (pathlib.Path(folder) / part).mkdir(parents=True)
