"""Mail that is handed in by Python's smtplib leaves through relays."""

import json
import os
import re
import smtplib
import socketserver
import threading
import unittest

import server
import waiting
import wire
from test_smtp import UNVOUCHED

RELAYS = """\

[[relay]]
domains = ["far.example"]
host = "localhost"
port = {secure}
tls = "required"
ca = "{ca}"

[[relay]]
domains = ["plain.example"]
host = "127.0.0.1"
port = {plain}
tls = "none"
"""


class Sink(socketserver.StreamRequestHandler):
    """Takes mail, refuses `nobody`, and leaves the first end of a text unanswered."""

    def reply(self, text):
        self.wfile.write(text + b"\r\n")

    def handle(self):
        self.reply(b"220 sink")
        recipients = []
        while line := self.rfile.readline().strip():
            verb = line.split()[0].upper()
            if verb == b"RCPT" and b"nobody" in line:
                self.reply(b"550 5.1.1 no such user")
            elif verb == b"DATA":
                self.reply(b"354 go on")
                text = []
                while (piece := self.rfile.readline()) not in (b".\r\n", b""):
                    text.append(piece)
                self.server.taken.append((recipients, b"".join(text)))
                if self.server.silences > 0:
                    self.server.silences -= 1
                    return
                self.reply(b"250 taken")
            elif verb == b"QUIT":
                self.reply(b"221 bye")
                return
            else:
                if verb == b"RCPT":
                    recipients.append(line)
                self.reply(b"250 ok")


def start_sink(test):
    """A sink that lives as long as the test."""
    sink = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink)
    sink.daemon_threads = True
    sink.taken, sink.silences = [], 0
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    test.addCleanup(sink.server_close)
    test.addCleanup(sink.shutdown)
    return sink


@unittest.skipIf("PILLARBOX_AT" in os.environ, "starts servers of its own")
class Relay(unittest.TestCase):
    def setUp(self):
        self.sink = start_sink(self)
        # Another server of the same kind, for another domain.
        self.far = server.Server()
        self.far.config.write_text(self.far.config.read_text().replace("mail.example", "far.example"))
        self.far.start()
        self.addCleanup(self.far.remove)
        self.addCleanup(self.far.kill)
        self.friend = self.far.account("friend@far.example")
        self.near = server.Server()
        relays = RELAYS.format(
            secure=self.far.smtp,
            plain=self.sink.server_address[1],
            ca=self.far.folder / "data" / "tls" / "self-signed.pem",
        )
        with open(self.near.config, "a") as config:
            config.write(relays)
        self.near.start()
        self.addCleanup(self.near.remove)
        self.addCleanup(self.near.kill)
        self.me = self.near.account("me@mail.example")

    def hand_in(self, *to):
        smtp = smtplib.SMTP("127.0.0.1", self.near.submission)
        self.addCleanup(smtp.close)
        smtp.starttls(context=UNVOUCHED)
        smtp.login(self.me, server.PASSWORD)
        text = f"From: {self.me}\r\nSubject: tide\r\n\r\n.\r\n..dots\r\nbody\r\n"
        return smtp.sendmail(self.me, to, text)

    def inbox(self, place, account):
        client = wire.Client(place.imap, account, server.PASSWORD)
        client.run(b"EXAMINE INBOX")
        reply = client.run(b"UID FETCH 1:* (BODY.PEEK[])")
        client.logout()
        return [wire.fetched(line)[b"BODY[]"] for line in reply.all(b"FETCH")]

    def test_mail_leaves_over_verified_tls_and_failures_come_back(self):
        refused = self.hand_in(
            self.friend, "a@plain.example", "nobody@plain.example", self.me, "x@other.example"
        )
        self.assertEqual(list(refused), ["x@other.example"])
        self.assertIn(b"has no way to the domain", refused["x@other.example"][1])
        message = waiting.until(lambda: self.inbox(self.far, self.friend))[0]
        self.assertIn(b" with ESMTPS id ", message)
        self.assertTrue(message.endswith(b"\r\n\r\n.\r\n..dots\r\nbody\r\n"), message)
        waiting.until(lambda: self.sink.taken)
        self.assertEqual(self.sink.taken[0][0], [b"RCPT TO:<a@plain.example>"])
        self.assertTrue(self.sink.taken[0][1].endswith(b"\r\n\r\n..\r\n...dots\r\nbody\r\n"))
        waiting.until(lambda: len(self.inbox(self.near, self.me)) == 2)
        mine = self.inbox(self.near, self.me)
        notices = [text for text in mine if b"report-type=delivery-status" in text]
        self.assertEqual(len(notices), 1)
        self.assertIn(b"nobody@plain.example", notices[0])
        self.assertIn(b"550 5.1.1 no such user", notices[0])
        # The entry goes when the last of its recipients is recorded, which is after the other side has the mail.
        waiting.until(lambda: self.near.run("queue", "list") == "", "an empty queue")
        self.look_up(message, notices[0])
        self.assertEqual(self.near.stop() + self.near.verify(), [])
        self.assertEqual(self.far.stop(), [])

    def look_up(self, message, notice):
        """`pillarbox why` tells both ends of the way, whether the server runs or not."""
        message_id = re.search(rb"^Message-ID: (\S+)", message, re.M)[1].decode()
        parts = (
            f"received {message_id}, ", " by ESMTPSA, ", f"account {self.me}\n", "queued as ",
            f"to <{self.me}>: account {self.me}, mailbox INBOX, UID ",
            "to <a@plain.example>: delivered at attempt 1, 127.0.0.1: 250 taken\n",
            "to <nobody@plain.example>: failed at attempt 1, 127.0.0.1: 550 5.1.1 no such user\n",
            "sender told by notice ", "answered: 250 2.0.0 Accepted\n",
        )

        def story():
            return self.near.run("why", message_id)

        # A step is told after it has been taken.
        waiting.until(lambda: all(part in story() for part in parts), f"a story with {parts}", story)
        self.assertNotIn("still in the queue", story())
        told = waiting.until(lambda: self.far.run("why", message_id, "--json"), "a story")
        arrived = [json.loads(line) for line in told.splitlines()]
        self.assertEqual([event["event"] for event in arrived], ["received"])
        self.assertEqual(arrived[0]["facts"]["protocol"], "ESMTPS")
        self.assertIn(f"account {self.friend}, mailbox INBOX, UID ", arrived[0]["places"][0])
        found = self.near.run("why", "--to", "nobody@plain.example", "--since", "1h")
        self.assertIn(message_id, found)
        self.assertIn("550 5.1.1 no such user", found)
        self.assertIn(b"nobody@plain.example", notice)

    def test_what_was_not_answered_waits_over_a_restart_and_is_sent_again(self):
        self.sink.silences = 1
        self.assertEqual(self.hand_in("a@plain.example"), {})
        entry = self.near.tried_and_waiting()
        self.assertIn("1 to reach", self.near.run("queue", "list"))
        self.assertEqual(len(self.sink.taken), 1)
        self.near.kill()
        self.near.start()
        self.near.run("queue", "retry", entry)
        waiting.until(lambda: len(self.sink.taken) == 2, "the second attempt")
        waiting.until(lambda: self.near.run("queue", "list") == "", "an empty queue")
        self.assertEqual(self.near.stop() + self.near.verify(), [])


if __name__ == "__main__":
    unittest.main()
