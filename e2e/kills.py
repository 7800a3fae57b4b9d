"""Kills the built program again and again while it works, and compares what is left with what was acknowledged.

    PILLARBOX=path/to/pillarbox python3 e2e/kills.py [--kills N] [--seed N]

Eight IMAP clients, each with an account of its own, and two that deliver by LMTP work until the program is killed (SIGKILL) at a
random moment; some kills hit it while it starts. After each start a login must be answered in time, and every account must be as
killmodel.py says. `pillarbox check` looks at the folder after every 25th kill and the last. A line with the result is added to
the file that PILLARBOX_FAULTS names.
"""

import argparse
import functools
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time

import killmodel
import server
import waiting
import wire

CLIENTS = 8
DELIVERERS = 2
# From the start of the program to the answer to a LOGIN. It takes a hundredth of this on a machine that has nothing else to do.
LOGIN_SECONDS = 60.0
KILLS_PER_CHECK = 25
# In one account; more are expunged.
MESSAGES_MAX = 60
MAILBOXES_MAX = 8
OWN_NAMES = ["Work", "Plans", "Plans/near", "Plans/far", "Lists", "Lists/a", "Lists/a/b", "Old"]
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "keep", "$Label1"]


class Broken(Exception):
    """Something that may not happen."""


@functools.lru_cache(maxsize=4096)
def content(token):
    return killmodel.content(token, int(token.rsplit("-", 1)[1]))


def new_token(owner, number, rng):
    size = rng.choice([400, 900, 2000, 3000, 5000] * 4 + [20_000, 70_000] + [200_000])
    return f"{owner}-{number}-{size}"


def numbers(uid_set):
    """The members of a UID set, in order."""
    found = []
    for piece in uid_set.decode().split(","):
        low, _, high = piece.partition(":")
        found += range(int(low), int(high or low) + 1)
    return found


