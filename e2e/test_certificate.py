"""Certificate files that change are served; an unusable new one leaves the old one in place."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import unittest

import engines
import server
import waiting
import wire


@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs a server of its own")
class Certificate(unittest.TestCase):
    def setUp(self):
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        self.server = server.Server()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        self.make()
        config = self.server.config.read_text()
        tls = '[tls]\ncertificate = "server.pem"\nkey = "server.key"\n'
        self.server.config.write_text(config.replace("[[listen]]", tls + "[[listen]]", 1))
        self.server.start()

    def make(self):
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
            + "-subj /CN=localhost -keyout server.key -out server.pem".split(),
            cwd=self.server.folder,
            check=True,
            capture_output=True,
        )

    def shown(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.server.imaps), timeout=waiting.SECONDS) as plain:
            with context.wrap_socket(plain) as secure:
                return secure.getpeercert(binary_form=True)

    def reload(self, told):
        """Asks the server to read its files again, and waits until it says what came of it."""
        before = self.server.log.read_text().count(told)
        self.server.process.send_signal(signal.SIGHUP)
        waiting.until(lambda: self.server.log.read_text().count(told) > before, told)

    def test_new_connections_see_it_and_old_ones_go_on(self):
        account = self.server.account("dock@mail.example")
        old = wire.Client(self.server.imaps, account, server.PASSWORD, tls=True)
        first = self.shown()
        self.make()
        self.reload("certificate read again")
        second = self.shown()
        self.assertNotEqual(first, second)
        old.run(b"SELECT INBOX")
        old.logout()
        (self.server.folder / "server.pem").write_text("torn")
        self.reload("the old certificate stays")
        self.assertEqual(self.shown(), second)
