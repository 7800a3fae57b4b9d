"""Mail to and from Debian's Postfix, over STARTTLS on loopback."""

import email
import email.policy
import os
import smtplib
import subprocess
import time
import unittest

import engines
import postfix
import server
import wire
from test_smtp import UNVOUCHED

# Postfix takes mail for far.example, and hands what is for our domain to us, always over TLS.
SETTINGS = """\
virtual_mailbox_domains = far.example
virtual_mailbox_maps = inline:{{friend@far.example=friend/}}
relay_domains = mail.example
relayhost = [127.0.0.1]:{ours}
smtp_tls_security_level = encrypt
smtpd_tls_security_level = may
smtpd_tls_cert_file = {{folder}}/config/tls.pem
smtpd_tls_key_file = {{folder}}/config/tls.key
smtpd_tls_received_header = yes
smtputf8_enable = yes
maximal_backoff_time = 2s
minimal_backoff_time = 1s
queue_run_delay = 1s
"""

RELAY = """\

[[relay]]
domains = ["far.example"]
host = "localhost"
port = {port}
tls = "required"
ca = "{ca}"
"""

WAIT_SECONDS = 30


def certificate(folder):
    """A certificate for `localhost` that vouches for itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "tls.pem"


@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts servers of its own")
@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf(os.geteuid() != 0, "Postfix is started by root only")
class Postfix(unittest.TestCase):
    def setUp(self):
        self.ours = server.Server()
        self.addCleanup(self.ours.remove)
        self.addCleanup(self.ours.kill)
        # Each needs the port of the other, and Postfix knows its own before it starts.
        smtp = postfix.free_port()
        self.theirs = postfix.Postfix("mx.far.example", SETTINGS.format(ours=smtp))
        self.addCleanup(self.theirs.stop)
        ca = certificate(self.theirs.folder / "config")
        config = self.ours.config.read_text().replace(
            'protocol = "smtp"\naddress = "127.0.0.1:0"', f'protocol = "smtp"\naddress = "127.0.0.1:{smtp}"'
        )
        self.ours.config.write_text(config + RELAY.format(port=self.theirs.port, ca=ca))
        self.ours.start()
        self.theirs.start()
        self.me = self.ours.account("me@mail.example")

    def wait_for(self, found):
        deadline = time.monotonic() + WAIT_SECONDS
        while not (result := found()):
            self.assertLess(
                time.monotonic(), deadline, f"nothing came; Postfix says:\n{self.theirs.log()[-4000:]}"
            )
            time.sleep(0.1)
        return result

    def inbox(self):
        client = wire.Client(self.ours.imap, self.me, server.PASSWORD)
        client.run(b"EXAMINE INBOX")
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[])")
        client.logout()
        return [wire.fetched(line)[b"BODY[]"] for line in reply.all(b"FETCH")]

    def at_postfix(self, sender, to, text, **options):
        with smtplib.SMTP("127.0.0.1", self.theirs.port) as smtp:
            smtp.ehlo("client.example")
            return smtp.sendmail(sender, to, text, **options)

    def at_ours(self, to, text, **options):
        with smtplib.SMTP("127.0.0.1", self.ours.submission) as smtp:
            smtp.starttls(context=UNVOUCHED)
            smtp.login(self.me, server.PASSWORD)
            return smtp.sendmail(self.me, to, text, **options)

    def test_postfix_delivers_to_us_over_starttls(self):
        body = b".\r\n..dots\r\n" + b"x" * 990 + "\r\nsei\u00df\r\n".encode() + b"\r\n\r\n"
        text = b"From: friend@far.example\r\nSubject: tide\r\nMIME-Version: 1.0\r\n" b"\r\n" + body
        self.at_postfix("friend@far.example", [self.me], text, mail_options=["BODY=8BITMIME"])
        message = self.wait_for(self.inbox)[0]
        self.assertIn(b" with ESMTPS id ", message)
        self.assertIn(b"Return-Path: <friend@far.example>", message)
        self.assertTrue(message.endswith(b"\r\n\r\n" + body), message)
        self.wait_for(lambda: self.theirs.queued() == 0)

    def test_postfix_delivers_many_messages_on_few_connections(self):
        for number in range(25):
            text = f"From: friend@far.example\r\nSubject: {number}\r\n\r\nbody {number}\r\n"
            self.at_postfix("friend@far.example", [self.me], text.encode())
        self.wait_for(lambda: len(self.inbox()) == 25)
        subjects = sorted(int(email.message_from_bytes(text)["Subject"]) for text in self.inbox())
        self.assertEqual(subjects, list(range(25)))

    def test_a_recipient_whom_we_refuse_comes_back_from_postfix_with_our_words(self):
        self.at_postfix(self.me, ["nobody@mail.example"], b"Subject: x\r\n\r\nbody\r\n")
        notice = self.wait_for(self.inbox)[0]
        self.assertIn(b"Return-Path: <>", notice)
        self.assertIn(b"nobody@mail.example", notice)
        self.assertIn(b"550 5.1.1", notice)

    def test_we_deliver_to_postfix_over_verified_tls(self):
        body = ".\r\n..dots\r\nbody \u00df\r\n".encode()
        text = f"From: {self.me}\r\nSubject: tide\r\n\r\n".encode() + body
        self.assertEqual(self.at_ours(["friend@far.example"], text, mail_options=["BODY=8BITMIME"]), {})
        stored = self.wait_for(lambda: self.theirs.mail("friend"))[0]
        self.assertIn(b"with ESMTPS id", stored)
        self.assertIn(b"using TLSv1.3", stored)
        self.assertTrue(stored.endswith(body.replace(b"\r\n", b"\n")), stored)
        self.wait_for(lambda: self.ours.run("queue", "list") == "")
        self.assertEqual(self.ours.stop() + self.ours.verify(), [])

    def test_a_recipient_whom_postfix_refuses_comes_back_with_its_words(self):
        text = f"From: {self.me}\r\nSubject: tide\r\n\r\nbody\r\n"
        self.assertEqual(self.at_ours(["nobody@far.example", "friend@far.example"], text), {})
        self.wait_for(lambda: self.theirs.mail("friend"))
        notice = self.wait_for(self.inbox)[0]
        parts = email.message_from_bytes(notice, policy=email.policy.default)
        self.assertEqual(parts.get_content_type(), "multipart/report")
        told = notice.decode()
        self.assertIn("Final-Recipient: rfc822; nobody@far.example", told)
        self.assertIn("Status: 5.1.1", told)
        self.assertIn("Remote-MTA: dns; localhost", told)
        self.assertNotIn("friend@far.example\r\nAction", told)

    def test_a_receipt_asked_of_us_is_asked_of_postfix_and_comes_back(self):
        text = f"From: {self.me}\r\nSubject: tide\r\n\r\nbody\r\n"
        self.at_ours(
            ["friend@far.example"],
            text,
            mail_options=["RET=HDRS", "ENVID=tide-77"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE"],
        )
        self.wait_for(lambda: self.theirs.mail("friend"))
        notice = self.wait_for(self.inbox)[0].decode()
        self.assertIn("Original-Envelope-Id: tide-77", notice)
        self.assertIn("Action: delivered", notice)
        self.assertNotIn("\r\n\r\nbody\r\n", notice)

    def test_an_address_in_unicode_travels_both_ways(self):
        sender = "fr\u00fchling@far.example"
        text = f"From: {sender}\r\nSubject: fr\u00fch\r\n\r\nbody\r\n".encode()
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        self.at_postfix(sender, [self.me], text, mail_options=options)
        message = self.wait_for(self.inbox)[0].decode()
        self.assertIn(f"Return-Path: <{sender}>", message)
        self.assertIn(" with UTF8SMTPS id ", message)


if __name__ == "__main__":
    unittest.main()
