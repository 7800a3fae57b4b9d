"""People hand in mail: msmtp, curl and Python's smtplib, over STARTTLS and over implicit TLS; now, later, or by URL."""

import email
import email.policy
import imaplib
import os
import pathlib
import shutil
import smtplib
import subprocess
import tempfile
import unittest

import engines
import server
import waiting
import wire
from test_relay import start_sink
from test_smtp import UNVOUCHED

BODY = ".\r\n..dots\r\n\r\nbody sei\u00df\r\n"

MSMTP = """\
account default
host 127.0.0.1
port {port}
from {sender}
auth {mechanism}
user {sender}
password {password}
tls on
tls_starttls {starttls}
tls_fingerprint {fingerprint}
logfile -
"""


@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf("PILLARBOX_AT" in os.environ, "its certificate is not known here")
class Submit(unittest.TestCase):
    def setUp(self):
        self.server = server.shared()
        name = self.id().rsplit(".", 1)[1].removeprefix("test_").replace("_", "-")[:40]
        self.me = self.server.account(f"{name}@mail.example")
        self.friend = self.server.account(f"{name}-friend@mail.example")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-submit-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.certificate = self.server.folder / "data" / "tls" / "self-signed.pem"

    def text(self, subject):
        return (
            f"From: {self.me}\r\nTo: {self.friend}\r\nBcc: hidden@mail.example\r\nSubject: {subject}\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{BODY}"
        )

    def received(self):
        client = wire.Client(self.server.imap, self.friend, server.PASSWORD)
        client.run(b"EXAMINE INBOX")
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[])")
        client.logout()
        return [wire.fetched(line)[b"BODY[]"] for line in reply.all(b"FETCH")]

    def check(self, subjects):
        """Each message came once, completed, and without what only its author may know."""
        messages = self.received()
        found = [email.message_from_bytes(text, policy=email.policy.default) for text in messages]
        self.assertEqual([message["Subject"] for message in found], subjects)
        for text, message in zip(messages, found):
            self.assertTrue(text.endswith(BODY.encode()), text)
            self.assertIn(b" with ESMTPSA id ", text)
            for name in ("Date", "Message-ID"):
                self.assertEqual(len(message.get_all(name, [])), 1, name)
            self.assertIsNone(message["Bcc"])
            self.assertNotIn(server.PASSWORD.encode(), text)

    def run_client(self, words, stdin=b""):
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=waiting.SECONDS, check=False)
        self.assertEqual(done.returncode, 0, f"{done.stdout!r} {done.stderr!r}")

    def fingerprint(self):
        words = ["openssl", "x509", "-in", str(self.certificate), "-noout", "-fingerprint", "-sha256"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("=")[1].strip()

    def test_msmtp(self):
        subjects = []
        for port, starttls in ((self.server.submission, "on"), (self.server.submissions, "off")):
            for mechanism in ("plain", "scram-sha-256", "login"):
                subjects.append(f"msmtp {mechanism} starttls {starttls}")
                config = self.folder / "msmtprc"
                config.write_text(
                    MSMTP.format(
                        port=port,
                        sender=self.me,
                        mechanism=mechanism,
                        password=server.PASSWORD,
                        starttls=starttls,
                        fingerprint=self.fingerprint(),
                    )
                )
                config.chmod(0o600)
                # Standard input of a sendmail has the line ends of the machine.
                text = self.text(subjects[-1]).replace("\r\n", "\n").encode()
                self.run_client(["msmtp", f"--file={config}", "--", self.friend], text)
        self.check(subjects)

    def test_curl(self):
        subjects = []
        for scheme, port in (("smtp", self.server.submission), ("smtps", self.server.submissions)):
            subjects.append(f"curl {scheme}")
            message = self.folder / "message"
            message.write_bytes(self.text(subjects[-1]).encode())
            # As an option of the command line the password would stand in the list of processes.
            secret = self.folder / "curlrc"
            secret.write_text(f'user = "{self.me}:{server.PASSWORD}"\n')
            secret.chmod(0o600)
            self.run_client(
                ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", str(self.certificate)]
                + ["--config", str(secret), "--connect-to", f"mail.example:{port}:127.0.0.1:{port}"]
                + ["--mail-from", self.me, "--mail-rcpt", self.friend, "--upload-file", str(message)]
                + [f"{scheme}://mail.example:{port}/client.example"]
            )
        self.check(subjects)

    def test_smtplib(self):
        subjects = []
        for implicit in (False, True):
            subjects.append(f"smtplib implicit {implicit}")
            if implicit:
                smtp = smtplib.SMTP_SSL("127.0.0.1", self.server.submissions, context=UNVOUCHED)
            else:
                smtp = smtplib.SMTP("127.0.0.1", self.server.submission)
                smtp.starttls(context=UNVOUCHED)
            with smtp:
                smtp.login(self.me, server.PASSWORD)
                text = self.text(subjects[-1]).encode()
                smtp.sendmail(self.me, [self.friend], text, mail_options=["BODY=8BITMIME"])
        self.check(subjects)

    def test_nobody_sends_as_somebody_else_or_without_a_login(self):
        with smtplib.SMTP("127.0.0.1", self.server.submission) as smtp:
            smtp.starttls(context=UNVOUCHED)
            smtp.ehlo("client.example")
            self.assertEqual(smtp.mail(self.me)[0], 530)
            smtp.login(self.me, server.PASSWORD)
            code, text = smtp.mail(self.friend)
            self.assertEqual((code, text.split()[0]), (553, b"5.7.1"))
        self.check([])


RELAY = """\

[[relay]]
domains = ["plain.example"]
host = "127.0.0.1"
port = {port}
tls = "none"
"""


@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts a server of its own")
class Later(unittest.TestCase):
    """What is handed in to leave later, and what is sent without being handed in."""

    def setUp(self):
        self.sink = start_sink(self)
        self.server = server.Server()
        with open(self.server.config, "a") as config:
            config.write(RELAY.format(port=self.sink.server_address[1]))
        self.server.start()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        self.me = self.server.account("me@mail.example")
        self.smtp = smtplib.SMTP("127.0.0.1", self.server.submission)
        self.addCleanup(self.smtp.close)
        self.smtp.starttls(context=UNVOUCHED)
        self.smtp.login(self.me, server.PASSWORD)
        self.smtp.ehlo("client.example")

    def text(self, subject):
        return f"From: {self.me}\r\nSubject: {subject}\r\n\r\nbody\r\n"

    def test_mail_for_later_waits_and_can_be_sent_now_or_taken_back(self):
        self.assertTrue(self.smtp.has_extn("futurerelease"))
        entries = []
        for subject in ("undone", "hurried"):
            self.smtp.sendmail(self.me, ["a@plain.example"], self.text(subject), ["HOLDFOR=3600"])
            listed = [line.split()[0] for line in self.server.run("queue", "list").splitlines()]
            entries += [entry for entry in listed if entry not in entries]
        self.assertEqual(len(entries), 2, self.server.run("queue", "list"))
        self.assertEqual(self.server.run("queue", "list").count(" later "), 2)
        self.server.run("queue", "drop", entries[0])
        self.server.run("queue", "retry", entries[1])
        waiting.until(lambda: self.sink.taken)
        waiting.until(lambda: self.server.run("queue", "list") == "", "an empty queue")
        self.assertEqual(len(self.sink.taken), 1)
        self.assertIn(b"Subject: hurried", self.sink.taken[0][1])
        self.assertEqual(self.server.stop() + self.server.verify(), [])

    def test_what_is_stored_is_sent_by_its_url(self):
        self.assertTrue(self.smtp.has_extn("burl"))
        text = self.text("stored").encode()
        client = imaplib.IMAP4("127.0.0.1", self.server.imap)
        client.login(self.me, server.PASSWORD)
        client.append("INBOX", None, None, text)
        client.logout()
        client = wire.Client(self.server.imap, self.me, server.PASSWORD)
        name = self.me.replace("@", "%40")
        url = f"imap://{name}@mail.example/INBOX/;uid=1;urlauth=submit+{name}"
        reply = client.run(f'GENURLAUTH "{url}" INTERNAL'.encode())
        client.logout()
        url = reply.all(b"GENURLAUTH")[0][1].decode()
        self.smtp.mail(self.me)
        self.smtp.rcpt("a@plain.example")
        code, said = self.smtp.docmd("BURL", f"{url} LAST")
        self.assertEqual(code, 250, said)
        sent = waiting.until(lambda: self.sink.taken)[0][1]
        self.assertTrue(sent.endswith(b"\r\n\r\nbody\r\n"), sent)
        self.assertIn(b"Subject: stored", sent)
        self.assertEqual(self.server.stop() + self.server.verify(), [])


if __name__ == "__main__":
    unittest.main()
