"""`pillarbox account` on a server that runs, and on its data when it does not."""

import os
import unittest

import server
import wire


@unittest.skipIf("PILLARBOX_AT" in os.environ, "needs the program")
class Accounts(unittest.TestCase):
    def setUp(self):
        self.server = server.Server().start()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)

    def account(self, *words, stdin=""):
        return self.server.run("account", *words, stdin=stdin)

    def can_sign_in(self, name, password):
        try:
            client = wire.Client(self.server.imap, name, password)
        except wire.WireError:
            return False
        client.logout()
        return True

    def names(self):
        return {line.strip() for line in self.account("list").splitlines() if line.strip()}

    def lifecycle(self):
        self.account("add", "one@mail.example", "--password-stdin", stdin="first secret\n")
        self.account("import", "-", stdin="two@mail.example:s:2\nthree@mail.example:s3 \n")
        self.assertEqual(
            self.names(), {"one@mail.example", "two@mail.example", "three@mail.example"}
        )
        self.account("passwd", "one@mail.example", "--password-stdin", stdin="second secret\n")
        self.account("remove", "three@mail.example")
        self.assertEqual(self.names(), {"one@mail.example", "two@mail.example"})
        with self.assertRaises(RuntimeError):
            self.account("add", "one@mail.example", "--password-stdin", stdin="again\n")
        with self.assertRaises(RuntimeError):
            self.account("passwd", "nobody@mail.example", "--password-stdin", stdin="x\n")

    def check_logins(self):
        self.assertTrue(self.can_sign_in("one@mail.example", "second secret"))
        self.assertFalse(self.can_sign_in("one@mail.example", "first secret"))
        self.assertTrue(self.can_sign_in("two@mail.example", "s:2"))
        self.assertFalse(self.can_sign_in("three@mail.example", "s3 "))

    def capabilities(self, client):
        return client.run(b"CAPABILITY").untagged[0]

    def hide(self):
        name = "four@mail.example"
        self.account("add", name, "--password-stdin", stdin="s 4\n")
        self.assertEqual(self.account("capability", name, "--list"), "")
        said = self.account("capability", name, "--hide", "qresync", "--hide", "COMPRESS=DEFLATE")
        self.assertEqual(said, "COMPRESS=DEFLATE\nQRESYNC\n")
        said = self.account("capability", name, "--hide", "MOVE", "--show", "COMPRESS=DEFLATE")
        self.assertEqual(said, "MOVE\nQRESYNC\n")
        # It is kept when the password is changed.
        self.account("passwd", name, "--password-stdin", stdin="s 5\n")
        self.assertEqual(self.account("capability", name, "--list"), "MOVE\nQRESYNC\n")
        for wrong in ("A B", "(A)", "CONDSTOR", "STARTTLS"):
            with self.assertRaises(RuntimeError):
                self.account("capability", name, "--hide", wrong)
        with self.assertRaises(RuntimeError):
            self.account("capability", "nobody@mail.example", "--list")

    def check_hidden(self):
        client = wire.Client(self.server.imap)
        self.assertIn(b"IDLE", self.capabilities(client))
        said = client.run(b'LOGIN four@mail.example "s 5"')
        for told in (said.text.split(b"]")[0].split(), self.capabilities(client)):
            self.assertNotIn(b"MOVE", told)
            self.assertNotIn(b"QRESYNC", told)
            self.assertIn(b"CONDSTORE", told)
            self.assertIn(b"COMPRESS=DEFLATE", told)
        # It cannot be enabled, but commands can be used.
        self.assertEqual(client.run(b"ENABLE QRESYNC").all(b"ENABLED"), [[b"ENABLED"]])
        client.run(b"APPEND INBOX %L", b"Subject: x\r\n\r\n")
        client.run(b"SELECT INBOX")
        client.run(b"MOVE 1 Trash")
        # The next account on this connection is told everything.
        client.run(b"UNAUTHENTICATE")
        client.run(b"LOGIN two@mail.example s:2")
        self.assertIn(b"QRESYNC", self.capabilities(client))
        client.logout()

    def test_capabilities_are_hidden_while_the_server_runs(self):
        self.lifecycle()
        self.hide()
        self.check_hidden()
        # UNAUTHENTICATE can be switched off. RFC 8437 §8
        self.account("capability", "four@mail.example", "--hide", "UNAUTHENTICATE")
        client = wire.Client(self.server.imap, "four@mail.example", "s 5")
        self.assertEqual(client.finish(client.send(b"UNAUTHENTICATE")).status, b"BAD")
        client.run(b"SELECT INBOX")
        client.logout()
        self.assertEqual(self.server.stop(), [])

    def test_capabilities_are_hidden_while_it_does_not(self):
        self.assertEqual(self.server.stop(), [])
        self.lifecycle()
        self.hide()
        self.server.start()
        self.check_hidden()

    def test_accounts_change_while_the_server_runs(self):
        self.lifecycle()
        self.check_logins()
        self.assertEqual(self.server.stop(), [])

    def test_accounts_change_while_it_does_not(self):
        self.assertEqual(self.server.stop(), [])
        self.lifecycle()
        self.server.start()
        self.check_logins()
        self.assertEqual(self.server.stop(), [])
        self.server.run("check")

    def test_a_new_password_holds_at_once_and_an_old_session_lives_on(self):
        self.account("add", "one@mail.example", "--password-stdin", stdin="old\n")
        client = wire.Client(self.server.imap, "one@mail.example", "old")
        self.account("passwd", "one@mail.example", "--password-stdin", stdin="new\n")
        self.assertFalse(self.can_sign_in("one@mail.example", "old"))
        self.assertTrue(self.can_sign_in("one@mail.example", "new"))
        client.run(b"SELECT INBOX")
        client.logout()

    def test_an_import_of_many_is_quick(self):
        lines = "".join(f"many{i}@mail.example:password {i}\n" for i in range(200))
        self.account("import", "-", stdin=lines)
        self.assertEqual(len(self.names()), 200)
        self.assertTrue(self.can_sign_in("many199@mail.example", "password 199"))


if __name__ == "__main__":
    unittest.main()
