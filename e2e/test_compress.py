"""COMPRESS=DEFLATE, spoken with zlib: another implementation than the server's. RFC 4978"""

import os
import random
import re
import ssl
import unittest
import zlib

import server
import waiting
import wire
from test_imaplib import message

# The smallest window that any client is known to keep is the largest that deflate has.
WINDOW = -15
# net::INFLATER_BYTES, and what an allocator adds; the rest of the connection is measured without.
IDLE_KIB_MAX = 64
IDLE_COUNT = 1500


class Deflated:
    """A socket whose octets are compressed in both directions."""

    def __init__(self, plain, flush=zlib.Z_SYNC_FLUSH, level=6):
        self.plain = plain
        self.flush = flush
        self.packer = zlib.compressobj(level, zlib.DEFLATED, WINDOW)
        self.unpacker = zlib.decompressobj(WINDOW)
        self.read = self.given = 0

    def pack(self, octets):
        return self.packer.compress(octets) + self.packer.flush(self.flush)

    def sendall(self, octets):
        self.plain.sendall(self.pack(octets))

    def recv(self, count):
        while True:
            packed = self.plain.recv(count)
            if not packed:
                return b""
            self.read += len(packed)
            octets = self.unpacker.decompress(packed)
            self.given += len(octets)
            if octets:
                return octets

    def close(self):
        self.plain.close()


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def big(size, seed=4978):
    """A message of exactly this size: lines of words, and noise in base64 between them."""
    rng = random.Random(seed)
    words = [b"berth", b"tide", b"harbour", b"quay", b"pilot", b"anchor", b"buoy", b"crane"]
    block = b""
    while len(block) < 1 << 20:
        block += b" ".join(rng.choice(words) for _ in range(10)) + b"\r\n"
        block += rng.randbytes(30).hex().encode() + b"\r\n"
    head = b"Subject: Large\r\nContent-Type: text/plain\r\n\r\n"
    body = block * (size // len(block) + 1)
    return (head + body)[: size - 2] + b"\r\n"


class Compress(unittest.TestCase):
    def setUp(self):
        self.server = server.shared()
        name = self.id().rsplit(".", 1)[1].removeprefix("test_").replace("_", "-")[:40]
        self.account = self.server.account(f"compress-{name}@mail.example")

    def client(self, compressed=True, tls=False, **how):
        port = self.server.imaps if tls else self.server.imap
        client = wire.Client(port, self.account, server.PASSWORD, tls=tls)
        self.addCleanup(client.close)
        if compressed:
            self.compress(client, **how)
        return client

    def compress(self, client, **how):
        reply = client.run(b"COMPRESS DEFLATE")
        self.assertIn(b"active", reply.text)
        self.assertEqual(client.buffer, b"")
        client.socket = Deflated(client.socket, **how)

    def use(self, client):
        """Something of everything; returns the text of a message that was fetched."""
        for number in range(1, 6):
            client.run(b"APPEND INBOX %L", message(number))
        client.run(b"SELECT INBOX")
        fetched = client.run(b"FETCH 1:5 (FLAGS ENVELOPE BODY.PEEK[])")
        self.assertEqual(len(fetched.all(b"FETCH")), 5)
        self.assertIn(message(3), str_free(fetched.untagged))
        client.run(b"STORE 1 +FLAGS (\\Deleted)")
        client.run(b"EXPUNGE")
        client.logout()

    def test_a_session_goes_as_without(self):
        self.use(self.client())

    def test_it_is_announced_after_login_until_it_is_on(self):
        client = self.client(compressed=False)
        self.assertIn(b"COMPRESS=DEFLATE", client.run(b"CAPABILITY").untagged[0])
        self.compress(client)
        self.assertNotIn(b"COMPRESS=DEFLATE", client.run(b"CAPABILITY").untagged[0])
        again = client.finish(client.send(b"COMPRESS DEFLATE"))
        self.assertEqual(again.status, b"BAD")
        self.assertTrue(again.text.startswith(b"[COMPRESSIONACTIVE]"), again.text)
        client.logout()

    def test_every_kind_of_flush_is_understood_at_once(self):
        for flush in (zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH):
            for level in (0, 1, 6, 9):
                with self.subTest(flush=flush, level=level):
                    client = self.client(flush=flush, level=level)
                    for _ in range(20):
                        client.run(b"NOOP")
                    client.run(b"LIST \"\" *")
                    client.logout()

    def test_octets_may_come_one_by_one(self):
        client = self.client()
        for octet in client.socket.pack(b"x1 NOOP\r\nx2 LIST \"\" *\r\n"):
            client.socket.plain.sendall(bytes([octet]))
        self.assertEqual(client.finish(b"x1").status, b"OK")
        self.assertEqual(client.finish(b"x2").status, b"OK")
        client.logout()

    def test_under_tls_from_the_start_and_by_starttls(self):
        if self.server.imaps is None:
            self.skipTest("a server without TLS")
        self.use(self.client(tls=True))
        client = wire.Client(self.server.starttls)
        client.run(b"STARTTLS")
        client.socket = unverified().wrap_socket(client.socket)
        client.run(b"LOGIN %s %s" % (self.account.encode(), server.PASSWORD.encode()))
        self.compress(client)
        client.run(b"SELECT INBOX")
        self.assertEqual(len(client.run(b"FETCH 1:* BODY.PEEK[]").all(b"FETCH")), 4)
        client.logout()

    def test_idle_is_told(self):
        client = self.client()
        client.run(b"SELECT INBOX")
        tag = client.idle()
        other = self.client(compressed=False)
        for number in range(1, 6):
            other.run(b"APPEND INBOX %L", message(number))
            client.until(lambda line: line[1:2] == [b"EXISTS"] and line[0] == b"%d" % number)
        client.done(tag)
        client.logout()

    def test_the_largest_message_goes_both_ways(self):
        client = self.client(level=1)
        capabilities = b" ".join(client.run(b"CAPABILITY").untagged[0])
        size = int(re.search(rb"APPENDLIMIT=(\d+)", capabilities)[1])
        sent = big(size)
        client.run(b"APPEND INBOX %L", sent)
        client.run(b"SELECT INBOX")
        before = client.socket.read
        fetched = str_free(client.run(b"FETCH 1 BODY.PEEK[]").untagged)
        self.assertTrue(sent in fetched, "the message came back changed")
        packed = client.socket.read - before
        self.assertLess(packed, size * 0.7)
        print(f"{size} octets in {packed}; ", end="")
        client.logout()

    def test_what_is_not_compressed_ends_the_connection(self):
        for junk in (b"a NOOP\r\nb NOOP\r\n", b"\xff" * 100, os.urandom(1000)):
            client = self.client()
            client.socket.plain.sendall(junk)
            try:
                while client.socket.plain.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        # A command that was put behind COMPRESS in the clear is never answered.
        client = self.client(compressed=False)
        client.socket.sendall(b"c COMPRESS DEFLATE\r\nd LIST \"\" *\r\n")
        said = b""
        while True:
            octets = client.socket.recv(4096)
            if not octets:
                break
            said += octets
        self.assertEqual(said, b"c OK DEFLATE active\r\n")
        self.client().logout()

    def test_a_bomb_costs_no_memory(self):
        client = self.client()
        has_memory = hasattr(self.server, "memory_kib")
        before = self.server.memory_kib() if has_memory else None
        packer = client.socket.packer
        zeros = b"a" * (1 << 20)
        # A line of 512 MiB is 512 KiB on the wire.
        try:
            for _ in range(512):
                client.socket.plain.sendall(packer.compress(zeros))
            client.socket.plain.sendall(packer.flush(zlib.Z_SYNC_FLUSH))
            client.until(lambda line: line[0] == b"BYE")
        except (ConnectionError, wire.WireError):
            pass
        if before is not None:
            grown = self.server.memory_kib() - before
            self.assertLess(grown, 16 * 1024, f"{grown} KiB")
        self.client().logout()

    def test_unauthenticate_ends_it_with_its_reply(self):
        other = self.server.account("compress-unauthenticate-other@mail.example")
        login = b"LOGIN %s %s\r\n" % (other.encode(), server.PASSWORD.encode())
        for flush in (zlib.Z_SYNC_FLUSH, zlib.Z_FINISH):
            client = self.client()
            client.run(b"CREATE Mine") if flush == zlib.Z_SYNC_FLUSH else None
            packed = client.socket
            plain = packed.plain
            packed.flush = flush
            # The next login in the same packet, in the clear. RFC 8437 §3, §4.1
            plain.sendall(packed.pack(b"u UNAUTHENTICATE\r\n") + b"l " + login)
            said = b""
            while not packed.unpacker.eof:
                said += packed.unpacker.decompress(plain.recv(4096))
            self.assertTrue(said.startswith(b"u OK "), said)
            client.socket = plain
            client.buffer = packed.unpacker.unused_data
            self.assertEqual(client.finish(b"l").status, b"OK")
            names = [line for line in client.run(b"LIST \"\" *").all(b"LIST")]
            self.assertNotIn(b"Mine", [line[-1] for line in names])
            # And again.
            self.compress(client)
            client.run(b"NOOP")
            client.logout()

    def test_an_idle_connection_costs_its_window(self):
        if "PILLARBOX_AT" in os.environ:
            self.skipTest("needs a server of its own")
        # Of its own: what other tests have made the allocator keep would be used again; and so would what a password's hash takes
        # of memory.
        self.server = server.Server()
        with open(self.server.config, "a", encoding="ascii") as config:
            config.write(server.CHEAP_PASSWORDS)
        self.server.start()
        self.addCleanup(self.server.remove)
        self.addCleanup(self.server.kill)
        self.server.account(self.account)
        clients = [self.client(compressed=False) for _ in range(IDLE_COUNT)]
        before = self.server.memory_kib()
        for client in clients:
            self.compress(client)
            client.run(b"SELECT INBOX")

        def cost():
            return (self.server.memory_kib() - before) / IDLE_COUNT

        # The allocator gives back what was used for a moment only after a while.
        waiting.until(lambda: cost() < IDLE_KIB_MAX, "a connection that costs little", cost)
        print(f"{cost():.0f} KiB each; ", end="")
        for client in clients:
            client.logout()


def str_free(values):
    """All octet strings in nested lists."""
    if isinstance(values, list):
        return [octets for value in values for octets in str_free(value)]
    return [bytes(values)] if values is not None else []
