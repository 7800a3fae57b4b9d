"""Six thousand real messages, in by APPEND and in by LMTP, and out again byte for byte."""

import collections
import email
import email.policy
import imaplib
import os
import pathlib
import re
import smtplib
import threading
import time
import unittest

import server
import structure
import waiting
import wire

CONNECTIONS = 4
BATCH = 100
# LITERAL+ without waiting is bounded by what a socket may hold unread.
IN_FLIGHT = 8


def corpus():
    """(name, bytes as they go over the wire), in a fixed order."""
    folder = pathlib.Path(os.environ["PILLARBOX_CORPUS"])
    paths = sorted(folder.glob("*/*.txt"))
    return [(f"{p.parent.name}/{p.name}", crlf(p.read_bytes())) for p in paths]


def crlf(raw):
    """Bare LF becomes CRLF; a CR on its own stays, as it does on its way through a server."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", raw)


def in_parallel(count, work):
    """Runs work(0) ... work(count - 1) on threads of their own; raises what they raised."""
    troubles = []

    def guarded(index):
        try:
            work(index)
        except Exception as error:  # noqa: BLE001  (raised again below)
            troubles.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]


@unittest.skipUnless("PILLARBOX_CORPUS" in os.environ, "cargo xtask e2e corpus fetches it")
class Corpus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server.shared()
        cls.messages = corpus()
        assert len(cls.messages) == 6046

    def test_1_append_all(self):
        account = self.server.account("corpus-append@mail.example")
        uids = {}

        def load(index):
            client = wire.Client(self.server.imap, account, server.PASSWORD)
            mine = range(index, len(self.messages), CONNECTIONS)
            waiting = collections.deque()

            def settle():
                number, tag = waiting.popleft()
                reply = client.finish(tag)
                code = reply.code(b"APPENDUID")
                if reply.status != b"OK" or not code:
                    name = self.messages[number][0]
                    raise wire.WireError(f"{name}: {reply.status} {reply.text}")
                uids[int(code.split()[1])] = number

            for number in mine:
                tag = client.send(b"APPEND INBOX (\\Seen) %L", self.messages[number][1])
                waiting.append((number, tag))
                if len(waiting) >= IN_FLIGHT:
                    settle()
            while waiting:
                settle()
            client.logout()

        began = time.monotonic()
        in_parallel(CONNECTIONS, load)
        spent = time.monotonic() - began
        print(f"[{len(uids) / spent:.0f} messages/s by APPEND] ", end="", flush=True)
        self.assertEqual(len(uids), len(self.messages), "every message has a UID of its own")
        self.compare(account, uids, exact)

    def test_2_lmtp_all(self):
        account = self.server.account("corpus-lmtp@mail.example")

        def load(index):
            lmtp = smtplib.LMTP("127.0.0.1", self.server.lmtp, timeout=waiting.SECONDS)
            lmtp.ehlo()
            for number in range(index, len(self.messages), CONNECTIONS):
                name, message = self.messages[number]
                # The count of a message is its own way back: names do not survive in a header.
                lmtp.mail(f"n{number}@corpus.example")
                code, text = lmtp.rcpt(account)
                self.assertEqual(code, 250, text)
                code, text = lmtp.data(message)
                self.assertEqual(code, 250, f"{name}: {text}")
            lmtp.quit()

        began = time.monotonic()
        in_parallel(CONNECTIONS, load)
        spent = time.monotonic() - began
        print(f"[{len(self.messages) / spent:.0f} messages/s by LMTP] ", end="", flush=True)
        client = wire.Client(self.server.imap, account, server.PASSWORD)
        client.run(b"EXAMINE INBOX")
        uids = {}
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (RETURN-PATH)])")
        for response in reply.all(b"FETCH"):
            items = wire.fetched(response)
            header = next(v for k, v in items.items() if k.startswith(b"BODY["))
            uids[int(items[b"UID"])] = int(re.search(rb"<n(\d+)@corpus", header)[1])
        client.logout()
        self.assertEqual(len(set(uids.values())), len(self.messages))
        self.compare(account, uids, after_trace)

    def compare(self, account, uids, strip):
        """Fetches everything back and holds it against the files."""
        differences = collections.Counter()
        first = {}

        def note(kind, name, detail):
            differences[kind] += 1
            first.setdefault(kind, f"{name}: {detail}")

        def check(index):
            client = wire.Client(self.server.imap, account, server.PASSWORD)
            client.run(b"EXAMINE INBOX")
            ordered = sorted(uids)
            for start in range(index * BATCH, len(ordered), BATCH * CONNECTIONS):
                batch = ordered[start : start + BATCH]
                reply = client.run(
                    b"UID FETCH %d:%d (RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[] "
                    b"BODY.PEEK[HEADER] BODY.PEEK[TEXT])" % (batch[0], batch[-1])
                )
                responses = reply.all(b"FETCH")
                if len(responses) != len(batch):
                    note("missing", batch, f"{len(responses)} of {len(batch)}")
                for response in responses:
                    items = wire.fetched(response)
                    name, sent = self.messages[uids[int(items[b"UID"])]]
                    self.check_message(name, strip(sent, items[b"BODY[]"]), items, note)
                    self.check_parts(client, name, items, note)
            client.logout()

        began = time.monotonic()
        in_parallel(CONNECTIONS, check)
        print(f"[read back in {time.monotonic() - began:.0f} s] ", end="", flush=True)
        for kind, count in differences.items():
            print(f"\n    {count} {kind}; first {first[kind]}", flush=True)
        self.assertFalse(differences)

    def check_message(self, name, sent, items, note):
        body = items[b"BODY[]"]
        if body != sent:
            note("changed bytes", name, first_difference(sent, body))
        if int(items[b"RFC822.SIZE"]) != len(body):
            note("wrong RFC822.SIZE", name, f"{items[b'RFC822.SIZE']} of {len(body)}")
        if items[b"BODY[HEADER]"] + items[b"BODY[TEXT]"] != body:
            note("HEADER + TEXT is not the message", name, len(items[b"BODY[HEADER]"]))
        try:
            structure.check_envelope(items[b"ENVELOPE"])
            structure.check_body(items[b"BODYSTRUCTURE"])
        except wire.WireError as error:
            note("invalid structure", name, error)
            return
        parsed = email.message_from_bytes(body)
        subject = items[b"ENVELOPE"][1]
        expected = header_value(items[b"BODY[HEADER]"], b"subject")
        if squeeze(subject) != squeeze(expected):
            note("another subject", name, f"{subject} {expected}")
        has_defects = any(part.defects for part in parsed.walk())
        ours = structure.kinds(structure.check_body(items[b"BODYSTRUCTURE"]))
        theirs = structure.python_kinds(parsed)
        # Where Python itself sees a malformed message, or passes a malformed media type on, there
        # are several right answers.
        sane = all(re.fullmatch(r"[^\s/;]+/[^\s/;]+", kind) for kind in theirs)
        if ours != theirs and sane and not has_defects:
            note("another structure", name, f"{ours} {theirs}")

    def check_parts(self, client, name, items, note):
        """Each part of a multipart has the size that BODYSTRUCTURE promised."""
        tree = structure.check_body(items[b"BODYSTRUCTURE"])
        leaves = [part for part in tree.walk() if part.octets is not None]
        if not tree.children or len(leaves) > 40:
            return
        sections = [b".".join(b"%d" % n for n in part.section) for part in leaves]
        wanted = b" ".join(b"BODY.PEEK[%s] BODY.PEEK[%s.MIME]" % (s, s) for s in sections)
        reply = client.run(b"UID FETCH %s (%s)" % (items[b"UID"], wanted))
        found = wire.fetched(reply.all(b"FETCH")[0])
        for part, section in zip(leaves, sections):
            data = found[b"BODY[%s]" % section]
            if len(data or b"") != part.octets:
                note("a part of another size", name, f"{section} {len(data or b'')} {part.octets}")
            if (data or b"") not in items[b"BODY[]"]:
                note("a part that is not in the message", name, section)
            mime = found[b"BODY[%s.MIME]" % section] or b""
            if mime and not mime.endswith(b"\r\n"):
                note("a part header without its end", name, section)

    def test_3_imaplib_reads_all(self):
        """Python's own client and parser take everything without complaint."""
        account = self.server.account("corpus-append@mail.example")
        client = imaplib.IMAP4("127.0.0.1", self.server.imap)
        client.login(account, server.PASSWORD)
        status, count = client.select("INBOX", readonly=True)
        self.assertEqual(status, "OK")
        if int(count[0]) != len(self.messages):
            self.skipTest("needs the messages of test_1_append_all")
        seen = 0
        for start in range(1, int(count[0]) + 1, 500):
            status, data = client.fetch(
                f"{start}:{min(start + 499, len(self.messages))}",
                "(ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[])",
            )
            self.assertEqual(status, "OK")
            before = b""
            for item in data:
                # imaplib cuts a response at each literal, and an envelope may hold some.
                text, literal = item if isinstance(item, tuple) else (item, None)
                before += text
                if literal is not None and re.search(rb"BODY\[\] \{\d+\}$", text):
                    size = int(re.findall(rb"RFC822\.SIZE (\d+)", before)[-1])
                    self.assertEqual(size, len(literal))
                    email.message_from_bytes(literal, policy=email.policy.compat32)
                    before = b""
                    seen += 1
        self.assertEqual(seen, len(self.messages))
        client.logout()


