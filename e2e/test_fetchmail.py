"""fetchmail takes mail out of the account, over IMAP with IDLE or once."""

import unittest

import server
import waiting
from clients import ClientTest
from test_imaplib import message

CONFIG = """\
set no bouncemail
poll 127.0.0.1 service {port} protocol IMAP auth password timeout {seconds}
  user "{user}" password "{password}"
  sslproto ""
  {options}
  mda "cat >> {folder}/got"
"""


class Fetchmail(ClientTest):
    program = "fetchmail"

    def fetch(self, options, *words):
        config = self.folder / "fetchmailrc"
        config.write_text(
            CONFIG.format(
                port=self.server.imap,
                user=self.account,
                password=server.PASSWORD,
                folder=self.folder,
                options=options,
                seconds=waiting.SECONDS,
            )
        )
        config.chmod(0o600)
        command = ["fetchmail", "-f", config, "--pidfile", self.folder / "pid", "-vvv", *words]
        said = self.call([*command, "--nosyslog"])
        for line in said.splitlines():
            for word in (" BAD ", " NO ", "protocol error", "socket error"):
                self.assertNotIn(word, line, said[-4000:])
        return said

    def got(self):
        path = self.folder / "got"
        return path.read_text().count("Subject: Berth") if path.exists() else 0

    def test_takes_every_message_and_removes_it(self):
        self.fill("INBOX", range(1, 12))
        self.fetch("fetchall no keep expunge 3")
        self.assertEqual(self.got(), 11)
        self.assertEqual(self.numbers("INBOX"), set())

    def test_keeps_what_it_has_seen(self):
        self.fill("INBOX", range(1, 4))
        self.fill("INBOX", [4], "\\Seen")
        self.fetch("keep")
        self.assertEqual(self.got(), 3, "the fourth had been read")
        inbox = self.mailbox("INBOX")
        self.assertEqual(set(inbox), {1, 2, 3, 4})
        for number in inbox:
            self.assertIn("\\Seen", inbox[number])

    def test_takes_other_folders(self):
        self.imap.create("Lists/Harbour")
        self.fill("Lists/Harbour", [1, 2])
        self.fetch('folder "Lists/Harbour" fetchall no keep')
        self.assertEqual(self.got(), 2)
        self.assertEqual(self.numbers("Lists/Harbour"), set())
        self.assertIn(message(1).split(b"\r\n\r\n")[1].strip().decode(), (self.folder / "got").read_text())


if __name__ == "__main__":
    unittest.main()
