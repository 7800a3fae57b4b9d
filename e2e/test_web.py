"""What mail programs find over HTTP: read by Python's XML and plist parsers, fetched by curl."""

import os
import plistlib
import re
import smtplib
import socket
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import engines
import server
import waiting

LISTEN = """\

[[listen]]
protocol = "http"
address = "127.0.0.1:0"
tls = "implicit"

[[listen]]
protocol = "http"
address = "127.0.0.1:0"
tls = "none"

[mta_sts]
mode = "enforce"
"""

REQUEST = """\
<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
  <Request>
    <EMailAddress>dock@mail.example</EMailAddress>
    <AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
  </Request>
</Autodiscover>
"""

OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"


@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs a server of its own")
class Web(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server.Server()
        with open(cls.server.config, "a") as config:
            config.write(LISTEN)
        cls.server.start()
        ready = cls.server.ready.read_text()
        ports = re.findall(r'"protocol": "http",\s+"address": "127.0.0.1:(\d+)"', ready)
        cls.https, cls.http = map(int, ports)

    @classmethod
    def tearDownClass(cls):
        complaints = cls.server.stop()
        cls.server.remove()
        assert not complaints, complaints

    def curl(self, host, target, *options, tls=True):
        """Status and body."""
        port = self.https if tls else self.http
        place = f"{'https' if tls else 'http'}://{host}:{port}{target}"
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(waiting.SECONDS)]
        # The certificate is the server's own; whose it is does not matter here.
        command += ["--insecure", "--resolve", f"{host}:{port}:127.0.0.1", *options]
        command += ["--write-out", "%{http_code}", place]
        done = subprocess.run(command, capture_output=True, check=True)
        return int(done.stdout[-3:]), done.stdout[:-3]

    def test_thunderbird_autoconfig(self):
        first = self.curl("autoconfig.mail.example", "/mail/config-v1.1.xml")
        target = "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=dock%40mail.example"
        second = self.curl("mail.example", target)
        self.assertEqual(first, second)
        self.assertEqual(first[0], 200)
        root = ElementTree.fromstring(first[1])
        self.assertEqual((root.tag, root.attrib), ("clientConfig", {"version": "1.1"}))
        (provider,) = root
        self.assertEqual((provider.tag, provider.attrib), ("emailProvider", {"id": "mail.example"}))
        self.assertEqual(provider.findtext("domain"), "mail.example")
        found = []
        for place in provider.findall("incomingServer") + provider.findall("outgoingServer"):
            parts = {part.tag: part.text for part in place}
            expected = {"hostname", "port", "socketType", "authentication", "username"}
            self.assertEqual(set(parts), expected)
            self.assertEqual(parts["hostname"], "mail.example")
            self.assertEqual(parts["authentication"], "password-cleartext")
            self.assertEqual(parts["username"], "%EMAILADDRESS%")
            found.append((place.attrib["type"], parts["socketType"], int(parts["port"])))
        self.assertEqual(
            found,
            [
                ("imap", "SSL", self.server.imaps),
                ("imap", "STARTTLS", self.server.starttls),
                ("smtp", "SSL", self.server.submissions),
                ("smtp", "STARTTLS", self.server.submission),
            ],
        )
        status, _ = self.curl("mail.example", target.replace("mail.example", "far.example"))
        self.assertEqual(status, 404)

    def test_what_is_told_works(self):
        """The port that comes first for handing in is one where a login succeeds."""
        account = self.server.account("dock@mail.example")
        _, body = self.curl("autoconfig.mail.example", "/mail/config-v1.1.xml")
        port = int(ElementTree.fromstring(body).findtext(".//outgoingServer/port"))
        from test_smtp import UNVOUCHED

        with smtplib.SMTP_SSL("127.0.0.1", port, context=UNVOUCHED) as smtp:
            smtp.login(account, server.PASSWORD)

    def test_autodiscover(self):
        def post(body, host="autodiscover.mail.example"):
            options = ["--header", "Content-Type: text/xml", "--data-binary", body]
            return self.curl(host, "/Autodiscover/Autodiscover.xml", *options)

        status, body = post(REQUEST)
        self.assertEqual(status, 200)
        account = ElementTree.fromstring(body).find(f"{OUTLOOK}Response/{OUTLOOK}Account")
        protocols = [
            {part.tag.removeprefix(OUTLOOK): part.text for part in protocol}
            for protocol in account.findall(f"{OUTLOOK}Protocol")
        ]
        self.assertEqual([it["Type"] for it in protocols], ["IMAP", "IMAP", "SMTP", "SMTP"])
        self.assertEqual(int(protocols[0]["Port"]), self.server.imaps)
        self.assertEqual({it["LoginName"] for it in protocols}, {"dock@mail.example"})
        # Who has a mailbox cannot be found out.
        other = post(REQUEST.replace("dock@", "nobody@"))
        self.assertEqual((other[0], other[1].replace(b"nobody@", b"dock@")), (status, body))
        self.assertEqual(post(REQUEST.replace("mail.example", "far.example"))[0], 404)
        entity = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
        self.assertEqual(post(entity)[0], 400)
        self.assertEqual(post("x" * 20_000)[0], 413)

    def test_apple_profile(self):
        target = "/mail/apple.mobileconfig?email=dock@mail.example"
        status, body = self.curl("mail.example", target)
        self.assertEqual(status, 200)
        profile = plistlib.loads(body)
        (mail,) = profile["PayloadContent"]
        self.assertEqual(mail["PayloadType"], "com.apple.mail.managed")
        self.assertEqual(mail["IncomingMailServerPortNumber"], self.server.imaps)
        self.assertEqual(mail["OutgoingMailServerPortNumber"], self.server.submissions)
        self.assertTrue(mail["IncomingMailServerUseSSL"])
        self.assertEqual(mail["EmailAddress"], "dock@mail.example")
        self.assertEqual(self.curl("mail.example", target)[1], body)

    def test_the_policy_and_cleartext(self):
        path = "/.well-known/mta-sts.txt"
        status, body = self.curl("mta-sts.mail.example", path)
        self.assertEqual(status, 200)
        text = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example\r\nmax_age: 604800\r\n"
        self.assertEqual(body, text)
        self.assertEqual(self.curl("mail.example", path)[0], 404)
        self.assertEqual(self.curl("mta-sts.mail.example", path, tls=False)[0], 404)
        target = "/mail/config-v1.1.xml"
        options = ["--include"]
        status, body = self.curl("autoconfig.mail.example", target, *options, tls=False)
        self.assertEqual(status, 302)
        self.assertIn(b"location: https://autoconfig.mail.example/mail/config-v1.1.xml\r\n", body)
        self.assertEqual(self.curl("far.example", target, tls=False)[0], 404)
        self.assertEqual(self.curl("any.example", "/healthz", tls=False), (200, b"ok\n"))

    def test_s012_mail_commands_are_cut_off(self):
        for command in (b"EHLO canary\r\n", b"a1 LOGIN canary canary\r\n"):
            with socket.create_connection(("127.0.0.1", self.http), timeout=waiting.SECONDS) as plain:
                plain.sendall(command)
                said = b""
                while piece := plain.recv(4096):
                    said += piece
            self.assertNotIn(b"canary", said)
