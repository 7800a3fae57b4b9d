"""Measures mail coming in and going out, beside Debian's Postfix in the same run.

    PILLARBOX=path/to/pillarbox python3 e2e/mailflow.py [lmtp|smtp|checked|out|direct ...] [--count N] [--rounds N]

lmtp     eight LMTP connections, 4 to 300 KiB, each message durable when it is answered
smtp     Postfix's own smtp-source (eight sessions, 5 KiB) into Pillarbox's mailboxes, and into Postfix's queue
checked  eight connections bring a message of 5 KiB that dkimpy has signed (RSA 2048), with SPF, DKIM and DMARC and without
out      mail handed in by eight clients, until the last message has reached Postfix's smtp-sink through a relay
direct   the same by MX

`checked` and `direct` ask a name server of our own: PILLARBOX_ZONES names it (cargo build --release -p testkit --features dns);
PILLARBOX_CLIENTS has dkimpy.

Server, clients and sink share this machine's cores. What the server has computed for a message is said too: that
depends less on what else the machine does.
"""

import argparse
import base64
import json
import multiprocessing
import os
import pathlib
import random
import signal
import smtplib
import socket
import statistics
import subprocess
import time

import languages
import ports
import postfix
import server
import throughput
import waiting
import wire
import zones

CLIENTS = 8
DRAIN_SECONDS = 300

RELAY = """
[[relay]]
domains = ["*"]
host = "127.0.0.1"
port = {port}
tls = "none"
"""


DIRECT = """
[outbound]
direct = true
allow_private = true
port = {port}
"""

STRANGERS = """
[inbound]
trusted_networks = []
"""


class Measured:
    """What passes while a load runs on a server."""

    def __init__(self, pillarbox):
        self.pillarbox = pillarbox

    def counters(self):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.pillarbox.folder / "data" / "control.sock"))
            control.sendall(b'{"do":"counters"}\n')
            syncs = json.loads(control.makefile().readline())["syncs"]
        fields = pathlib.Path(f"/proc/{self.pillarbox.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        return syncs, ticks / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        self.syncs, self.cpu = self.counters()
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.began
        syncs, cpu = self.counters()
        self.syncs, self.cpu = syncs - self.syncs, cpu - self.cpu

    def figures(self, messages):
        return {
            "messages/s": messages / self.seconds,
            "syncs/message": self.syncs / messages,
            "messages/s of one core": messages / max(self.cpu, 0.01),
        }


def at_once(work, *arguments):
    """Runs `work(number, gate, ...)` in eight processes that begin together; returns when all have ended."""
    gate = multiprocessing.Barrier(CLIENTS + 1)
    workers = [multiprocessing.Process(target=work, args=(n, gate, *arguments)) for n in range(CLIENTS)]
    for worker in workers:
        worker.start()
    gate.wait()
    began = time.monotonic()
    for worker in workers:
        worker.join()
        if worker.exitcode != 0:
            raise RuntimeError("a client failed")
    return time.monotonic() - began


def deliver_by_lmtp(number, gate, port, count):
    dice = random.Random(number)
    texts = [throughput.message(dice) for _ in range(min(count, 40))]
    deliver(number, gate, port, count, b"LHLO", texts)


def deliver_by_smtp(number, gate, port, count, text):
    deliver(number, gate, port, count, b"EHLO", [text])


def deliver(number, gate, port, count, hello, texts):
    with socket.create_connection(("127.0.0.1", port)) as line:
        replies = line.makefile("rb")

        def reply(code):
            while (text := replies.readline())[3:4] == b"-":
                pass
            if not text.startswith(code):
                raise RuntimeError(text)

        reply(b"220")
        line.sendall(hello + b" bench.example\r\n")
        reply(b"250")
        gate.wait()
        for step in range(count):
            line.sendall(b"MAIL FROM:<a@far.example>\r\nRCPT TO:<client%d@mail.example>\r\nDATA\r\n" % number)
            for code in (b"250", b"250", b"354"):
                reply(code)
            line.sendall(texts[step % len(texts)] + b".\r\n")
            reply(b"250")


def signed_message():
    """A message that dkimpy has signed, and the zone of its author."""
    languages.python("dkim")
    import dkim

    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], check=True, capture_output=True
    ).stdout
    public = subprocess.run(
        ["openssl", "pkey", "-pubout", "-outform", "DER"], input=made, check=True, capture_output=True
    ).stdout
    record = "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()
    text = b"From: a@far.example\r\nTo: b@mail.example\r\nSubject: in\r\nMessage-ID: <1@far.example>\r\n"
    text += b"Date: Thu, 26 Nov 2026 05:00:00 +0000\r\n\r\n" + (b"y" * 70 + b"\r\n") * 70
    zone = '$TTL 3600\n@ TXT "v=spf1 ip4:127.0.0.1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n'
    zone += f'k._domainkey TXT "{record[:255]}" "{record[255:]}"\n'
    return dkim.sign(text, b"k", b"far.example", made) + text, zone


def submit(number, gate, port, count):
    text = b"Subject: out\r\nFrom: client%d@mail.example\r\nTo: b@far.example\r\n\r\n" % number + b"x" * 70 + b"\r\n"
    text += (b"y" * 70 + b"\r\n") * 70
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo("bench.example")
        client.login(f"client{number}@mail.example", server.PASSWORD)
        gate.wait()
        for step in range(count):
            client.sendmail(f"client{number}@mail.example", [f"b{step}@far.example"], text)