class Worker:
    """One IMAP client and what it knows of its account."""

    def __init__(self, number, seed):
        self.name = f"client{number}@mail.example"
        self.owner = f"c{number}"
        self.rng = random.Random(f"{seed} client {number}")
        self.account = None
        self.lock = threading.Lock()
        self.pending = None
        self.tokens = 0
        self.done = 0
        self.imap = None
        self.selected = None

    # --- after a start

    def verify(self, port):
        """Reads the whole account; returns complaints."""
        self.imap = wire.Client(port, self.name, server.PASSWORD)
        self.imap.run(b"ENABLE CONDSTORE")
        observed = {}
        for line in self.imap.run(b'LIST "" "*"').all(b"LIST"):
            if b"\\NonExistent" not in line[1] and b"\\Noselect" not in line[1]:
                name = bytes(line[3]).decode()
                observed[name] = self.read(name)
        self.selected = None
        self.imap.run(b"UNSELECT")
        if self.account is None:
            self.account = killmodel.learned(killmodel.Account(), observed)
            return []
        complaints, self.account = killmodel.judge(self.account, self.pending, observed)
        self.pending = None
        return [f"{self.name}: {it}" for it in complaints]

    def read(self, name):
        selected = self.imap.run(b"EXAMINE %s" % wire.quoted(name))
        told = self.told(selected)
        messages = {}
        if int(selected.all(b"EXISTS")[0][0]) > 0:
            reply = self.imap.run(b"UID FETCH 1:* (FLAGS MODSEQ BODY.PEEK[])")
            for line in reply.all(b"FETCH"):
                items = wire.fetched(line)
                messages[int(items[b"UID"])] = self.message(items)
        return killmodel.Observed(told["UIDVALIDITY"], told["UIDNEXT"], told["HIGHESTMODSEQ"], messages)

    def message(self, items):
        body = items[b"BODY[]"]
        subject = re.search(rb"^Subject: (\S+)\r\n", body, re.M)
        token = subject[1].decode() if subject else "no token"
        if subject is None or not body.endswith(content(token)):
            token = f"damaged {token}"
        elif token.startswith("c") and body != content(token):
            token = f"more than {token}"
        return killmodel.Message(token, self.flags(items), int(items[b"MODSEQ"][0]))

    @staticmethod
    def flags(items):
        return {flag.decode() for flag in items[b"FLAGS"]} - {"\\Recent"}

    @staticmethod
    def told(reply):
        found = {}
        for line in reply.untagged:
            code = line[0] == b"OK" and re.match(rb"\[(\w+) (\d+)\]", line[1])
            if code:
                found[code[1].decode()] = int(code[2])
        return found

    # --- under load

    def work(self, stop):
        """One command after the other until the program is killed."""
        while not stop.is_set():
            self.step()
            self.done += 1

    def step(self):
        names = list(self.account.mailboxes)
        filled = [name for name in names if self.account.mailboxes[name].messages]
        count = sum(len(mailbox.messages) for mailbox in self.account.mailboxes.values())
        choice = self.rng.random()
        if not filled or (choice < 0.25 and count < MESSAGES_MAX):
            self.append(self.rng.choice([name for name in names if name != "INBOX"]))
        elif count >= MESSAGES_MAX or choice > 0.88:
            self.expunge(self.rng.choice(filled), count)
        elif choice < 0.5:
            self.store(self.rng.choice(filled))
        elif choice < 0.75:
            to = self.rng.choice([name for name in names if name != "INBOX"])
            self.transfer(self.rng.choice(filled), to, choice < 0.64)
        elif choice < 0.79 and len(names) < MAILBOXES_MAX + 6:
            self.create()
        else:
            self.rename_or_delete()

    def submit(self, effect, command, *literals):
        """Runs a command that changes something; until it is acknowledged it is pending."""
        self.pending = effect
        reply = self.imap.run(command, *literals)
        self.pending = None
        return reply

    def select(self, name):
        if self.selected == name:
            return
        told = self.told(self.imap.run(b"SELECT %s" % wire.quoted(name)))
        self.selected = name
        mailbox = self.account.mailboxes[name]
        self.uidvalidity(name, told["UIDVALIDITY"])
        if told["UIDNEXT"] < mailbox.uidnext or told["HIGHESTMODSEQ"] < mailbox.highest_modseq:
            raise Broken(f"{self.name} {name}: {told} after UIDNEXT {mailbox.uidnext}, "
                         f"HIGHESTMODSEQ {mailbox.highest_modseq}")
        # Deliveries come at any time, and their UIDs are not known here.
        mailbox.uidnext = told["UIDNEXT"] if name != "INBOX" else mailbox.uidnext
        self.modseq(name, told["HIGHESTMODSEQ"])

    def uidvalidity(self, name, told):
        mailbox = self.account.mailboxes[name]
        if mailbox.uidvalidity is None and told > mailbox.born_above:
            mailbox.uidvalidity = told
            self.account.uidvalidity_max = max(self.account.uidvalidity_max, told)
        if mailbox.uidvalidity != told:
            raise Broken(f"{self.name} {name}: UIDVALIDITY {told}, was {mailbox.uidvalidity}")

    def modseq(self, name, told):
        mailbox = self.account.mailboxes[name]
        mailbox.highest_modseq = max(mailbox.highest_modseq, told)
        self.account.modseq_max = max(self.account.modseq_max, told)

    def added(self, name, uidvalidity, uid, token, flags):
        self.uidvalidity(name, int(uidvalidity))
        mailbox = self.account.mailboxes[name]
        if uid < mailbox.uidnext:
            raise Broken(f"{self.name} {name}: the new UID {uid} is below {mailbox.uidnext}")
        told = self.account.announce(mailbox.uidvalidity, uid, token)
        if told:
            raise Broken(f"{self.name} {name}: {told}")
        mailbox.messages[uid] = killmodel.Message(token, flags)
        mailbox.uidnext = uid + 1

    def append(self, name):
        self.tokens += 1
        token = new_token(self.owner, self.tokens, self.rng)
        flags = set(self.rng.sample(FLAGS, self.rng.randrange(3)))
        command = b"APPEND %s (%s) %%L" % (wire.quoted(name), " ".join(sorted(flags)).encode())
        reply = self.submit(
            lambda it: killmodel.append(it, name, token, flags), command, content(token)
        )
        uidvalidity, uid = reply.code(b"APPENDUID").split()
        self.added(name, uidvalidity, int(uid), token, flags)

    def some(self, name):
        uids = list(self.account.mailboxes[name].messages)
        return set(self.rng.sample(uids, self.rng.randint(1, min(6, len(uids)))))

    def store(self, name, uids=None, how=None, flags=None):
        self.select(name)
        uids = uids or self.some(name)
        how = self.rng.choice(["+", "+", "-", ""]) if how is None else how
        flags = flags or frozenset(self.rng.sample(FLAGS, self.rng.randint(1, 2)))
        before = self.account.modseq_max
        old = {uid: self.account.mailboxes[name].messages[uid].flags for uid in uids}
        command = b"UID STORE %s %sFLAGS (%s)" % (
            uid_set(uids), how.encode(), " ".join(sorted(flags)).encode()
        )
        effect = functools.partial(killmodel.store, name=name, uids=uids, how=how, flags=flags)
        reply = self.submit(effect, command)
        effect(self.account)
        for line in reply.all(b"FETCH"):
            items = wire.fetched(line)
            uid = int(items[b"UID"])
            message = self.account.mailboxes[name].messages.get(uid)
            if message is None or b"MODSEQ" not in items:
                continue
            if self.flags(items) != message.flags:
                raise Broken(f"{self.name} {name} UID {uid}: {items}, expected {message}")
            modseq = int(items[b"MODSEQ"][0])
            # I34, I76: above everything announced before, also before a crash.
            if uid in uids and message.flags != old[uid] and modseq <= before:
                raise Broken(f"{self.name} {name} UID {uid}: modseq {modseq} after {before}")
            message.modseq = modseq
            self.modseq(name, modseq)

    def transfer(self, name, to, is_move):
        if name == to:
            return
        self.select(name)
        uids = self.some(name)
        effect = killmodel.move if is_move else killmodel.copy_messages
        effect = functools.partial(effect, name=name, uids=uids, to=to)
        verb = b"MOVE" if is_move else b"COPY"
        reply = self.submit(effect, b"UID %s %s %s" % (verb, uid_set(uids), wire.quoted(to)))
        lines = [reply.text] + [line[1] for line in reply.untagged if line[0] == b"OK"]
        code = next(filter(None, (re.match(rb"\[COPYUID (\d+) (\S+) (\S+)\]", it) for it in lines)))
        source = self.account.mailboxes[name].messages
        if set(numbers(code[2])) != uids:
            raise Broken(f"{self.name} {name}: {code[0]} of {uids}")
        for uid, new in zip(numbers(code[2]), numbers(code[3])):
            self.added(to, code[1], new, source[uid].token, source[uid].flags)
            if is_move:
                del source[uid]

    def expunge(self, name, count):
        uids = set(self.account.mailboxes[name].messages) if count >= MESSAGES_MAX else self.some(name)
        self.store(name, uids, "+", frozenset({"\\Deleted"}))
        messages = self.account.mailboxes[name].messages
        if self.rng.random() < 0.5:
            uids = {uid for uid, message in messages.items() if "\\Deleted" in message.flags}
            command = b"EXPUNGE"
        else:
            command = b"UID EXPUNGE %s" % uid_set(uids)
        effect = functools.partial(killmodel.expunge, name=name, uids=uids)
        reply = self.submit(effect, command)
        effect(self.account)
        told = reply.code(b"HIGHESTMODSEQ")
        if told:
            self.modseq(name, int(told))

    def create(self):
        free = [name for name in OWN_NAMES if name not in self.account.mailboxes]
        if free:
            name = self.rng.choice(free)
            effect = functools.partial(killmodel.create, name=name)
            self.submit(effect, b"CREATE %s" % wire.quoted(name))
            effect(self.account)

    def rename_or_delete(self):
        own = [name for name in OWN_NAMES if name in self.account.mailboxes]
        free = [name for name in OWN_NAMES if name not in self.account.mailboxes]
        leaves = [name for name in own if not self.below(name)]
        if self.selected is not None:
            self.imap.run(b"UNSELECT")
            self.selected = None
        if leaves and self.rng.random() < 0.5:
            name = self.rng.choice(leaves)
            effect = functools.partial(killmodel.delete, name=name)
            self.submit(effect, b"DELETE %s" % wire.quoted(name))
            effect(self.account)
        elif own and free:
            old, new = self.rng.choice(own), self.rng.choice(free)
            moved = [new + name[len(old) :] for name in [old, *self.below(old)]]
            if new.startswith(old + "/") or any(name in self.account.mailboxes for name in moved):
                return
            if any(name not in OWN_NAMES for name in moved):
                return
            effect = functools.partial(killmodel.rename, old=old, new=new)
            self.submit(effect, b"RENAME %s %s" % (wire.quoted(old), wire.quoted(new)))
            effect(self.account)

    def below(self, name):
        return [other for other in self.account.mailboxes if other.startswith(name + "/")]


