"""Logins with a token: Python's imaplib and curl, with a provider that is asked (RFC 7662)."""

import http.server
import imaplib
import json
import os
import shutil
import ssl
import subprocess
import threading
import unittest
import urllib.parse

import server
import waiting

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
NAME = "dock@mail.example"


class Provider(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        token = urllib.parse.parse_qs(body)["token"][0]
        answer = {"active": token == TOKEN}
        if answer["active"]:
            answer |= {"aud": ["imap"], "scope": "openid mail", "email": NAME}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs a server of its own")
class OAuth(unittest.TestCase):
    def setUp(self):
        self.begin(tls=False, ca=False)

    def begin(self, tls, ca):
        provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
        self.server = server.Server()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.make("ca", ["-addext", "keyUsage=critical,keyCertSign"])
            self.make(
                "provider",
                ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
                + ["-addext", "basicConstraints=critical,CA:FALSE"],
            )
            folder = self.server.folder
            context.load_cert_chain(folder / "provider.pem", folder / "provider.key")
            provider.socket = context.wrap_socket(provider.socket, server_side=True)
        threading.Thread(target=provider.serve_forever, daemon=True).start()
        self.addCleanup(provider.server_close)
        self.addCleanup(provider.shutdown)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{provider.server_port}"
        (self.server.folder / "secret").write_text("harbour\n")
        with open(self.server.config, "a") as config:
            config.write(
                f'\n[oauth]\nissuer = "{url}"\naudience = "imap"\nscope = "mail"\n'
                f'introspection_url = "{url}/introspect"\nclient_id = "pillarbox"\n'
                'client_secret_file = "secret"\n' + ('ca = "ca.pem"\n' if ca else "")
            )
        self.server.start()
        self.server.account(NAME)

    def make(self, name, options):
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
            + ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *options],
            cwd=self.server.folder,
            check=True,
            capture_output=True,
        )

    def message(self, mechanism, token):
        if mechanism == "XOAUTH2":
            return f"user={NAME}\1auth=Bearer {token}\1\1".encode()
        return f"n,a={NAME},\1auth=Bearer {token}\1\1".encode()

    def test_a_provider_is_believed_if_its_certificate_is(self):
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        for ca in (True, False):
            self.begin(tls=True, ca=ca)
            client = imaplib.IMAP4("127.0.0.1", self.server.imap)
            message = self.message("OAUTHBEARER", TOKEN)
            if ca:
                client.authenticate("OAUTHBEARER", lambda _: message)
            else:
                with self.assertRaisesRegex(imaplib.IMAP4.error, "UNAVAILABLE"):
                    client.authenticate("OAUTHBEARER", lambda _: message)
            client.logout()

    def test_imaplib_logs_in_with_a_good_token_only(self):
        for mechanism in ("XOAUTH2", "OAUTHBEARER"):
            client = imaplib.IMAP4("127.0.0.1", self.server.imap)
            self.assertIn(f"AUTH={mechanism}", client.capabilities)
            bad = iter([self.message(mechanism, "expired"), b"\1"])
            with self.assertRaisesRegex(imaplib.IMAP4.error, "AUTHENTICATIONFAILED"):
                client.authenticate(mechanism, lambda _: next(bad))
            client.authenticate(mechanism, lambda _: self.message(mechanism, TOKEN))
            self.assertEqual(client.select()[0], "OK")
            client.logout()
        self.assertEqual(self.server.stop(), [])

    def curl(self, mechanism, token):
        url = f"imap://127.0.0.1:{self.server.imap}/"
        login = ["--user", f"{NAME}:", "--login-options", f"AUTH={mechanism}"]
        return subprocess.run(
            ["curl", "-s", "--max-time", str(waiting.SECONDS), *login, "--oauth2-bearer", token, url],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_curl_logs_in_with_a_good_token_only(self):
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")
        for mechanism in ("XOAUTH2", "OAUTHBEARER"):
            listed = self.curl(mechanism, TOKEN)
            self.assertIn("INBOX", listed.stdout, listed)
            # 67: the server did not let it in.
            self.assertEqual(self.curl(mechanism, "expired").returncode, 67)
        self.assertEqual(self.server.stop(), [])


if __name__ == "__main__":
    unittest.main()
