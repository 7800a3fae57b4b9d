"""The server under test: a data folder of its own, ports of its own, stopped by its own process.

PILLARBOX names the program. PILLARBOX_AT, when set, names a server that runs already instead:
`imap=127.0.0.1:1143 lmtp=127.0.0.1:1124` (imaps and starttls may follow), where every account that a test asks for exists with
the password below. engines.py says what it keeps mail in.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import engines
import waiting

PASSWORD = "correct-horse-7"
# Of its log, when a test has failed.
TAIL_LINES = 40
# A command such as the import of many passwords computes for a while.
RUN_SECONDS = 10 * 60

CHEAP_PASSWORDS = "\n[auth]\nargon2 = { memory_kib = 8, iterations = 1, parallelism = 1 }\n"

CONFIG = """\
data = "{data}"
hostname = "mail.example"
domains = ["mail.example"]

[[listen]]
protocol = "imap"
address = "127.0.0.1:0"
tls = "none"

[[listen]]
protocol = "imap"
address = "127.0.0.1:0"
tls = "implicit"

[[listen]]
protocol = "imap"
address = "127.0.0.1:0"
tls = "starttls"

[[listen]]
protocol = "lmtp"
address = "127.0.0.1:0"
tls = "none"

[[listen]]
protocol = "lmtp"
address = "unix:{socket}"
tls = "none"

[[listen]]
protocol = "smtp"
address = "127.0.0.1:0"
tls = "starttls"

[[listen]]
protocol = "submission"
address = "127.0.0.1:0"
tls = "starttls"

[[listen]]
protocol = "submission"
address = "127.0.0.1:0"
tls = "implicit"
"""


# Servers whose folders are still there.
_kept = []


def tails():
    """The last lines of every server's log."""
    return "".join(one.tail() for one in _kept)


def wait_for(what, found, process):
    """Until `found()` is true. A process that has ended makes nothing true any more."""

    def found_by_a_process_that_lives():
        if result := found():
            return result
        if process.poll() is not None:
            raise RuntimeError(f"no {what}: the server ended with {process.returncode}")
        return None

    return waiting.until(found_by_a_process_that_lives, what)


class Server:
    """A running `pillarbox serve`."""

    def __init__(self, folder=None, place=None, port=None, notify=True):
        self.program = os.environ["PILLARBOX"]
        self.own_folder = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="pillarbox-e2e-"))
        self.imap = self.imaps = self.starttls = self.lmtp = None
        self.smtp = self.submission = self.submissions = None
        self.ready = self.folder / "ready.json"
        self.socket = self.folder / "lmtp.sock"
        self.config = self.folder / "pillarbox.toml"
        self.log = self.folder / "log"
        self.accounts = set()
        self.process = None
        self.place = place or engines.Place()
        self.config.write_text(
            CONFIG.format(data=self.folder / "data", socket=self.socket)
            + self.place.config(port, notify)
        )

    def start(self):
        self.launch()
        try:
            wait_for("ready file", self.ready.exists, self.process)
        except (AssertionError, RuntimeError) as error:
            self.kill()
            raise RuntimeError(f"{error}\n{self.tail()}") from None
        self.read_ready()
        return self

    def launch(self):
        """Starts the program without waiting for it."""
        if self not in _kept:
            _kept.append(self)
        self.ready.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--config", str(self.config)]
                + ["--ready-file", str(self.ready)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def read_ready(self):
        """The ports were chosen by the system; they are told in the order of the configuration."""
        addresses = [entry["address"] for entry in json.loads(self.ready.read_text())["listen"]]
        self.imap, self.imaps, self.starttls, self.lmtp = (
            int(address.rsplit(":", 1)[1]) for address in addresses[:4]
        )
        self.smtp, self.submission, self.submissions = (
            int(address.rsplit(":", 1)[1]) for address in addresses[5:8]
        )

    def run(self, *words, stdin=""):
        """Another call of the program with the same configuration."""
        command = [self.program, *words, "--config", str(self.config)]
        done = subprocess.run(
            command, input=stdin, text=True, capture_output=True, timeout=RUN_SECONDS, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def account(self, name):
        """Makes sure that the account exists; returns its name."""
        if name not in self.accounts:
            self.run("account", "add", name, "--password-stdin", stdin=PASSWORD + "\n")
            self.accounts.add(name)
        return name

    def tried_and_waiting(self):
        """The one entry of the queue, when an attempt has failed and the next one is due later.

        A new entry waits for its first attempt, too, so the attempts are counted.
        """

        def found():
            listed = self.run("queue", "list").split()
            if len(listed) < 2 or listed[1] != "waiting":
                return None
            shown = self.run("queue", "show", listed[0])
            return listed[0] if re.search(r" waiting, [1-9]\d* attempts", shown) else None

        return waiting.until(found, "a failed attempt")

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def stop(self):
        """Asks the server to end. Returns what it complained of."""
        complaints = []
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(waiting.SECONDS)
                if code != 0:
                    complaints.append(f"ended with {code} when asked to stop")
            except subprocess.TimeoutExpired:
                complaints.append(f"did not stop within {waiting.SECONDS} s")
                self.kill()
        elif self.process is not None:
            complaints.append(f"had ended by itself with {self.process.returncode}")
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        for word in ("panicked at", " ERROR "):
            for line in log.splitlines():
                if word in line:
                    complaints.append(line)
        if PASSWORD in log:
            complaints.append("a password stands in the log")
        return complaints

    def tail(self):
        """The last lines of its log."""
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = log.splitlines()[-TAIL_LINES:]
        return "\n".join([f"--- the end of {self.log}", *lines, "---\n"])

    def verify(self):
        """What the offline verifier finds wrong after everything that the tests did."""
        try:
            self.run("check")
        except RuntimeError as error:
            return [str(error)]
        return []

    def kill(self):
        """As a crash would: no chance to write anything."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def remove(self):
        if self in _kept:
            _kept.remove(self)
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Elsewhere:
    """A server that somebody else has started."""

    socket = None
    smtp = submission = submissions = None

    def __init__(self, described):
        ports = dict(word.split("=") for word in described.split())
        self.imap, self.imaps, self.starttls, self.lmtp = (
            int(ports[name].rsplit(":", 1)[1]) if name in ports else None
            for name in ("imap", "imaps", "starttls", "lmtp")
        )

    def account(self, name):
        return name

    def stop(self):
        return []

    def verify(self):
        return []

    def remove(self):
        pass


_shared = None


def shared():
    """The one server that most tests use."""
    global _shared
    if _shared is None:
        described = os.environ.get("PILLARBOX_AT")
        _shared = Elsewhere(described) if described else Server().start()
    return _shared


def stop_shared():
    global _shared
    if _shared is None:
        return []
    complaints = _shared.stop()
    complaints += _shared.verify()
    if not complaints:
        _shared.remove()
    elif hasattr(_shared, "folder"):
        complaints.append(f"its data and log are kept in {_shared.folder}")
    _shared = None
    return complaints