def uid_set(uids):
    return ",".join(str(uid) for uid in sorted(uids)).encode()


class Deliverer:
    """Delivers to INBOX of one or two accounts at a time."""

    def __init__(self, number, seed, workers):
        self.owner = f"d{number}"
        self.rng = random.Random(f"{seed} deliverer {number}")
        self.workers = workers
        self.tokens = 0
        self.done = 0

    def work(self, port, stop):
        with socket.create_connection(("127.0.0.1", port), timeout=waiting.SECONDS) as lmtp:
            lmtp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lines = lmtp.makefile("rb")
            self.expect(lines, b"220")
            self.say(lmtp, lines, b"LHLO client.example", b"250")
            while not stop.is_set():
                self.deliver(lmtp, lines)
                stop.wait(self.rng.random() * 0.02)

    def deliver(self, lmtp, lines):
        self.tokens += 1
        token = new_token(self.owner, self.tokens, self.rng)
        to = self.rng.sample(self.workers, self.rng.choice([1, 1, 2]))
        self.say(lmtp, lines, b"MAIL FROM:<office@harbour.example>", b"250")
        for worker in to:
            self.say(lmtp, lines, b"RCPT TO:<%s>" % worker.name.encode(), b"250")
        self.say(lmtp, lines, b"DATA", b"354")
        for worker in to:
            worker.account.deliveries[token] = False
        lmtp.sendall(content(token) + b".\r\n")
        for worker in to:
            self.expect(lines, b"250")
            worker.account.deliveries[token] = True
            self.done += 1

    def say(self, lmtp, lines, command, code):
        lmtp.sendall(command + b"\r\n")
        self.expect(lines, code)

    @staticmethod
    def expect(lines, code):
        while True:
            line = lines.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError("the connection ended")
            if line[:3] != code:
                raise Broken(f"LMTP: {line!r}")
            if line[3:4] == b" ":
                return


