"""Mail to and from Debian's Postfix, over STARTTLS on loopback."""

import base64
import email
import email.policy
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import engines
import languages
import ports
import postfix
import server
import waiting
import wire
import zones
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

OUTBOUND = """\

[outbound]
direct = true
allow_private = true
port = {port}
policy_port = {policy_port}
ca = "{ca}"
"""

NAMES = "DNS:localhost,DNS:mx.far.example,DNS:mta-sts.far.example"
ID = "<tide.77@mail.example>"


def certificate(folder):
    """A certificate for every name that is used here, which vouches for itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName={NAMES}"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem")],
        check=True,
        capture_output=True,
        timeout=waiting.SECONDS,
    )
    return folder / "tls.pem"


@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts servers of its own")
@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf(os.geteuid() != 0, "Postfix is started by root only")
class PostfixTest(unittest.TestCase):
    """A server of ours and a Postfix that know each other's ports."""

    def setUp(self):
        self.ours = server.Server()
        self.addCleanup(self.ours.remove)
        self.addCleanup(self.ours.kill)
        # Each needs the port of the other, and Postfix knows its own before it starts.
        smtp = ports.free()
        self.theirs = postfix.Postfix("mx.far.example", SETTINGS.format(ours=smtp))
        self.addCleanup(self.theirs.stop)
        self.certificate = certificate(self.theirs.folder / "config")
        config = self.ours.config.read_text().replace(
            'protocol = "smtp"\naddress = "127.0.0.1:0"', f'protocol = "smtp"\naddress = "127.0.0.1:{smtp}"'
        )
        self.ours.config.write_text(config + self.more())
        self.ours.start()
        self.theirs.start()
        self.me = self.ours.account("me@mail.example")

    def more(self):
        """Further lines of our configuration."""
        return ""

    def wait_for(self, found):
        return waiting.until(found, told=lambda: f"Postfix says:\n{self.theirs.log()[-4000:]}")

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


class Postfix(PostfixTest):
    def more(self):
        return RELAY.format(port=self.theirs.port, ca=self.certificate)

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


@unittest.skipIf("PILLARBOX_ZONES" not in os.environ, "needs the name server for tests: cargo xtask e2e")
class Direct(PostfixTest):
    """Our mail goes to the MX of its domain, as the zone and the policy of the domain demand."""

    MX = "@ MX 10 mx\nmx A 127.0.0.1\n"

    def setUp(self):
        self.zones = zones.Zones({"signed:far.example": self.MX})
        self.addCleanup(self.zones.stop)
        self.policy_port = ports.free()
        super().setUp()

    def more(self):
        return self.zones.config() + OUTBOUND.format(
            port=self.theirs.port, policy_port=self.policy_port, ca=self.certificate
        )

    def tlsa(self, flaw=0):
        """The record of Postfix's key, or of another. RFC 6698 §2.1"""
        command = ["openssl", "x509", "-in", str(self.certificate), "-noout", "-pubkey"]
        key = subprocess.run(command, capture_output=True, check=True).stdout
        command = ["openssl", "pkey", "-pubin", "-outform", "DER"]
        key = subprocess.run(command, input=key, capture_output=True, check=True).stdout
        digest = bytearray(hashlib.sha256(key).digest())
        digest[0] ^= flaw
        return f"_{self.theirs.port}._tcp.mx TLSA 3 1 1 {digest.hex()}\n"

    def serve_policy(self, mx):
        """RFC 8461 §3.3"""
        text = f"version: STSv1\r\nmode: enforce\r\nmx: {mx}\r\nmax_age: 86400\r\n".encode()

        class Policy(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.path == "/.well-known/mta-sts.txt"
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(text) if known else 0))
                self.end_headers()
                self.wfile.write(text if known else b"")

            def log_message(self, *_):
                pass

        web = http.server.ThreadingHTTPServer(("127.0.0.1", self.policy_port), Policy)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.certificate.with_name("tls.key"))
        web.socket = context.wrap_socket(web.socket, server_side=True)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)

    def send(self):
        text = f"From: {self.me}\r\nMessage-ID: {ID}\r\nSubject: confidential\r\n\r\nbody\r\n"
        self.assertEqual(self.at_ours(["friend@far.example"], text), {})

    def arrived(self):
        stored = self.wait_for(lambda: self.theirs.mail("friend"))
        self.assertEqual(len(stored), 1)
        self.assertIn(b"with ESMTPS id", stored[0])
        self.wait_for(lambda: self.ours.run("queue", "list") == "")
        # What Postfix said last, which holds the name of its own entry.
        story = self.wait_for(lambda: self.story("queued as"))
        self.assertIn("friend@far.example", story)
        self.assertNotIn("confidential", story)
        self.assertEqual(self.ours.stop() + self.ours.verify(), [])

    def story(self, words):
        told = self.ours.run("why", ID)
        return told if words in told else None

    def waits(self):
        entry = self.ours.tried_and_waiting()
        self.assertEqual(self.theirs.mail("friend"), [])
        return entry

    def test_mail_goes_to_the_mx_over_tls_that_nobody_vouches_for(self):
        self.send()
        self.arrived()

    def test_a_certificate_that_the_zone_names_is_taken(self):
        self.zones.replace("signed:far.example", self.MX + self.tlsa())
        self.send()
        self.arrived()

    def test_s013_nothing_is_sent_to_a_certificate_that_the_zone_does_not_name(self):
        self.zones.replace("signed:far.example", self.MX + self.tlsa(flaw=1))
        self.send()
        entry = self.waits()
        self.zones.replace("signed:far.example", self.MX + self.tlsa())
        time.sleep(1.1)  # the record has a second to live
        self.ours.run("queue", "retry", entry)
        self.arrived()

    def sts(self):
        records = '_mta-sts TXT "v=STSv1; id=1"\nmta-sts A 127.0.0.1\n'
        self.zones.replace("far.example", self.MX + records)

    def test_a_policy_that_names_the_mx_is_kept(self):
        self.sts()
        self.serve_policy("mx.far.example")
        self.send()
        self.arrived()

    def test_s013_nothing_is_sent_to_an_mx_that_the_policy_does_not_name(self):
        self.sts()
        self.serve_policy("other.far.example")
        self.send()
        self.waits()


