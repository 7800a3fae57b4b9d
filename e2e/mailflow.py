"""Measures mail coming in and going out, beside Debian's Postfix in the same run.

    PILLARBOX=path/to/pillarbox python3 e2e/mailflow.py [lmtp|smtp|out ...] [--count N] [--rounds N]

lmtp   eight LMTP connections, 4 to 300 KiB, each message durable when it is answered
smtp   Postfix's own smtp-source (eight sessions, 5 KiB) into Pillarbox's mailboxes, and into Postfix's queue
out    mail handed in by eight clients, until the last message has reached Postfix's smtp-sink

Server, clients and sink share this machine's cores. What the server has computed for a message is said too: that
depends less on what else the machine does.
"""

import argparse
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

import postfix
import server
import throughput

CLIENTS = 8
DRAIN_SECONDS = 300

RELAY = """
[[relay]]
domains = ["*"]
host = "127.0.0.1"
port = {port}
tls = "none"
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
    with socket.create_connection(("127.0.0.1", port)) as line:
        replies = line.makefile("rb")

        def reply(code):
            while (text := replies.readline())[3:4] == b"-":
                pass
            if not text.startswith(code):
                raise RuntimeError(text)

        line.sendall(b"LHLO bench.example\r\n")
        reply(b"220")
        reply(b"250")
        gate.wait()
        for step in range(count):
            line.sendall(b"MAIL FROM:<a@far.example>\r\nRCPT TO:<client%d@mail.example>\r\nDATA\r\n" % number)
            for code in (b"250", b"250", b"354"):
                reply(code)
            line.sendall(texts[step % len(texts)] + b".\r\n")
            reply(b"250")


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
        self.port = postfix.free_port()
        self.out = open(os.devnull, "wb")
        self.process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "100"], stdout=self.out, stderr=self.out
        )
        time.sleep(0.5)

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


def drain(left, what):
    deadline = time.monotonic() + DRAIN_SECONDS
    while left():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: {left()} messages have not left after {DRAIN_SECONDS} s")
        time.sleep(0.05)


def out(count):
    figures = {}
    sink = Sink()
    ours = pillarbox_with(CLIENTS, RELAY.format(port=sink.port))
    theirs = postfix.Postfix("postfix.example", f"relay_domains = far.example\nrelayhost = [127.0.0.1]:{sink.port}\n").start()
    try:
        with Measured(ours) as measured:
            handed_in = at_once(submit, ours.submission, count // CLIENTS)
            drain(lambda: b"@" in ours.run("queue", "list").encode(), "Pillarbox")
        figures["submission into the queue: messages/s"] = count / handed_in
        for name, figure in measured.figures(count).items():
            figures[f"submission, queue and out to smtp-sink: {name}"] = figure
        began = time.monotonic()
        smtp_source(theirs.port, "b@far.example", count)
        drain(theirs.queued, "Postfix")
        figures["smtp-source, Postfix's queue and out to smtp-sink: messages/s"] = count / (time.monotonic() - began)
    finally:
        ours.stop()
        ours.remove()
        theirs.stop()
        sink.stop()
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["lmtp", "smtp", "out"])
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    measured = {}
    for _ in range(asked.rounds):
        for part in asked.parts:
            for name, figure in {"lmtp": lmtp, "smtp": smtp, "out": out}[part](asked.count).items():
                measured.setdefault(name, []).append(figure)
    print(f"| {asked.count} messages, {asked.rounds} rounds | median | least | most |")
    print("|---|---|---|---|")
    for name, figures in measured.items():
        shown = (statistics.median(figures), min(figures), max(figures))
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" if figure < 10 else f"{figure:.0f}" for figure in shown) + " |")


if __name__ == "__main__":
    main()
