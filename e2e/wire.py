"""A small IMAP client that checks what it reads: strict where imaplib forgives.

Responses become Python values: atoms are `Atom`, strings are `bytes`, NIL is `None`, numbers stay
atoms, lists are lists. Anything that does not follow the grammar of RFC 9051 §9 raises.
"""

import re
import socket
import ssl
import time

import waiting


class WireError(Exception):
    """The server said something that the grammar does not allow, or refused a command."""


class Atom(bytes):
    """A word that was not quoted."""

    def __repr__(self):
        return self.decode("ascii", "replace")


class Reply:
    """The untagged responses of one command, each a list of values, and its tagged line."""

    def __init__(self, untagged, status, text):
        self.untagged = untagged
        self.status = status
        self.text = text

    def code(self, name):
        """The arguments of a response code such as APPENDUID, as text."""
        found = re.match(rb"\[" + name + rb" ?([^\]]*)\]", self.text)
        return found and found[1]

    def all(self, name):
        """Untagged responses with this name, which comes first or after a number."""
        return [line for line in self.untagged if name in (line[0], line[1:2] and line[1])]


class Client:
    """One connection."""

    def __init__(self, port, user=None, password=None, tls=False, timeout=waiting.SECONDS):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.buffer = b""
        self.tags = 0
        greeting = self.response()
        if greeting[0] != b"OK":
            raise WireError(f"greeting: {greeting}")
        if user is not None:
            self.run(b"LOGIN %s %s" % (quoted(user), quoted(password)))

    # --- sending

    def send(self, command, *literals):
        """Sends a command without waiting; `%L` in it stands for a literal that needs no reply."""
        self.tags += 1
        tag = b"t%d" % self.tags
        pieces = command.split(b"%L")
        out = tag + b" " + pieces[0]
        for piece, literal in zip(pieces[1:], literals):
            out += b"{%d+}\r\n" % len(literal) + literal + piece
        self.socket.sendall(out + b"\r\n")
        return tag

    def run(self, command, *literals):
        """Sends a command, waits for its end, and raises when it is refused."""
        reply = self.finish(self.send(command, *literals))
        if reply.status != b"OK":
            raise WireError(f"{command[:200]!r}: {reply.status} {reply.text}")
        return reply

    def finish(self, tag):
        """Reads until the tagged response."""
        untagged = []
        while True:
            line = self.tagged_or_untagged()
            if line[0] == tag:
                return Reply(untagged, line[1], line[2])
            if line[0] != b"*":
                raise WireError(f"waiting for {tag}: {line}")
            untagged.append(line[1])

    def idle(self):
        """Starts IDLE; the connection is ready for `until`, and `done` ends it."""
        tag = self.send(b"IDLE")
        line = self.tagged_or_untagged()
        while line[0] == b"*":
            line = self.tagged_or_untagged()
        if line[0] != b"+":
            raise WireError(f"IDLE: {line}")
        return tag

    def until(self, wanted):
        """Reads untagged responses until `wanted(response)`."""
        seen, deadline = [], time.monotonic() + waiting.SECONDS
        try:
            while not seen or not wanted(seen[-1]):
                # A server that has nothing to tell says that now and then.
                if time.monotonic() > deadline:
                    raise TimeoutError
                seen.append(self.response())
        except TimeoutError:
            raise WireError(f"not told for a long time; told: {seen}") from None

    def done(self, tag):
        self.socket.sendall(b"DONE\r\n")
        return self.finish(tag)

    def logout(self):
        reply = self.run(b"LOGOUT")
        if not reply.all(b"BYE"):
            raise WireError("LOGOUT without BYE")
        if self.socket.recv(1):
            raise WireError("more after LOGOUT")
        self.socket.close()

    def close(self):
        self.socket.close()

    # --- reading

    def response(self):
        line = self.tagged_or_untagged()
        if line[0] != b"*":
            raise WireError(f"not untagged: {line}")
        return line[1]

    def tagged_or_untagged(self):
        """(b"*", values), (b"+", text) or (tag, status, text)."""
        line = self.line()
        if line.startswith(b"* "):
            return b"*", self.untagged(line[2:])
        if line.startswith(b"+"):
            # A space belongs to it, even when nothing follows. RFC 9051 §7.5
            if not line.startswith(b"+ "):
                raise WireError(f"continuation without a space: {line!r}")
            return b"+", line[2:]
        tag, status, text = (line.split(b" ", 2) + [b"", b""])[:3]
        if status not in (b"OK", b"NO", b"BAD"):
            raise WireError(f"not a response: {line!r}")
        return tag, status, text

    def untagged(self, line):
        word = line.split(b" ", 1)[0].upper()
        if word in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"):
            return [Atom(word), line[len(word) + 1 :]]
        return Values(line, self).all()

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise WireError(f"a line with CR, LF or NUL: {line!r}")
        return line

    def exactly(self, count):
        if len(self.buffer) < count:
            pieces = [self.buffer]
            missing = count - len(self.buffer)
            while missing > 0:
                piece = self.socket.recv(min(1 << 20, missing))
                if not piece:
                    raise WireError("the connection ended in a literal")
                pieces.append(piece)
                missing -= len(piece)
            self.buffer = b"".join(pieces)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def fill(self):
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise WireError(f"the connection ended; left: {self.buffer!r}")
        self.buffer += piece


