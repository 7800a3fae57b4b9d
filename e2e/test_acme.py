"""Certificates that are ordered, served and renewed: against Debian's pebble."""

import os
import smtplib
import socket
import ssl
import unittest

import authority
import engines
import ports
import server
import waiting
import wire

LISTEN = """\

[[listen]]
protocol = "http"
address = "127.0.0.1:{http}"
tls = "none"

[[listen]]
protocol = "http"
address = "127.0.0.1:{https}"
tls = "implicit"

[acme]
directory = "{directory}"
contact = ["postmaster@mail.example"]
ca = "{ca}"
challenge = "{challenge}"
"""

HOOK = """\
case "$1" in
present) printf %s "$3" >"{records}/$2" ;;
cleanup) rm "{records}/$2" ;;
esac
"""

HOSTS = {"mail.example"} | {
    f"{host}.mail.example" for host in ("mta-sts", "autoconfig", "autodiscover")
}


@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs a server of its own")
class Acme(unittest.TestCase):
    def begin(self, challenge, hidden=()):
        self.server = server.Server()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        http, self.https = ports.free(), ports.free()
        self.authority = authority.Authority(self.server.folder, http, self.https, hidden)
        self.addCleanup(self.authority.end)
        config = LISTEN.format(
            http=http,
            https=self.https,
            directory=self.authority.directory,
            ca=self.authority.ca,
            challenge=challenge,
        )
        if challenge == "dns-01":
            hook = self.server.folder / "hook.sh"
            hook.write_text(HOOK.format(records=self.authority.records))
            config += f'hook = ["/bin/sh", "{hook}"]\n'
        with open(self.server.config, "a") as file:
            file.write(config)
        self.server.start()

    def shown(self, port):
        """The certificate that is served, verified as the authority's and as the server's."""
        context = ssl.create_default_context(cadata=self.authority.root())
        with socket.create_connection(("127.0.0.1", port), timeout=waiting.SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname="mail.example") as secure:
                names = {name for _, name in secure.getpeercert()["subjectAltName"]}
                return secure.getpeercert(binary_form=True), names

    def issued(self):
        def shown():
            try:
                return self.shown(self.server.imaps)
            except ssl.SSLCertVerificationError:
                return None

        return waiting.until(shown, "a certificate", self.authority.said)

    def deliver(self, account):
        with smtplib.LMTP("127.0.0.1", self.server.lmtp) as lmtp:
            lmtp.sendmail("a@far.example", [account], b"Subject: tide\r\n\r\nhigh\r\n")

    def test_http_01_and_a_renewal_that_no_connection_notices(self):
        self.begin("http-01")
        first, names = self.issued()
        self.assertEqual(names, HOSTS)
        account = self.server.account("dock@mail.example")
        idle = wire.Client(self.server.imaps, account, server.PASSWORD, tls=True)
        idle.run(b"SELECT INBOX")
        tag = idle.idle()
        told = self.server.run("acme", "renew")
        self.assertIn("valid until", told)
        self.assertNotIn("missing", told)
        second, _ = self.shown(self.server.imaps)
        self.assertNotEqual(first, second)
        # Every listener shows the new one, and the old connection goes on.
        self.assertEqual(self.shown(self.https)[0], second)
        self.deliver(account)
        idle.until(lambda response: response == [b"1", b"EXISTS"])
        idle.done(tag)
        idle.logout()
        # It is kept: a new start orders nothing.
        self.assertEqual(self.server.stop(), [])
        self.server.start()
        self.assertEqual(self.shown(self.server.imaps)[0], second)
        kept = self.server.folder / "data" / "acme"
        for file in kept.iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
        self.assertEqual(self.server.stop(), [])

    def test_tls_alpn_01(self):
        self.begin("tls-alpn-01")
        self.assertEqual(self.issued()[1], HOSTS)
        self.assertEqual(self.server.stop(), [])

    def test_dns_01_by_a_program(self):
        self.begin("dns-01")
        self.assertEqual(self.issued()[1], HOSTS)
        # What it made it has removed.
        self.assertEqual(list(self.authority.records.iterdir()), [])
        self.assertEqual(self.server.stop(), [])

    def test_a_name_that_is_nowhere_does_not_hold_up_the_others(self):
        missing = "autodiscover.mail.example"
        self.begin("http-01", hidden=[missing])
        self.assertEqual(self.issued()[1], HOSTS - {missing})
        def status():
            return self.server.run("acme", "status")

        waiting.until(lambda: f"missing: {missing}\n" in status(), f"missing: {missing}", status)
        self.assertIn("last trouble: ", status())

    def test_without_an_authority_mail_goes_on(self):
        self.begin("http-01")
        self.issued()
        self.authority.process.terminate()
        self.authority.process.wait()
        with self.assertRaises(RuntimeError):
            self.server.run("acme", "renew")
        account = self.server.account("dock@mail.example")
        wire.Client(self.server.imap, account, server.PASSWORD).logout()
        self.assertIn("valid until", self.server.run("acme", "status"))
        # One that comes back without its memory does not know the account: a new one is made.
        self.authority.begin()
        with self.assertRaises(RuntimeError):
            self.server.run("acme", "renew")
        self.server.run("acme", "renew")
        self.shown(self.server.imaps)

    def test_files_of_the_configuration_are_checked(self):
        self.begin("dns-01")
        self.issued()
        self.assertIn("no mistakes", self.server.run("serve", "--check"))
        config = self.server.config.read_text()
        self.server.config.write_text(config.replace('"/bin/sh"', '"/bin/none"'))
        with self.assertRaisesRegex(RuntimeError, r"\[acme\]: /bin/none: "):
            self.server.run("serve", "--check")
