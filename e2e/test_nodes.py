"""Several nodes on one PostgreSQL: any of them serves any account, and one that is stopped, killed
or cut off loses nothing that was acknowledged and harms nobody.

PILLARBOX_PAUSE_SECONDS says how long a node is stopped for: 10 by default, to keep the tests short.
"""

import imaplib
import os
import re
import signal
import smtplib
import socket
import statistics
import subprocess
import threading
import time
import unittest

import engines
import server
import waiting
import wire

PAUSE_SECONDS = float(os.environ.get("PILLARBOX_PAUSE_SECONDS", "10"))
# So many messages show that a node works.
MORE = 20


def mail(number, text="tide"):
    return (
        f"From: office@harbour.example\r\nMessage-ID: <{text}-{number}@harbour.example>\r\n"
        f"Subject: {text} {number}\r\n\r\nHigh water at {number}.\r\n"
    ).encode()


def tell_fault(what, cases):
    """A line for the table of faults, if somebody draws one. What is wrong has failed before."""
    path = os.environ.get("PILLARBOX_FAULTS")
    if path:
        with open(path, "a") as file:
            file.write(f"{what}\t{cases}\t0\n")


class Proxy:
    """The way of one node to its database, which can be cut."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.own_port = self.listener.getsockname()[1]
        # Guards both of these: what is opened while the way is cut would stay open.
        self.lock = threading.Lock()
        self.open = []
        self.is_cut = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self.port))
                self.open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    def pump(self, one, other):
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            self.is_cut = True
            for end in self.open:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.open.clear()

    def mend(self):
        self.is_cut = False


@unittest.skipIf(engines.ENGINE == "local", "needs a store that nodes can share")
class Nodes(unittest.TestCase):
    notify = True

    def setUp(self):
        self.place = engines.Place()
        self.proxy = Proxy(engines.postgres().port)
        self.addCleanup(self.proxy.listener.close)
        self.nodes = []
        for number in range(3):
            # The last one can be cut off.
            port = self.proxy.own_port if number == 2 else None
            node = server.Server(place=self.place, port=port, notify=self.notify)
            self.addCleanup(node.remove)
            self.addCleanup(node.kill)
            self.nodes.append(node.start())
        self.account = self.nodes[0].account("desk@mail.example")

    def login(self, node):
        return wire.Client(self.nodes[node].imap, self.account, server.PASSWORD)

    def append(self, client, number, text="tide", mailbox=b"INBOX"):
        """Adds a message; returns its UID."""
        reply = client.run(b"APPEND %s %%L" % mailbox, mail(number, text))
        return int(reply.code(b"APPENDUID").split()[-1])

    def subjects(self, node, mailbox=b"INBOX"):
        """UID and subject of every message."""
        client = self.login(node)
        client.run(b"EXAMINE %s" % mailbox)
        found = {}
        for line in client.run(b"UID FETCH 1:* (BODY.PEEK[])").all(b"FETCH"):
            row = wire.fetched(line)
            subject = re.search(rb"Subject: ([^\r]*)", row[b"BODY[]"])[1].decode()
            found[int(row[b"UID"])] = subject
        client.logout()
        return found

    def check(self):
        for node in self.nodes:
            if node.process.poll() is None:
                complaints = [line for line in node.stop() if "ERROR" not in line]
                self.assertEqual(complaints, [])
        self.nodes[0].run("check")


class Equal(Nodes):
    def test_what_is_written_through_one_is_read_through_another(self):
        clients = [self.login(node) for node in range(3)]
        for client in clients:
            client.run(b"SELECT INBOX")
        for number in range(60):
            writer, reader = clients[number % 3], clients[(number + 1) % 3]
            uid = self.append(writer, number)
            found = reader.run(b"UID FETCH %d (BODY.PEEK[])" % uid).all(b"FETCH")
            self.assertIn(mail(number), wire.fetched(found[-1])[b"BODY[]"])
            reader.run(b"UID STORE %d +FLAGS (\\Flagged n%d)" % (uid, number))
            found = writer.run(b"UID SEARCH UID %d KEYWORD n%d FLAGGED" % (uid, number))
            self.assertEqual(found.all(b"SEARCH")[0][1:], [b"%d" % uid])
            name = b"box%d" % number
            reader.run(b"CREATE %s" % name)
            # A literal that waits for its go-ahead, into what another node has just made.
            old = imaplib.IMAP4("127.0.0.1", self.nodes[number % 3].imap)
            old.login(self.account, server.PASSWORD)
            status, data = old.append(name.decode(), "", None, mail(number))
            self.assertEqual(status, "OK", data)
            old.logout()
            status = clients[(number + 2) % 3].run(b"STATUS %s (MESSAGES)" % name)
            self.assertIn(b"1", status.all(b"STATUS")[0][2])
        for client in clients:
            client.logout()
        self.check()

    def test_accounts_and_passwords_are_the_same_at_every_node(self):
        self.nodes[1].run("account", "passwd", self.account, "--password-stdin", stdin="new\n")
        with self.assertRaises(wire.WireError):
            self.login(2)
        wire.Client(self.nodes[2].imap, self.account, "new").logout()
        self.nodes[2].run("account", "add", "late@mail.example", "--password-stdin", stdin="x\n")
        wire.Client(self.nodes[0].imap, "late@mail.example", "x").logout()
        self.check()

    def test_no_flag_of_three_writers_is_lost_and_no_uid_comes_twice(self):
        first = self.append(self.login(0), 0)
        uids, failures = [], []

        def write(node):
            try:
                client = self.login(node)
                client.run(b"SELECT INBOX")
                for number in range(40):
                    uids.append(self.append(client, number, f"w{node}"))
                    client.run(b"UID STORE %d +FLAGS.SILENT (f%dx%d)" % (first, node, number % 12))
                client.logout()
            except Exception as error:  # noqa: BLE001  (told below)
                failures.append(error)

        writers = [threading.Thread(target=write, args=(node,)) for node in (0, 1, 2, 0, 1, 2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(set(uids)), 240)
        for node in range(3):
            client = self.login(node)
            client.run(b"SELECT INBOX")
            row = wire.fetched(client.run(b"UID FETCH %d (FLAGS)" % first).all(b"FETCH")[0])
            wanted = {b"f%dx%d" % (node, number) for node in range(3) for number in range(12)}
            self.assertEqual(wanted - set(row[b"FLAGS"]), set())
            client.logout()
            self.assertEqual(len(self.subjects(node)), 241)
        tell_fault("changes of one account through three processes", 480)
        self.check()


class Idle(Nodes):
    deliveries = 300

    def test_an_idle_session_hears_of_a_delivery_through_another_node(self):
        client = self.login(1)
        client.run(b"SELECT INBOX")
        tag = client.idle()
        took = []
        for number in range(self.deliveries):
            lmtp = smtplib.LMTP("127.0.0.1", self.nodes[0].lmtp)
            lmtp.sendmail("office@harbour.example", [self.account], mail(number))
            began = time.monotonic()
            client.until(lambda response: response[1:2] == [b"EXISTS"])
            took.append(time.monotonic() - began)
            lmtp.quit()
        client.done(tag)
        client.logout()
        took.sort()
        p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
        # How long it takes is told, and nobody judges it here.
        how = "LISTEN/NOTIFY" if self.notify else "polling"
        print(f"IDLE by {how}: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ", end="")
        self.check()


class IdleByPolling(Idle):
    notify = False
    deliveries = 100


class Trouble(Nodes):
    """Writers at three nodes; something happens to the third."""

    def setUp(self):
        super().setUp()
        self.acknowledged = {}
        # How many at each node.
        self.counts = [0, 0, 0]
        self.refused = []
        self.stop = threading.Event()

    def write(self, node, writer):
        """Adds messages until told to stop; reconnects whenever the session has ended."""
        client, number = None, 0
        while not self.stop.is_set():
            subject = f"w{writer} {number}"
            number += 1
            try:
                if client is None:
                    client = self.login(node)
                uid = self.append(client, subject.split()[1], f"w{writer}")
                self.acknowledged.setdefault(subject, []).append(uid)
                self.counts[node] += 1
            except wire.WireError as error:
                # Refused in order, or the session was ended.
                self.refused.append(str(error))
                if "NO" not in str(error):
                    client = None
                time.sleep(0.1)
            except OSError as error:
                self.refused.append(str(error))
                client = None
                time.sleep(0.1)

    def run_with(self, trouble):
        threads = [
            threading.Thread(target=self.write, args=(number % 3, number)) for number in range(6)
        ]
        for thread in threads:
            thread.start()
        try:
            self.more(0, 1, 2)
            trouble()
            self.more(0, 1)
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(2 * waiting.SECONDS)
                self.assertFalse(thread.is_alive(), "a session hangs")
        return self.verify()

    def more(self, *nodes):
        """Until each of these nodes has acknowledged some more."""
        before = list(self.counts)
        for node in nodes:
            what = f"more at node {node}"
            waiting.until(lambda: self.counts[node] >= before[node] + MORE, what, lambda: self.refused[-3:])

    def verify(self):
        """Everything that was acknowledged is there under the UID that was told, and once."""
        found = self.subjects(0)
        self.assertEqual(found, self.subjects(1))
        uids = [uid for uids in self.acknowledged.values() for uid in uids]
        self.assertEqual(len(uids), len(set(uids)))
        for subject, told in self.acknowledged.items():
            for uid in told:
                self.assertEqual(found.get(uid), subject)
        twice = [subject for subject in set(found.values()) if
                 list(found.values()).count(subject) > 1]
        self.assertEqual(twice, [])
        return len(uids)

    def test_a_node_that_was_stopped_for_a_while_cannot_write_with_what_it_knew(self):
        def trouble():
            os.kill(self.nodes[2].process.pid, signal.SIGSTOP)
            time.sleep(PAUSE_SECONDS)
            os.kill(self.nodes[2].process.pid, signal.SIGCONT)
            self.more(2)

        count = self.run_with(trouble)
        # It serves again, and sees what the others wrote.
        self.assertEqual(self.subjects(2), self.subjects(0))
        tell_fault(f"a node stopped for {PAUSE_SECONDS:.0f} s while three write", count)
        self.check()

    def test_a_node_that_is_killed_loses_nothing_that_was_acknowledged(self):
        count = self.run_with(self.nodes[2].kill)
        self.nodes[2].start()
        self.assertEqual(self.subjects(2), self.subjects(0))
        tell_fault("a node killed while three write", count)
        self.check()

    def test_a_node_that_is_cut_off_says_so_and_comes_back_by_itself(self):
        def trouble():
            for _ in range(3):
                self.proxy.cut()
                # It answers, which is more than a connection on which nothing comes any more.
                with self.assertRaises(wire.WireError, msg="a login that nobody can have looked up"):
                    self.login(2).close()
                self.proxy.mend()
                self.more(2)

        count = self.run_with(trouble)
        self.assertEqual(self.subjects(2), self.subjects(0))
        tell_fault("a node cut off from PostgreSQL while three write", count)
        self.check()


@unittest.skipIf(engines.ENGINE == "local", "needs several databases")
class Shards(unittest.TestCase):
    def setUp(self):
        self.place = engines.Place(shards=["one", "two"])
        self.nodes = []
        for _ in range(2):
            node = server.Server(place=self.place)
            self.addCleanup(node.remove)
            self.addCleanup(node.kill)
            self.nodes.append(node.start())

    def state(self, node, account, since):
        """What a client that knew everything up to `since` is told by one SELECT."""
        client = wire.Client(self.nodes[node].imap, account, server.PASSWORD)
        client.run(b"ENABLE QRESYNC")
        selected = client.run(b"SELECT INBOX (QRESYNC (%s %s 1:1000))" % since)
        told = [line for line in selected.untagged if b"VANISHED" in line or b"FETCH" in line]
        return client, selected, told

    def test_an_account_moves_while_nodes_serve_and_its_clients_notice_nothing(self):
        accounts = [self.nodes[0].account(f"user{number}@mail.example") for number in range(4)]
        mover, others = accounts[0], accounts[1:]
        client = wire.Client(self.nodes[1].imap, mover, server.PASSWORD)
        client.run(b"ENABLE QRESYNC")
        client.run(b"SELECT INBOX")
        for number in range(20):
            client.run(b"APPEND INBOX %L", mail(number))
        client.run(b"UID STORE 3:5 +FLAGS (\\Deleted)")
        client.run(b"UID STORE 7 +FLAGS (keep)")
        client.run(b"EXPUNGE")
        reply = client.run(b"STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ UIDNEXT)")
        values = reply.all(b"STATUS")[0][2]
        before = dict(zip(values[::2], values[1::2]))
        since = (before[b"UIDVALIDITY"], before[b"HIGHESTMODSEQ"])
        for target in ("two", "home", "one", "two"):
            said = self.nodes[0].run("account", "move", mover, "--to", target)
            self.assertIn("compared", said)
            # The session that was open goes on; so does one that asks what has changed.
            self.assertEqual(
                client.run(b"STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ UIDNEXT)").all(b"STATUS")[0][2],
                values,
            )
            resynced, _, told = self.state(0, mover, since)
            self.assertEqual(told, [])
            rows = resynced.run(b"UID FETCH 1:* (FLAGS BODY.PEEK[])").all(b"FETCH")
            self.assertEqual(len(rows), 17)
            resynced.logout()
            for other in others:
                wire.Client(self.nodes[1].imap, other, server.PASSWORD).logout()
        uid = client.run(b"APPEND INBOX %L", mail(99)).code(b"APPENDUID").split()[-1]
        self.assertEqual(uid, before[b"UIDNEXT"])
        client.logout()
        for node in self.nodes:
            self.assertEqual(node.stop(), [])
        self.nodes[0].run("check")

    def test_a_move_that_is_killed_is_finished_by_the_same_command(self):
        account = self.nodes[0].account("desk@mail.example")
        client = wire.Client(self.nodes[0].imap, account, server.PASSWORD)
        for number in range(40):
            client.run(b"APPEND INBOX %L", mail(number))
        client.logout()
        before, killed = self.picture(0, account), 0
        for number in range(16):
            target = ("one", "two", "home")[number % 3]
            words = ["account", "move", account, "--to", target]
            node = self.nodes[number % 2]
            move = subprocess.Popen(
                [node.program, *words, "--config", str(node.config)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(0.1 + 0.06 * number)
            move.kill()
            killed += move.wait() == -signal.SIGKILL
            node.run(*words)
            self.assertEqual(self.picture((number + 1) % 2, account), before)
        tell_fault("account move killed and run again", killed)
        for node in self.nodes:
            self.assertEqual(node.stop(), [])
        self.nodes[0].run("check")

    def picture(self, node, account):
        client = wire.Client(self.nodes[node].imap, account, server.PASSWORD)
        status = b"STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ UIDNEXT MESSAGES)"
        told = client.run(status).all(b"STATUS")
        client.run(b"EXAMINE INBOX")
        rows = client.run(b"UID FETCH 1:* (FLAGS MODSEQ EMAILID BODY.PEEK[])").all(b"FETCH")
        client.logout()
        return told, [wire.fetched(row) for row in rows]

    def test_an_account_moves_from_one_machine_to_many_and_back(self):
        alone = server.Server(place=engines.Place(engine="local"))
        self.addCleanup(alone.remove)
        self.addCleanup(alone.kill)
        alone.start()
        account = alone.account("desk@mail.example")
        client = wire.Client(alone.imap, account, server.PASSWORD)
        for number in range(5):
            client.run(b"APPEND INBOX %L", mail(number))
        client.run(b"CREATE Projects")
        client.run(b"SELECT INBOX")
        client.run(b"UID MOVE 2 Projects")
        status = b"STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ UIDNEXT MESSAGES)"
        before = client.run(status).all(b"STATUS")
        client.logout()
        # Not while the server has the folder open.
        with self.assertRaises(RuntimeError):
            alone.run("account", "move", account, "--to", str(self.nodes[0].config))
        self.assertEqual(alone.stop(), [])
        alone.run("account", "move", account, "--to", str(self.nodes[0].config))
        for node in self.nodes:
            client = wire.Client(node.imap, account, server.PASSWORD)
            self.assertEqual(client.run(status).all(b"STATUS"), before)
            client.logout()
        self.assertEqual(alone.run("account", "list"), "")
        self.nodes[1].run("account", "move", account, "--to", str(alone.config))
        with self.assertRaises(wire.WireError):
            wire.Client(self.nodes[0].imap, account, server.PASSWORD)
        alone.start()
        client = wire.Client(alone.imap, account, server.PASSWORD)
        self.assertEqual(client.run(status).all(b"STATUS"), before)
        client.logout()
        self.assertEqual(alone.stop(), [])
        alone.run("check")

    def test_a_repair_raises_what_was_announced(self):
        account = self.nodes[0].account("desk@mail.example")
        client = wire.Client(self.nodes[0].imap, account, server.PASSWORD)
        client.run(b"APPEND INBOX %L", mail(1))
        status = b"STATUS INBOX (UIDNEXT HIGHESTMODSEQ)"
        before = client.run(status).all(b"STATUS")[0][2]
        self.nodes[1].run("repair", "--after-data-loss")
        after = client.run(status).all(b"STATUS")[0][2]
        self.assertGreater(int(after[1]), int(before[1]) + 1000)
        self.assertGreater(int(after[3]), int(before[3]) + 1000)
        client.run(b"APPEND INBOX %L", mail(2))
        client.logout()
        for node in self.nodes:
            self.assertEqual(node.stop(), [])
        self.nodes[0].run("check")


del Nodes

if __name__ == "__main__":
    unittest.main()
