"""From an empty machine to the first exchange: `setup` beside a name server of our own, its records set as it prints them, and
mail to and from Postfix."""

import json
import os
import pathlib
import re
import shutil
import smtplib
import subprocess
import tempfile
import unittest

import engines
import languages
import ports
import postfix
import server
import waiting
import wire
import zones
from test_postfix import SETTINGS, certificate
from test_smtp import UNVOUCHED


@unittest.skipIf("PILLARBOX_AT" in os.environ, "sets a server of its own up")
@unittest.skipIf(engines.ENGINE != "local", "what mail is kept in makes no difference")
@unittest.skipIf("PILLARBOX_ZONES" not in os.environ, "needs the name server for tests: cargo xtask e2e")
@unittest.skipIf(os.geteuid() != 0, "Postfix is started by root only")
class Setup(unittest.TestCase):
    ME = "me@near.example"

    def setUp(self):
        self.prefix = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-setup-"))
        self.addCleanup(shutil.rmtree, self.prefix, ignore_errors=True)
        self.zones = zones.Zones({"near.example": "", "far.example": "@ MX 10 mx\nmx A 127.0.0.1\n"})
        self.addCleanup(self.zones.stop)
        self.ports = {port: ports.free() for port in ("25", "465", "587", "993", "443", "80")}
        settings = SETTINGS.replace("mail.example", "near.example").format(ours=self.ports["25"])
        self.theirs = postfix.Postfix("mx.far.example", settings)
        self.addCleanup(self.theirs.stop)
        self.authority = certificate(self.theirs.folder / "config")
        self.theirs.start()
        self.config = self.prefix / "etc/pillarbox/pillarbox.toml"
        self.look = ["--address", "127.0.0.1", "--no-block-lists", "--probe", f"127.0.0.1:{self.theirs.port}"]

    def run_program(self, *words, stdin=""):
        command = [os.environ["PILLARBOX"], *words]
        return subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=server.RUN_SECONDS, check=False)

    def set_up(self):
        return self.run_program(
            *["setup", self.ME, "--prefix", str(self.prefix), "--self-signed", "--yes", "--despite-failures"],
            *["--password-stdin", "--name-server", self.zones.address],
            *["--trust-anchor", str(self.zones.trust_anchor), *self.look],
            stdin=server.PASSWORD + "\n",
        )

    def set_records(self):
        """Sets the zone as it is printed."""
        done = self.run_program("dns", "records", "--form", "zone", "--config", str(self.config), "--address", "127.0.0.1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.zones.replace("near.example", done.stdout)
        return done.stdout

    def serve(self):
        """Serves what was set up, at other ports, and with leave to dial this machine."""
        text = self.config.read_text()
        for port, ours in self.ports.items():
            text = text.replace(f'"[::]:{port}"', f'"127.0.0.1:{ours}"')
        outbound = f'direct = true\nallow_private = true\nport = {self.theirs.port}\nca = "{self.authority}"'
        text = text.replace("direct = true", outbound)
        self.config.write_text(text + "\n[inbound]\ntrusted_networks = []\n")
        ready = self.prefix / "ready.json"
        log = open(self.prefix / "log", "wb")
        self.addCleanup(log.close)
        command = [os.environ["PILLARBOX"], "serve", "--config", str(self.config), "--ready-file", str(ready)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        server.wait_for("ready file", ready.exists, self.process)

    def wait_for(self, found):
        def told():
            log = (self.prefix / "log").read_text(errors="replace")
            return f"{log[-3000:]}\nPostfix says:\n{self.theirs.log()[-3000:]}"

        return waiting.until(found, told=told)

    def inbox(self):
        client = wire.Client(self.ports["993"], self.ME, server.PASSWORD, tls=True)
        client.run(b"EXAMINE INBOX")
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[])")
        client.logout()
        return [wire.fetched(line)[b"BODY[]"] for line in reply.all(b"FETCH")]

    def test_from_an_empty_machine_to_the_first_exchange(self):
        done = self.set_up()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        zone = self.set_records()
        self.serve()
        told = self.run_program("doctor", "--json", "--config", str(self.config), *self.look)
        findings = json.loads(told.stdout.splitlines()[-1])["findings"]
        grades = {finding["what"]: finding["grade"] for finding in findings}
        self.assertNotIn("FAIL", grades.values(), told.stdout)
        for kind in ("address", "MX", "SPF", "DKIM rsa", "DKIM ed", "DMARC", "port", "outbound port 25"):
            of_kind = {grade for what, grade in grades.items() if what.startswith(kind)}
            self.assertEqual(of_kind, {"OK"}, f"{kind}: {told.stdout}")

        with smtplib.SMTP_SSL("127.0.0.1", self.ports["465"], context=UNVOUCHED) as smtp:
            smtp.login(self.ME, server.PASSWORD)
            smtp.sendmail(self.ME, ["friend@far.example"], f"From: {self.ME}\r\nSubject: out\r\n\r\nbody\r\n")
        stored = self.wait_for(lambda: self.theirs.mail("friend"))[0].replace(b"\n", b"\r\n")
        languages.python("dkim")
        import dkim

        def record(name, timeout=5):
            owner = name.decode().removesuffix(".near.example.")
            line = next(line for line in zone.splitlines() if line.split(" ")[0] == owner)
            return "".join(re.findall(r'"([^"]*)"', line)).encode()

        self.assertEqual(stored.count(b"DKIM-Signature:"), 2)
        for index in range(2):
            self.assertTrue(dkim.DKIM(stored).verify(idx=index, dnsfunc=record))

        with smtplib.SMTP("127.0.0.1", self.theirs.port) as smtp:
            smtp.sendmail("friend@far.example", ["postmaster@near.example"], "Subject: in\r\n\r\nbody\r\n")
        self.assertIn(b"Subject: in", self.wait_for(self.inbox)[0])

    def test_a_second_setup_changes_nothing(self):
        self.assertEqual(self.set_up().returncode, 0)
        files = sorted(file for file in self.prefix.rglob("*.*") if file.is_file() and file.suffix in (".toml", ".pem", ".json"))
        before = [file.read_bytes() for file in files]
        self.assertGreaterEqual(len(files), 3)
        done = self.set_up()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([file.read_bytes() for file in files], before)


if __name__ == "__main__":
    unittest.main()
