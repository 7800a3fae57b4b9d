"""AUTHENTICATE EXTERNAL with a certificate that openssl has made. RFC 4422 App. A"""

import os
import shutil
import ssl
import subprocess
import unittest

import server
import wire


@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs a server of its own")
class External(unittest.TestCase):
    def setUp(self):
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        self.server = server.Server()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        self.folder = self.server.folder
        self.make("ca", "/CN=Harbour", [])
        self.make("server", "/CN=localhost", [])
        config = self.server.config.read_text()
        tls = '[tls]\ncertificate = "server.pem"\nkey = "server.key"\nclient_ca = "ca.pem"\n'
        self.server.config.write_text(config.replace("[[listen]]", tls + "[[listen]]", 1))
        self.server.start()

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def make(self, name, subject, options):
        self.openssl(
            *"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(),
            *["-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.pem", *options],
        )

    def client(self, certificate=None):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(
                self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key"
            )
        client = wire.Client(self.server.starttls)
        client.run(b"STARTTLS")
        client.socket = context.wrap_socket(client.socket)
        return client

    def test_a_certificate_opens_its_account(self):
        account = self.server.account("dock@mail.example")
        authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext"]
        address = f"subjectAltName=email:{account}"
        usage = ["-addext", "basicConstraints=critical,CA:FALSE"]
        self.make("dock", "/CN=Dock", [*authority, address, *usage])
        self.make("forged", "/CN=Dock", ["-addext", address])
        client = self.client("dock")
        self.assertIn(b"AUTH=EXTERNAL", client.run(b"CAPABILITY").untagged[0])
        client.run(b"AUTHENTICATE EXTERNAL =")
        client.run(b"SELECT INBOX")
        client.logout()
        # Without one it goes as ever.
        client = self.client()
        self.assertNotIn(b"AUTH=EXTERNAL", client.run(b"CAPABILITY").untagged[0])
        client.run(b"LOGIN %s %s" % (account.encode(), server.PASSWORD.encode()))
        client.logout()
        # One that somebody else has signed ends the connection.
        with self.assertRaises((ssl.SSLError, OSError, wire.WireError)):
            self.client("forged").run(b"CAPABILITY")
        self.assertEqual(self.server.stop(), [])
