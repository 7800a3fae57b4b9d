"""An authority that issues certificates (pebble), and the name server that it asks.

Both are on loopback, on ports of their own, and end with the test.
"""

import json
import os
import pathlib
import socketserver
import ssl
import struct
import subprocess
import threading
import urllib.request

import ports
import waiting


class Names(socketserver.BaseRequestHandler):
    """Every host is here, except those that the test hides; records are files of a folder."""

    def handle(self):
        packet, replies = self.request
        at, labels = 12, []
        while (length := packet[at]) != 0:
            labels.append(packet[at + 1 : at + 1 + length].decode().lower())
            at += 1 + length
        name, kind = ".".join(labels), struct.unpack("!H", packet[at + 1 : at + 3])[0]
        answer, code = b"", 3 if name in self.server.hidden else 0
        record = self.server.records / f"{name}."
        if kind == 1 and code == 0:
            answer = bytes([127, 0, 0, 1])
        elif kind == 16 and record.exists():
            text = record.read_bytes()
            answer = bytes([len(text)]) + text
        header = packet[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 1 if answer else 0, 0, 0)
        reply = header + packet[12 : at + 5]
        if answer:
            reply += struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(answer)) + answer
        replies.sendto(reply, self.client_address)


class Authority:
    """A running pebble, which proves names at these ports."""

    def __init__(self, folder, http_port, tls_port, hidden=()):
        self.folder = pathlib.Path(folder)
        self.records = self.folder / "records"
        self.records.mkdir()
        self.names = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Names)
        self.names.records, self.names.hidden = self.records, set(hidden)
        threading.Thread(target=self.names.serve_forever, daemon=True).start()
        self.port, self.management = ports.free(), ports.free()
        self.ca = self.folder / "authority-ca.pem"
        self.make_certificate()
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.folder / "authority.pem"),
            "privateKey": str(self.folder / "authority.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": config}))
        self.log = open(self.folder / "pebble.log", "ab")
        self.directory = f"https://localhost:{self.port}/dir"
        self.begin()

    def begin(self):
        """Starts it; it remembers nothing of an earlier time.

        Of itself it refuses one good nonce in twenty by chance, and three in a row now and then, which ends an order for a while.
        """
        self.process = subprocess.Popen(
            ["pebble", "-config", self.folder / "pebble.json", "-dnsserver"]
            + [f"127.0.0.1:{self.names.server_address[1]}"],
            env=os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.wait()

    def make_certificate(self):
        """Of its own server; what it issues is signed by somebody else, whom it makes at its start."""
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
        subprocess.run(
            [*make, "-subj", "/CN=Pilot", "-keyout", "authority-ca.key", "-out", self.ca],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
        subprocess.run(
            [*make, "-subj", "/CN=localhost", "-keyout", "authority.key", "-out", "authority.pem"]
            + ["-CA", self.ca, "-CAkey", "authority-ca.key"]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            + ["-addext", "basicConstraints=critical,CA:FALSE"],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def wait(self):
        def answers():
            try:
                return self.root()
            except OSError as error:
                if self.process.poll() is not None:
                    raise RuntimeError(f"no pebble: {error}\n{self.said()}") from None
                return None

        waiting.until(answers, "pebble", self.said)

    def said(self):
        return (self.folder / "pebble.log").read_text()

    def root(self):
        """The certificate, as PEM, that vouches for what is issued."""
        context = ssl.create_default_context(cafile=self.ca)
        place = f"https://localhost:{self.management}/roots/0"
        with urllib.request.urlopen(place, context=context, timeout=waiting.SECONDS) as reply:
            return reply.read().decode()

    def end(self):
        self.process.terminate()
        self.process.wait()
        self.names.shutdown()
        self.names.server_close()
        self.log.close()