class Sink:
    """Postfix's smtp-sink: takes everything and keeps nothing."""

    def __init__(self):
        self.port = ports.free()
        self.out = open(os.devnull, "wb")
        self.process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "100"], stdout=self.out, stderr=self.out
        )
        waiting.until(self.listens, "smtp-sink")

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.out.close()


def smtp_source(port, recipient, count):
    began = time.monotonic()
    subprocess.run(
        ["smtp-source", "-d", "-s", str(CLIENTS), "-m", str(count), "-l", "5120"]
        + ["-f", "a@far.example", "-t", recipient, f"127.0.0.1:{port}"],
        check=True,
    )
    return time.monotonic() - began


def pillarbox_with(accounts, settings=""):
    made = server.Server()
    made.config.write_text(made.config.read_text() + settings)
    made.start()
    for number in range(accounts):
        made.account(f"client{number}@mail.example")
    return made


def lmtp(count):
    with_accounts = pillarbox_with(CLIENTS)
    try:
        with Measured(with_accounts) as measured:
            seconds = at_once(deliver_by_lmtp, with_accounts.lmtp, count // CLIENTS)
        measured.seconds = seconds
        return {f"LMTP, 8 connections, 4-300 KiB: {name}": it for name, it in measured.figures(count).items()}
    finally:
        with_accounts.stop()
        with_accounts.remove()


def smtp(count):
    figures = {}
    ours = pillarbox_with(1)
    try:
        with Measured(ours) as measured:
            measured.took = smtp_source(ours.smtp, "client0@mail.example", count)
        for name, figure in measured.figures(count).items():
            figures[f"SMTP by smtp-source into a mailbox: {name}"] = figure
    finally:
        ours.stop()
        ours.remove()
    theirs = postfix.Postfix("postfix.example", QUEUE_ONLY).start()
    try:
        took = smtp_source(theirs.port, "b@far.example", count)
        figures["SMTP by smtp-source into Postfix's queue: messages/s"] = count / took
    finally:
        theirs.stop()
    return figures


QUEUE_ONLY = """\
relay_domains = far.example
defer_transports = smtp relay
default_transport = smtp
"""


def checked(count):
    text, zone = signed_message()
    names = zones.Zones({"far.example": zone})
    figures = {}
    try:
        for what, settings in (("unchecked", ""), ("SPF, DKIM and DMARC", STRANGERS)):
            ours = pillarbox_with(CLIENTS, names.config() + settings)
            try:
                with Measured(ours) as measured:
                    seconds = at_once(deliver_by_smtp, ours.smtp, count // CLIENTS, text)
                measured.seconds = seconds
                results = first_message(ours).split(b"\r\nReceived:")[0]
                if (b"dkim=pass" in results and b"dmarc=pass" in results) != (settings == STRANGERS):
                    raise RuntimeError(f"{what}: {results}")
                for name, figure in measured.figures(count).items():
                    figures[f"SMTP, signed 5 KiB, {what}: {name}"] = figure
            finally:
                ours.stop()
                ours.remove()
    finally:
        names.stop()
    return figures


def first_message(ours):
    client = wire.Client(ours.imap, "client0@mail.example", server.PASSWORD)
    client.run(b"EXAMINE INBOX")
    reply = client.run(b"FETCH 1 (BODY.PEEK[])")
    client.logout()
    return wire.fetched(reply.all(b"FETCH")[0])[b"BODY[]"]


def drain(left, what):
    deadline = time.monotonic() + DRAIN_SECONDS
    while left():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: {left()} messages have not left after {DRAIN_SECONDS} s")
        time.sleep(0.05)


def out(count):
    sink = Sink()
    theirs = postfix.Postfix("postfix.example", f"relay_domains = far.example\nrelayhost = [127.0.0.1]:{sink.port}\n").start()
    try:
        figures = through_queue(count, "a relay", RELAY.format(port=sink.port))
        began = time.monotonic()
        smtp_source(theirs.port, "b@far.example", count)
        drain(theirs.queued, "Postfix")
        figures["smtp-source, Postfix's queue and out to smtp-sink: messages/s"] = count / (time.monotonic() - began)
        return figures
    finally:
        theirs.stop()
        sink.stop()


def direct(count):
    names = zones.Zones({"far.example": "$TTL 3600\n@ MX 10 mx\nmx A 127.0.0.1\n"})
    sink = Sink()
    try:
        return through_queue(count, "MX", names.config() + DIRECT.format(port=sink.port))
    finally:
        names.stop()
        sink.stop()


def through_queue(count, what, settings):
    ours = pillarbox_with(CLIENTS, settings)
    figures = {}
    try:
        with Measured(ours) as measured:
            handed_in = at_once(submit, ours.submission, count // CLIENTS)
            drain(lambda: b"@" in ours.run("queue", "list").encode(), "Pillarbox")
        figures[f"submission into the queue, {what}: messages/s"] = count / handed_in
        for name, figure in measured.figures(count).items():
            figures[f"submission, queue and out by {what} to smtp-sink: {name}"] = figure
        return figures
    finally:
        ours.stop()
        ours.remove()


PARTS = {"lmtp": lmtp, "smtp": smtp, "checked": checked, "out": out, "direct": direct}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    measured = {}
    for _ in range(asked.rounds):
        for part in asked.parts:
            for name, figure in PARTS[part](asked.count).items():
                measured.setdefault(name, []).append(figure)
    print(f"| {asked.count} messages, {asked.rounds} rounds | median | least | most |")
    print("|---|---|---|---|")
    for name, figures in measured.items():
        shown = (statistics.median(figures), min(figures), max(figures))
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" if figure < 10 else f"{figure:.0f}" for figure in shown) + " |")


if __name__ == "__main__":
    main()