@unittest.skipIf("PILLARBOX_ZONES" not in os.environ, "needs the name server for tests: cargo xtask e2e")
class Checked(PostfixTest):
    """Senders are checked, and our own mail is signed."""

    def setUp(self):
        try:
            languages.python("dkim")
        except (RuntimeError, ImportError) as error:
            self.fail(str(error))
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-keys-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.records = {}
        for domain in ("far.example", "mail.example"):
            for selector, algorithm in (("r", "RSA"), ("e", "ED25519")):
                self.key(domain, selector, algorithm)
        policy = '_dmarc TXT "v=DMARC1; p=reject"\n@ TXT "v=spf1 ip4:127.0.0.1 -all"\n'
        self.zones = zones.Zones(
            {
                "far.example": "@ MX 10 mx\nmx A 127.0.0.1\n" + policy + self.lines("far.example"),
                "mail.example": self.lines("mail.example"),
                "nobody.example": "@ MX 10 mx\nmx A 127.0.0.1\n",
                "elsewhere.example": '@ MX 10 mx\n@ TXT "v=spf1 ip4:127.0.0.1 -all"\nmx A 127.0.0.1\n',
            }
        )
        self.addCleanup(self.zones.stop)
        super().setUp()

    def key(self, domain, selector, algorithm):
        """A key as a file, and its record. RFC 6376 §3.6.1, RFC 8463 §4"""
        file = self.folder / f"{domain}-{selector}.pem"
        words = ["openssl", "genpkey", "-algorithm", algorithm, "-out", str(file)]
        words += ["-pkeyopt", "rsa_keygen_bits:2048"] if algorithm == "RSA" else []
        subprocess.run(words, check=True, capture_output=True, timeout=waiting.SECONDS)
        file.chmod(0o600)
        words = ["openssl", "pkey", "-in", str(file), "-pubout", "-outform", "DER"]
        public = subprocess.run(words, check=True, capture_output=True).stdout
        # Of Ed25519 only the last 32 octets, which are the key.
        public = public if algorithm == "RSA" else public[-32:]
        text = f"v=DKIM1; k={algorithm.lower()}; p={base64.b64encode(public).decode()}"
        self.records[f"{selector}._domainkey.{domain}."] = text

    def lines(self, domain):
        lines = []
        for name, text in self.records.items():
            if name.endswith(f".{domain}."):
                pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
                lines.append(f"{name} TXT " + " ".join(f'"{piece}"' for piece in pieces))
        return "\n".join(lines) + "\n"

    def more(self):
        signing = "".join(
            f'\n[[dkim]]\ndomain = "mail.example"\nselector = "{selector}"\n'
            f'key = "{self.folder}/mail.example-{selector}.pem"\n'
            for selector in ("r", "e")
        )
        relay = RELAY.format(port=self.theirs.port, ca=self.certificate)
        return self.zones.config() + "\n[inbound]\ntrusted_networks = []\n" + signing + relay

    def signed(self, text):
        """By dkimpy, with both keys."""
        import dkim

        private = (self.folder / "far.example-r.pem").read_bytes()
        fields = dkim.sign(text, b"r", b"far.example", private)
        words = ["openssl", "pkey", "-in", str(self.folder / "far.example-e.pem"), "-outform", "DER"]
        seed = subprocess.run(words, check=True, capture_output=True).stdout[-32:]
        fields += dkim.sign(
            text, b"e", b"far.example", base64.b64encode(seed), signature_algorithm=b"ed25519-sha256"
        )
        return fields + text

    TEXT = b"From: friend@far.example\r\nTo: me@mail.example\r\nSubject: tide\r\n\r\nbody\r\n"

    def sealed(self, text):
        """By dkimpy."""
        import dkim

        private = (self.folder / "far.example-r.pem").read_bytes()
        text = b"Authentication-Results: far.example; arc=none\r\n" + text
        return b"".join(dkim.arc_sign(text, b"r", b"far.example", private, b"far.example")) + text

    def at_strangers_port(self, to, text):
        with smtplib.SMTP("127.0.0.1", self.ours.smtp) as smtp:
            self.assertEqual(smtp.sendmail("friend@far.example", [to], text), {})

    def record(self, name, timeout=5):
        return self.records[name.decode()].encode()

    def results(self, message):
        found = email.message_from_bytes(message, policy=email.policy.default)
        results = [" ".join(text.split()) for text in found.get_all("Authentication-Results", [])]
        self.assertEqual(len(results), 1, results)
        self.assertTrue(results[0].startswith("mail.example;"), results)
        return results[0]

    def test_mail_that_dkimpy_signed_passes_through_postfix(self):
        self.at_postfix("friend@far.example", [self.me], self.signed(self.TEXT))
        results = self.results(self.wait_for(self.inbox)[0])
        self.assertEqual(results.count("dkim=pass"), 2, results)
        self.assertIn("spf=pass", results)
        self.assertIn("dmarc=pass", results)

    def handed_to_postfix(self, sender, notify):
        """By its sendmail, which asks for notices as people there do."""
        words = ["/usr/sbin/sendmail", "-N", notify, "-V", "tide-77", "-f", sender, self.me]
        done = subprocess.run(
            words,
            input=self.TEXT.replace(b"friend@far.example", sender.encode()).replace(b"\r\n", b"\n"),
            capture_output=True,
            timeout=60,
            env=dict(os.environ, MAIL_CONFIG=str(self.theirs.folder / "config")),
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_receipt_asked_of_us_comes_back_once_and_to_a_proved_sender_only(self):
        # A sender whom nothing proves comes first: had we told him, it would be seen by the end.
        self.handed_to_postfix("friend@nobody.example", "success")
        self.wait_for(lambda: len(self.inbox()) == 1)
        self.handed_to_postfix("friend@far.example", "success,failure")
        notices = self.wait_for(lambda: self.theirs.mail("friend"))
        self.assertEqual(len(self.inbox()), 2)
        self.assertEqual(len(notices), 1, notices)
        notice = email.message_from_bytes(notices[0], policy=email.policy.default)
        self.assertEqual(notice.get_content_type(), "multipart/report")
        told = notices[0].decode()
        self.assertIn("Return-Path: <>", told)
        self.assertIn("Original-Envelope-Id: tide-77", told)
        self.assertIn("Reporting-MTA: ", told)
        self.assertIn(f"Original-Recipient: rfc822; {self.me}\nFinal-Recipient: rfc822; {self.me}", told)
        self.assertIn("Action: delivered\nStatus: 2.0.0\n", told)
        self.assertIn("Subject: tide", told)
        self.assertNotIn("\nbody\n", told)
        self.wait_for(lambda: self.ours.run("queue", "list") == "")
        self.assertEqual(len(self.theirs.mail("friend")), 1)
        self.assertEqual(self.ours.stop() + self.ours.verify(), [])

    def test_a_signature_alone_is_enough_and_a_forged_result_is_taken_away(self):
        lie = b"Authentication-Results: mail.example; dmarc=pass header.from=lie.example\r\n"
        self.at_postfix("list@elsewhere.example", [self.me], lie + self.signed(self.TEXT))
        message = self.wait_for(self.inbox)[0]
        self.assertIn("dmarc=pass", self.results(message))
        self.assertNotIn(b"lie.example", message)

    def test_mail_that_its_domain_disowns_is_refused(self):
        changed = self.signed(self.TEXT).replace(b"body", b"evil")
        with smtplib.SMTP("127.0.0.1", self.ours.smtp) as smtp:
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                smtp.sendmail("list@elsewhere.example", [self.me], changed)
        self.assertEqual(refused.exception.smtp_code, 550)
        self.assertIn(b"5.7.26", refused.exception.smtp_error)
        self.assertEqual(self.inbox(), [])

    def test_dkimpy_verifies_what_we_signed(self):
        import dkim

        text = f"From: {self.me}\r\nSubject: tide\r\n\r\n.\r\nbody  \r\n\r\n\r\n"
        self.assertEqual(self.at_ours(["friend@far.example"], text), {})
        stored = self.wait_for(lambda: self.theirs.mail("friend"))[0].replace(b"\n", b"\r\n")
        signatures = stored.count(b"DKIM-Signature:")
        self.assertEqual(signatures, 2, stored)

        for index in range(signatures):
            verifier = dkim.DKIM(stored)
            self.assertTrue(verifier.verify(idx=index, dnsfunc=self.record), stored)
        for index in range(signatures):
            verifier = dkim.DKIM(stored.replace(b"body", b"evil"))
            with self.assertRaises(dkim.ValidationError):
                verifier.verify(idx=index, dnsfunc=self.record)

    def test_what_dkimpy_sealed_holds_until_the_text_changes(self):
        sealed = self.sealed(self.signed(self.TEXT))
        self.at_strangers_port(self.me, sealed)
        self.at_strangers_port(self.me, sealed.replace(b": tide", b": time"))
        found = [re.search(rb"\barc=\w+", message).group().decode() for message in self.inbox()]
        self.assertEqual(found, ["arc=pass", "arc=fail"])

    def test_dkimpy_verifies_what_we_sealed_when_we_forwarded_it(self):
        import dkim

        self.ours.run("alias", "add", "info@mail.example", "--to", "friend@far.example")
        # Postfix adds Date and Message-ID for clients of its own machine.
        text = self.signed(self.TEXT)
        for sets, handed_in in enumerate((text, self.sealed(text))):
            self.at_strangers_port("info@mail.example", handed_in)
            # Which comes first in the folder is not said.
            arrived = self.wait_for(lambda: [it for it in self.theirs.mail("friend") if it.count(b"ARC-Seal:") == sets + 1])
            stored = arrived[0].replace(b"\n", b"\r\n")
            status, _, reason = dkim.arc_verify(stored, dnsfunc=self.record)
            self.assertEqual(status, b"pass", reason)
            changed = stored.replace(b"body", b"evil")
            self.assertEqual(dkim.arc_verify(changed, dnsfunc=self.record)[0], b"fail")

    def test_a_chain_that_was_broken_on_its_way_is_sealed_as_broken(self):
        self.ours.run("alias", "add", "info@mail.example", "--to", "friend@far.example")
        broken = self.signed(self.sealed(self.TEXT).replace(b"body", b"text"))
        self.at_strangers_port("info@mail.example", broken)
        stored = self.wait_for(lambda: self.theirs.mail("friend"))[0]
        self.assertRegex(stored, rb"ARC-Seal: i=2; a=rsa-sha256; cv=fail;")


if __name__ == "__main__":
    unittest.main()