class Values:
    """The values of one response, read from its line and the literals that follow."""

    def __init__(self, line, client):
        self.text = line
        self.at = 0
        self.client = client

    def all(self):
        values = [self.value()]
        while self.at < len(self.text):
            self.take(b" ")
            values.append(self.value())
        return values

    def take(self, expected):
        if self.text[self.at : self.at + 1] != expected:
            raise WireError(f"expected {expected} at {self.at} of {self.text!r}")
        self.at += 1

    def value(self):
        first = self.text[self.at : self.at + 1]
        if first == b"(":
            return self.list()
        if first == b'"':
            return self.quoted()
        if first in (b"{", b"~"):
            return self.literal()
        return self.atom()

    def list(self):
        self.take(b"(")
        values = []
        while self.text[self.at : self.at + 1] != b")":
            # body-type-mpart is the one list in which members touch: `((...)(...) "mixed")`.
            touching = values and isinstance(values[-1], list) and self.text[self.at : self.at + 1] == b"("
            if values and not touching:
                self.take(b" ")
            values.append(self.value())
        self.take(b")")
        return values

    def quoted(self):
        found = re.compile(rb'"((?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*)"').match(self.text, self.at)
        if not found:
            raise WireError(f"not a quoted string at {self.at} of {self.text!r}")
        self.at = found.end()
        return re.sub(rb'\\(["\\])', rb"\1", found[1])

    def literal(self):
        found = re.compile(rb"~?\{(\d+)\}$").match(self.text, self.at)
        if not found:
            raise WireError(f"not a literal at {self.at} of {self.text!r}")
        data = self.client.exactly(int(found[1]))
        self.text = self.client.line()
        self.at = 0
        return data

    def atom(self):
        # `BODY[HEADER.FIELDS (DATE)]<0>` is one word here; flags keep their backslash.
        found = re.compile(
            rb'(?:BODY|BINARY)[A-Z.]*\[[^\]]*\](?:<\d+>)?|\\?[^()\{ "\\\x00-\x1f\x7f-\xff]+|\\\*'
        ).match(self.text, self.at)
        if not found:
            raise WireError(f"not an atom at {self.at} of {self.text!r}")
        self.at = found.end()
        return None if found[0] == b"NIL" else Atom(found[0])


def quoted(text):
    data = text.encode() if isinstance(text, str) else text
    return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def fetched(response):
    """The items of `* n FETCH (...)` by name."""
    if response[1] != b"FETCH":
        raise WireError(f"not a FETCH: {response[:2]}")
    items = response[2]
    return {bytes(items[i]): items[i + 1] for i in range(0, len(items), 2)}
