"""Sends mail through the queue while the nodes that work on it are killed, and accounts for every recipient.

    PILLARBOX=path/to/pillarbox python3 e2e/queuekills.py [--messages N] [--nodes N] [--seed N]

Clients hand mail in by submission, for people here and elsewhere, and write down what was acknowledged with 250. Nodes are killed
(SIGKILL) at random moments and started again: with one node on the engine that PILLARBOX_ENGINE names, with several on one
PostgreSQL. At the end queuemodel.py judges: each acknowledged recipient has been delivered, or its sender was told, once (I68, I72);
and once more only where a node died between the reply of the other server and its record (RFC 1047), which is counted. A line
with the result is added to the file that PILLARBOX_FAULTS names.
"""

import argparse
import email
import json
import os
import random
import smtplib
import socket
import socketserver
import ssl
import sys
import threading
import time

import engines
import queuemodel
import server
import waiting
import wire

SENDERS = 4
LOCALS = 6
# So many messages are acknowledged between two kills of a node: as many on a slow machine as on a quick one, so that there the
# nodes do not spend all of their lives with starting.
LIFE_MESSAGES = (10, 200)
# Between two kills while no mail is handed in.
PAUSE_SECONDS = (0.3, 1.5)
# What a killed node was at goes on after a minute, at another one; and twice, if that one was killed as well.
SETTLE_SECONDS = 5 * 60
RELAY = """
[[relay]]
domains = ["*"]
host = "127.0.0.1"
port = {port}
tls = "none"
"""


class Sink(socketserver.StreamRequestHandler):
    """The world elsewhere. `nobody…` is refused for good, `later…` at first, everybody else is taken."""

    def reply(self, text):
        self.wfile.write(text + b"\r\n")

    def handle(self):
        try:
            self.talk()
        except OSError:
            # Its node was killed.
            pass

    def talk(self):
        self.reply(b"220 sink.example")
        recipients, node = [], ""
        while line := self.rfile.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb in (b"EHLO", b"HELO"):
                node = line.split()[1].decode()
                self.reply(b"250 sink.example")
            elif verb == b"MAIL":
                recipients = []
                self.reply(b"250 ok")
            elif verb == b"RCPT":
                address = line.split(b"<")[1].split(b">")[0].decode()
                recipients += self.recipient(address)
            elif verb == b"DATA":
                self.data(recipients, node)
            elif verb == b"QUIT":
                self.reply(b"221 bye")
                return
            else:
                self.reply(b"250 ok")

    def recipient(self, address):
        if address.startswith("nobody"):
            self.reply(b"550 5.1.1 no such user")
            return []
        if address.startswith("later") and self.server.is_new(address):
            self.reply(b"451 4.7.1 come again")
            return []
        self.reply(b"250 ok")
        return [address]

    def data(self, recipients, node):
        if not recipients:
            self.reply(b"503 5.5.1 nobody to take it for")
            return
        self.reply(b"354 go on")
        text = bytearray()
        while (piece := self.rfile.readline()) != b".\r\n":
            if not piece:
                # It broke off: nobody was reached.
                return
            text += piece
        token = email.message_from_bytes(bytes(text)).get("Subject")
        # Written down before the reply: whoever is told 250 may rely on it.
        self.server.took(token, recipients, node)
        self.reply(b"250 2.0.0 taken")


class SinkServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Sink)
        self.lock = threading.Lock()
        self.taken = []
        self.asked = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def took(self, token, recipients, node):
        with self.lock:
            now = time.monotonic()
            self.taken += [queuemodel.Taken(token, to, node, now) for to in recipients]

    def is_new(self, address):
        with self.lock:
            is_new = address not in self.asked
            self.asked.add(address)
            return is_new

    def count(self):
        with self.lock:
            return len(self.taken)