def exact(sent, _found):
    return sent


def after_trace(sent, found):
    """What must come back when the server has put its trace on top. RFC 5321 §4.4"""
    trace = found[: max(0, len(found) - len(sent))]
    fields = re.findall(rb"^([A-Za-z-]+):", trace, re.M)
    allowed = {b"return-path", b"delivered-to", b"received", b"x-original-to"}
    if not fields or not {field.lower() for field in fields} <= allowed:
        return sent
    if not sent.endswith(b"\r\n") and found.endswith(sent + b"\r\n"):
        # DATA ends with CRLF, so it cannot carry a message that does not. RFC 5321 §4.1.1.4
        sent += b"\r\n"
        trace = found[: len(found) - len(sent)]
    return trace + sent


def first_difference(expected, found):
    for at, (left, right) in enumerate(zip(expected, found)):
        if left != right:
            return f"at {at}: sent {expected[at - 20 : at + 20]!r}, got {found[at - 20 : at + 20]!r}"
    return f"sent {len(expected)} bytes, got {len(found)}"


def header_value(header, name):
    """The raw text of the first field with this name, unfolded."""
    found = re.search(rb"(?mi)^" + name + rb"[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", header)
    return None if found is None else re.sub(rb"\r\n(?=[ \t])", b"", found[1]).strip()


def squeeze(value):
    """A server may fold and unfold as it likes; an empty field may be NIL."""
    return re.sub(rb"[\s\x00]+", b" ", value or b"").strip()
