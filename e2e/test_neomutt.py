"""neomutt, driven by its own key commands on a terminal that nobody looks at."""

import os
import pty
import re
import select
import signal
import time
import unittest

import server
import waiting
from clients import CLIENT_SECONDS, ClientTest
from test_imaplib import ok

CONFIG = """\
set imap_user = "{user}"
set imap_pass = "{password}"
set folder = "imap://127.0.0.1:{port}/"
set spoolfile = "+INBOX"
set record = "+Sent"
set postponed = "+Drafts"
set trash = ""
set ssl_starttls = no
set ssl_force_tls = no
set tunnel = ""
set imap_check_subscribed = no
set imap_idle = {idle}
set imap_poll_timeout = {seconds}
set connect_timeout = {seconds}
set imap_condstore = {condstore}
set imap_qresync = {condstore}
set header_cache = "{folder}/cache"
set message_cachedir = "{folder}/cache"
set mail_check = 1
set timeout = 1
set beep = no
set confirmappend = no
set confirmcreate = no
set abort_unmodified = no
set fast_reply = yes
set include = yes
set delete = yes
set quit = yes
set mark_old = no
set move = no
set wait_key = no
set pager_stop = yes
set sendmail = "/bin/true"
set editor = "/bin/true"
set use_envelope_from = no
set from = "desk@mail.example"
unset signature
"""


class Neomutt(ClientTest):
    program = "neomutt"
    # A mailbox that is not there yet is made after this answer. RFC 9051 §7.1
    expected = ("[TRYCREATE]",)

    def setUp(self):
        super().setUp()
        self.config = self.folder / "neomuttrc"
        self.configure("no", "no")

    def configure(self, idle, condstore):
        self.config.write_text(
            CONFIG.format(
                user=self.account,
                password=server.PASSWORD,
                port=self.server.imap,
                folder=self.folder,
                idle=idle,
                condstore=condstore,
                seconds=waiting.SECONDS,
            )
        )

    def keys(self, keys, mailbox="INBOX"):
        """Opens a mailbox, types the keys, and waits for the end. Returns the protocol."""
        log, logging = self.logging()
        command = [self.program, "-n", "-F", str(self.config), *logging]
        command += ["-f", f"imap://127.0.0.1:{self.server.imap}/{mailbox}"]
        command += ["-e", 'push "{}"'.format(keys)]
        screen = self.on_a_terminal(command)
        transcript = log.read_text(errors="replace")
        trouble = [
            line
            for line in transcript.splitlines()
            if re.search(r"<\s*(a\d+|\*) (BAD|NO) |Error|error|Unexpected|invalid", line)
            and not any(code in line for code in self.expected)
        ]
        self.assertEqual(trouble, [], transcript[-4000:] + screen[-2000:])
        return transcript

    def logging(self):
        """Where the protocol will stand, and the options for that."""
        # It counts its logs, the newest is 0.
        return self.folder / "debug0", ["-d", "3", "-l", str(self.folder / "debug")]

    def on_a_terminal(self, command):
        environment = {**os.environ, "HOME": str(self.folder), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe(command[0], command, environment)
        screen = b""
        deadline = time.monotonic() + CLIENT_SECONDS
        try:
            while time.monotonic() < deadline:
                if select.select([terminal], [], [], 0.2)[0]:
                    screen += os.read(terminal, 1 << 16)
        except OSError:
            # The terminal is gone when the program has ended.
            pass
        else:
            os.kill(pid, signal.SIGKILL)
        finally:
            os.close(terminal)
            _, status = os.waitpid(pid, 0)
        shown = screen.decode(errors="replace")
        self.assertEqual(status, 0, f"{self.program} did not end by itself:\n{shown[-3000:]}")
        return shown

    def test_reads_flags_moves_and_deletes(self):
        self.fill("INBOX", range(1, 9))
        ok(self.imap.create("Projects/Boathouse"))
        self.keys(
            "<first-entry><display-message><exit>"
            "<search>~s 'Berth 2'<enter><flag-message>"
            "<search>~s 'Berth 3'<enter><save-message>=Projects/Boathouse<enter>"
            "<search>~s 'Berth 4'<enter><copy-message>=Projects/Boathouse<enter>"
            "<search>~s 'Berth 5'<enter><delete-message>"
            "<sync-mailbox><quit>"
        )
        inbox = self.mailbox("INBOX")
        self.assertEqual(set(inbox), {1, 2, 4, 6, 7, 8})
        self.assertEqual(inbox[1], {"\\Seen"})
        self.assertIn("\\Flagged", inbox[2])
        self.assertEqual(self.numbers("Projects/Boathouse"), {3, 4})

    def test_saves_what_was_sent_and_what_was_postponed(self):
        self.fill("INBOX", [1])
        self.keys("<first-entry><reply><send-message><quit>")
        self.assertEqual(self.numbers("Sent"), {1})
        self.assertEqual(self.mailbox("INBOX")[1], {"\\Answered", "\\Seen"})

    def test_makes_a_folder_when_a_message_is_copied_to_it(self):
        self.fill("INBOX", [1, 2])
        self.keys(
            "<first-entry><copy-message>=New/Deep<enter><sync-mailbox>"
            "<change-folder>=New/Deep<enter><first-entry><flag-message><sync-mailbox><quit>"
        )
        self.assertEqual(self.mailbox("New/Deep")[1] - {"\\Seen"}, {"\\Flagged"})
        self.assertEqual(self.numbers("INBOX"), {1, 2})

    def test_sees_at_once_what_another_client_adds_while_it_idles(self):
        self.configure("yes", "yes")
        self.fill("INBOX", range(1, 4))
        transcript = self.keys("<first-entry><flag-message><sync-mailbox><quit>")
        self.assertIn("QRESYNC", transcript)
        self.store("INBOX", 2, "+FLAGS", "(\\Flagged)")
        self.remove("INBOX", 3)
        self.fill("INBOX", [9])
        self.keys("<last-entry><flag-message><sync-mailbox><quit>")
        inbox = self.mailbox("INBOX")
        self.assertEqual(set(inbox), {1, 2, 9})
        for number in (1, 2, 9):
            self.assertIn("\\Flagged", inbox[number])


if __name__ == "__main__":
    unittest.main()