class Campaign:
    """Kill after kill on one folder."""

    def __init__(self, seed):
        self.rng = random.Random(f"{seed} kills")
        self.server = server.Server()
        with open(self.server.config, "a", encoding="ascii") as config:
            config.write(server.CHEAP_PASSWORDS)
        self.workers = [Worker(number, seed) for number in range(CLIENTS)]
        self.deliverers = [Deliverer(number, seed, self.workers) for number in range(DELIVERERS)]
        self.complaints = []
        self.kills = 0
        self.checked_at = 0
        self.slowest = 0.0
        for worker in self.workers:
            self.server.account(worker.name)

    def round(self, is_last):
        if not is_last and self.rng.random() < 0.15:
            self.kill_while_starting()
        began = time.monotonic()
        self.start()
        self.server_answers(began)
        self.together([lambda it=it: self.complaints.extend(it.verify(self.server.imap)) for it in self.workers])
        if self.complaints:
            return
        stop = threading.Event()
        threads = [self.spawn(lambda it=it: it.work(stop), stop) for it in self.workers]
        threads += [
            self.spawn(lambda it=it: it.work(self.server.lmtp, stop), stop) for it in self.deliverers
        ]
        time.sleep(self.rng.uniform(0.02, 0.6))
        stop.set()
        self.kill()
        for thread in threads:
            thread.join()
        for worker in self.workers:
            worker.imap.close()

    def server_answers(self, began):
        client = wire.Client(self.server.imap, self.workers[0].name, server.PASSWORD)
        took = time.monotonic() - began
        client.close()
        self.slowest = max(self.slowest, took)
        if took > LOGIN_SECONDS:
            self.complaints.append(f"a login was answered {took:.2f} s after the start")

    def start(self):
        """As `Server.start`, but looks more often."""
        self.server.launch()
        deadline = time.monotonic() + waiting.SECONDS
        while not self.server.ready.exists():
            if self.server.process.poll() is not None or time.monotonic() > deadline:
                raise Broken("the server did not start: " + self.server.tail())
            time.sleep(0.003)
        self.server.read_ready()

    def kill_while_starting(self):
        self.server.launch()
        time.sleep(self.rng.uniform(0, 0.06))
        self.kill()

    def kill(self):
        self.server.process.kill()
        self.server.process.wait()
        self.kills += 1

    def spawn(self, work, stop):
        def run():
            try:
                work()
            except (OSError, wire.WireError) as error:
                refused = isinstance(error, wire.WireError) and "connection ended" not in str(error)
                if refused or not stop.is_set():
                    self.complaints.append(f"{type(error).__name__}: {error}")
            except Exception as error:  # noqa: BLE001  (a thread's fault is the run's fault)
                self.complaints.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def together(self, works):
        for thread in [self.spawn(work, threading.Event()) for work in works]:
            thread.join()

    def look_at_log(self):
        for line in self.server.log.read_text(errors="replace").splitlines():
            if "panicked at" in line or " ERROR " in line:
                self.complaints.append(line)
        self.server.log.unlink()

    def check(self):
        self.checked_at = self.kills
        done = subprocess.run(
            [self.server.program, "check", "--config", str(self.server.config)],
            text=True, capture_output=True, timeout=server.RUN_SECONDS, check=False,
        )
        if done.returncode != 0:
            self.complaints.append(f"check: {done.stdout}{done.stderr}")

    def run(self, kills):
        while self.kills < kills and not self.complaints:
            self.round(self.kills + 1 >= kills)
            self.look_at_log()
            if self.kills >= min(kills, self.checked_at + KILLS_PER_CHECK):
                self.check()
        # What the last kill left is read as well.
        if not self.complaints:
            self.start()
            self.together(
                [lambda it=it: self.complaints.extend(it.verify(self.server.imap)) for it in self.workers]
            )
            self.complaints += self.server.stop()
            self.check()