class Client(threading.Thread):
    """Hands mail in, one after the other; what fails is a new message at the next try."""

    def __init__(self, number, campaign):
        super().__init__()
        self.number = number
        self.campaign = campaign
        self.rng = random.Random(f"{campaign.seed} client {number}")
        self.sender = campaign.senders[number % len(campaign.senders)]
        self.acknowledged = []
        self.attempts = 0
        self.complaints = []

    def run(self):
        smtp = None
        while self.campaign.wants_more():
            self.attempts += 1
            token = f"m{self.number}x{self.attempts}"
            to = self.recipients(token)
            try:
                smtp = smtp or self.connect()
                refused = smtp.sendmail(self.sender, to, self.text(token))
                self.complaints += [f"{token}: {it}" for it in refused.values() if it[0] >= 500]
                # Nobody was promised anything for a recipient who is to be tried again.
                taken = tuple(it for it in to if it not in refused)
                self.acknowledged.append(queuemodel.Sent(token, self.sender, taken))
                self.campaign.note_sent()
            except (OSError, smtplib.SMTPException) as error:
                # Also 4yz and a connection that ended: it was perhaps taken, and nobody was promised anything.
                if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 500:
                    self.complaints.append(f"{token}: {error}")
                if smtp is not None:
                    smtp.close()
                smtp = None
                time.sleep(0.05)
        if smtp is not None:
            smtp.close()

    def connect(self):
        node = self.rng.choice(self.campaign.nodes)
        smtp = smtplib.SMTP("127.0.0.1", node.submission, timeout=waiting.SECONDS)
        try:
            smtp.starttls(context=ssl._create_unverified_context())
            smtp.login(self.sender, server.PASSWORD)
        except Exception:
            smtp.close()
            raise
        return smtp

    def recipients(self, token):
        here = self.rng.sample(self.campaign.locals, self.rng.choice([0, 1, 1, 2]))
        there = [f"{kind}.{token}@{domain}.example" for kind, domain in (
            ("a", "one"), ("b", "two"), ("nobody", "one"), ("nobody", "three"), ("later", "four"),
        ) if self.rng.random() < 0.25]
        return here + there or [self.rng.choice(self.campaign.locals)]

    def text(self, token):
        size = self.rng.choice([200, 2000, 2000, 8000, 60_000])
        return (
            f"From: {self.sender}\r\nSubject: {token}\r\nMessage-ID: <{token}@mail.example>\r\n\r\n"
            + "High water at the bridge of the harbour.\r\n" * (size // 42)
        )


class Campaign:
    def __init__(self, messages, nodes, seed):
        self.messages = messages
        self.seed = seed
        self.rng = random.Random(f"{seed} kills")
        self.lock = threading.Lock()
        self.sent = 0
        self.kills = []
        self.complaints = []
        self.sink = SinkServer()
        place = engines.Place()
        self.place = place
        self.nodes = [self.node(number, place) for number in range(nodes)]
        for node in self.nodes:
            node.start()
        self.senders = [f"sender{number}@mail.example" for number in range(SENDERS)]
        self.locals = [f"local{number}@mail.example" for number in range(LOCALS)]
        for name in self.senders + self.locals:
            self.nodes[0].account(name)

    def node(self, number, place):
        node = server.Server(place=place)
        text = node.config.read_text().replace("mail.example\"\ndomains", f"node{number}.mail.example\"\ndomains")
        node.config.write_text(text + RELAY.format(port=self.sink.server_address[1]) + server.CHEAP_PASSWORDS)
        return node

    def wants_more(self):
        return self.sent < self.messages and not self.complaints

    def note_sent(self):
        with self.lock:
            self.sent += 1

    def work_on(self, messages):
        """Until so many more have been acknowledged, or no more are wanted."""
        enough = self.sent + messages
        waiting.until(lambda: self.sent >= enough or not self.wants_more(), f"message {enough}")

    def kill(self, number):
        node = self.nodes[number]
        node.kill()
        self.kills.append(queuemodel.Kill(f"node{number}.mail.example", time.monotonic()))
        node.start()

    def run(self):
        clients = [Client(number, self) for number in range(8)]
        for client in clients:
            client.start()
        turn = 0
        while any(client.is_alive() for client in clients):
            self.work_on(self.rng.randint(*LIFE_MESSAGES) // len(self.nodes))
            self.kill(turn % len(self.nodes))
            turn += 1
        for client in clients:
            client.join()
            self.complaints += client.complaints
        # Some more while only the queue works.
        for _ in range(3):
            time.sleep(self.rng.uniform(*PAUSE_SECONDS))
            self.kill(turn % len(self.nodes))
            turn += 1
        self.settle()
        acknowledged = [sent for client in clients for sent in client.acknowledged]
        attempts = sum(client.attempts for client in clients)
        return acknowledged, attempts

    def settle(self):
        """Until nothing is left in the queue; what waits for its next attempt is tried at once."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while listed := self.nodes[0].run("queue", "list").splitlines():
            if time.monotonic() > deadline:
                self.complaints.append(f"{len(listed)} entries are left: {listed[:3]}")
                return
            self.retry([line.split()[0] for line in listed if " waiting " in line])
            time.sleep(0.5)

    def retry(self, entries):
        """As `pillarbox queue retry` does it, without a process for each."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.nodes[0].folder / "data" / "control.sock"))
            lines = control.makefile("rb")
            for entry in entries:
                ask = {"do": "queue", "ask": {"queue": "retry", "id": entry}}
                control.sendall(json.dumps(ask).encode() + b"\n")
                # It may have come to its end meanwhile.
                lines.readline()

    def mailbox(self, name):
        """Tokens of the messages, and (token, recipient) of each failure that notices tell of."""
        client = wire.Client(self.nodes[0].imap, name, server.PASSWORD)
        selected = client.run(b"EXAMINE INBOX")
        tokens, failures = [], []
        if int(selected.all(b"EXISTS")[0][0]) > 0:
            for line in client.run(b"UID FETCH 1:* (BODY.PEEK[])").all(b"FETCH"):
                message = email.message_from_bytes(wire.fetched(line)[b"BODY[]"])
                if message.get_content_type() == "multipart/report":
                    failures += failed(message)
                else:
                    tokens.append(message["Subject"])
        client.logout()
        return tokens, failures

    def observe(self):
        observed = queuemodel.Observed([], [], self.sink.taken, self.kills)
        for name in self.senders + self.locals:
            tokens, failures = self.mailbox(name)
            observed.delivered += [(token, name) for token in tokens]
            observed.told += [(token, to, name) for token, to in failures]
        return observed

    def look_at_logs(self):
        for node in self.nodes:
            for line in node.log.read_text(errors="replace").splitlines():
                if "panicked at" in line or " ERROR " in line:
                    self.complaints.append(line)

    def stories(self, acknowledged):
        """`pillarbox why` knows what was acknowledged, but for what a node that died had not yet told."""
        some = self.rng.sample(acknowledged, min(20, len(acknowledged)))
        known = 0
        for sent in some:
            try:
                known += f"<{sent.token}@mail.example>" in self.nodes[0].run("why", f"{sent.token}@mail.example")
            except RuntimeError:
                pass
        return known, len(some)

    def end(self):
        for node in self.nodes:
            self.complaints += [it for it in node.stop() if "ERROR" not in it]
        self.complaints += self.nodes[0].verify()


def failed(report):
    """What a notice tells (RFC 3464): the token of the message and each recipient that failed."""
    status, original = report.get_payload()[1], report.get_payload()[2]
    returned = original.get_payload()
    text = returned if isinstance(returned, str) else returned[0].as_string()
    token = email.message_from_string(text)["Subject"]
    recipients = status.get_payload()[1:]
    return [
        (token, part["Final-Recipient"].split(";")[1].strip())
        for part in recipients
        if part["Action"].strip() == "failed"
    ]


def main():
    arguments = argparse.ArgumentParser(description="kills nodes while the queue works")
    arguments.add_argument("--messages", type=int, default=10_000)
    arguments.add_argument("--nodes", type=int, default=1)
    arguments.add_argument("--seed", type=int, default=None)
    given = arguments.parse_args()
    if given.nodes > 1 and engines.ENGINE == "local":
        sys.exit("several nodes need PILLARBOX_ENGINE=postgres")
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"queue: seed {seed}; the judge objects to {queuemodel.self_check()} doctored histories", flush=True)
    began = time.monotonic()
    campaign = Campaign(given.messages, given.nodes, seed)
    verdict = queuemodel.Verdict()
    try:
        acknowledged, attempts = campaign.run()
        known, asked = campaign.stories(acknowledged)
        verdict = queuemodel.judge(acknowledged, campaign.observe())
        campaign.complaints += verdict.complaints
        campaign.look_at_logs()
        campaign.end()
    finally:
        for node in campaign.nodes:
            node.kill()
    print(
        f"{len(acknowledged)} messages acknowledged of {attempts} handed in, {verdict.recipients} recipients, "
        f"{len(campaign.kills)} kills of {given.nodes} nodes ({engines.ENGINE}) in {time.monotonic() - began:.0f} s: "
        f"{verdict.here} delivered here, {verdict.there} elsewhere, {verdict.told} told back; "
        f"{verdict.again} sent again after a kill; stories known of {known} in {asked}; "
        f"{len(campaign.complaints)} violations"
    )
    for complaint in campaign.complaints[:20]:
        print(f"violation: {complaint[:2000]}")
    for node in campaign.nodes:
        if campaign.complaints:
            print(f"data and log are kept in {node.folder}")
        else:
            node.remove()
    faults = os.environ.get("PILLARBOX_FAULTS")
    if faults:
        with open(faults, "a", encoding="ascii") as table:
            what = f"kill -9 of {given.nodes} node{'s' if given.nodes > 1 else ''} while the queue works"
            table.write(f"{what}\t{len(campaign.kills)}\t{len(campaign.complaints)}\n")
    return 1 if campaign.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