def main():
    arguments = argparse.ArgumentParser(description="kills the program under load")
    arguments.add_argument("--kills", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=None)
    given = arguments.parse_args()
    seed = given.seed if given.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"kills: seed {seed}; the judge objects to {killmodel.self_check()} doctored histories")
    sys.stdout.flush()
    began = time.monotonic()
    campaign = Campaign(seed)
    try:
        campaign.run(given.kills)
    except Broken as error:
        campaign.complaints.append(str(error))
    finally:
        if campaign.server.process is not None:
            campaign.server.kill()
    commands = sum(worker.done for worker in campaign.workers)
    deliveries = sum(deliverer.done for deliverer in campaign.deliverers)
    print(
        f"{campaign.kills} kills in {time.monotonic() - began:.0f} s, {commands} commands and {deliveries} deliveries "
        f"acknowledged; slowest login {campaign.slowest:.2f} s after a start; {len(campaign.complaints)} violations"
    )
    for complaint in campaign.complaints[:20]:
        print(f"violation: {complaint[:2000]}")
    if campaign.complaints:
        print(f"data and log are kept in {campaign.server.folder}")
    else:
        campaign.server.remove()
    faults = os.environ.get("PILLARBOX_FAULTS")
    if faults:
        with open(faults, "a", encoding="ascii") as table:
            table.write(f"kill -9 of the program under load\t{campaign.kills}\t{len(campaign.complaints)}\n")
    return 1 if campaign.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
