"""Python's imaplib: two sessions on one account, and what each is told of the other."""

import imaplib
import re
import smtplib
import ssl
import unittest

import server
import wire

MESSAGE = (
    b"From: Harbour office <office@harbour.example>\r\n"
    b"To: desk@mail.example\r\n"
    b"Subject: Berth %d\r\n"
    b"Date: Mon, 23 Nov 2026 09:%02d:00 +0000\r\n"
    b"Message-ID: <berth.%d@harbour.example>\r\n"
    b"\r\n"
    b"Berth %d is free.\r\n"
)


def message(number):
    return MESSAGE % (number, number % 60, number, number)


def ok(outcome):
    status, data = outcome
    assert status == "OK", (status, data)
    return data


class TwoSessions(unittest.TestCase):
    def setUp(self):
        self.server = server.shared()
        name = self.id().rsplit(".", 1)[1].replace("_", "-")[:40]
        self.account = self.server.account(f"{name}@mail.example")
        self.first = self.connect()
        self.second = self.connect()

    def connect(self):
        client = imaplib.IMAP4("127.0.0.1", self.server.imap)
        ok(client.login(self.account, server.PASSWORD))
        # What can be done is known only now; imaplib asked before.
        client.capabilities = tuple(ok(client.capability())[-1].decode().upper().split())
        self.addCleanup(self.leave, client)
        return client

    def raw(self):
        client = wire.Client(self.server.imap, self.account, server.PASSWORD)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def leave(client):
        try:
            client.logout()
        except imaplib.IMAP4.error:
            pass

    def fill(self, count, mailbox="INBOX"):
        for number in range(1, count + 1):
            ok(self.first.append(mailbox, "", None, message(number)))

    def flags(self, client, uid):
        data = ok(client.uid("FETCH", str(uid), "(FLAGS)"))
        found = b" ".join(d if isinstance(d, bytes) else d[0] for d in data)
        return set(re.search(rb"FLAGS \(([^)]*)\)", found)[1].split())

    def test_a_new_account_has_its_folders_subscribed(self):
        listed = b"\n".join(ok(self.first.list()))
        for name, use in (("Drafts", "Drafts"), ("Sent", "Sent"), ("Junk", "Junk"),
                          ("Trash", "Trash"), ("Archive", "Archive")):
            line = next(line for line in listed.split(b"\n") if line.endswith(name.encode()))
            self.assertIn(b"\\" + use.encode(), line)
        subscribed = b"\n".join(ok(self.first.lsub()))
        for name in (b"INBOX", b"Drafts", b"Sent", b"Junk", b"Trash", b"Archive"):
            self.assertIn(name, subscribed)

    def test_an_appended_message_is_seen_by_the_other_session(self):
        ok(self.second.select("INBOX"))
        self.fill(1)
        data = ok(self.second.noop())
        self.assertEqual(self.second.untagged_responses["EXISTS"][-1], b"1", data)
        found = ok(self.second.search(None, "SUBJECT", '"Berth 1"'))
        self.assertEqual(found, [b"1"])

    def test_flags_go_both_ways(self):
        self.fill(3)
        ok(self.first.select("INBOX"))
        ok(self.second.select("INBOX"))
        ok(self.first.uid("STORE", "1:2", "+FLAGS", "(\\Flagged $Forwarded)"))
        ok(self.second.noop())
        self.assertLessEqual({b"\\Flagged", b"$Forwarded"}, self.flags(self.second, 2))
        ok(self.second.uid("STORE", "2", "-FLAGS", "(\\Flagged)"))
        ok(self.second.uid("STORE", "3", "FLAGS", "(\\Answered)"))
        ok(self.first.noop())
        self.assertNotIn(b"\\Flagged", self.flags(self.first, 2))
        self.assertIn(b"\\Answered", self.flags(self.first, 3))

    def test_move_copy_and_expunge(self):
        self.fill(4)
        ok(self.first.create("Projects/Boathouse"))
        ok(self.first.select("INBOX"))
        ok(self.second.select("INBOX"))
        self.assertIn("MOVE", self.first.capabilities)
        ok(self.first.uid("MOVE", "2", "Projects/Boathouse"))
        ok(self.first.uid("COPY", "3", "Projects/Boathouse"))
        ok(self.first.uid("STORE", "4", "+FLAGS.SILENT", "(\\Deleted)"))
        ok(self.first.expunge())
        ok(self.second.noop())
        self.assertEqual(ok(self.second.uid("SEARCH", "ALL")), [b"1 3"])
        ok(self.second.select("Projects/Boathouse"))
        data = ok(self.second.fetch("1:*", "(BODY.PEEK[])"))
        bodies = [item[1] for item in data if isinstance(item, tuple)]
        self.assertEqual(bodies, [message(2), message(3)])

    def test_folders_are_made_renamed_and_removed_in_a_tree(self):
        for name in ("a", "a/b", "a/b/c", '"with space"', '"&AOQ-pfel"'):
            ok(self.first.create(name))
        ok(self.first.append("a/b/c", "", None, message(1)))
        ok(self.first.rename("a/b", "z/y"))
        names = {line.rsplit(b' "/" ', 1)[1].strip(b'"') for line in ok(self.second.list())}
        self.assertLessEqual({b"a", b"z", b"z/y", b"z/y/c", b"with space", b"&AOQ-pfel"}, names)
        self.assertFalse({b"a/b", b"a/b/c"} & names)
        self.assertEqual(ok(self.second.select("z/y/c")), [b"1"])
        ok(self.second.close())
        ok(self.first.delete("z/y/c"))
        ok(self.first.delete("z/y"))
        names = {line.rsplit(b' "/" ', 1)[1].strip(b'"') for line in ok(self.second.list())}
        self.assertNotIn(b"z/y", names)
        self.assertEqual(self.first.delete("z/y")[0], "NO")
        self.assertEqual(self.first.create("INBOX")[0], "NO")

    def test_search_finds_what_stands_in_messages(self):
        self.fill(12)
        ok(self.first.select("INBOX"))
        ok(self.first.uid("STORE", "3", "+FLAGS", "(\\Seen)"))
        for terms, expected in (
            (("BODY", '"Berth 7 is"'), b"7"),
            (("FROM", "harbour"), b"1 2 3 4 5 6 7 8 9 10 11 12"),
            (("SEEN",), b"3"),
            (("OR", "UID", "1:2", "UID", "12"), b"1 2 12"),
            (("NOT", "UID", "2:11"), b"1 12"),
            (("HEADER", "Message-ID", "berth.11@"), b"11"),
            (("SENTON", "23-Nov-2026", "LARGER", "10", "UID", "4"), b"4"),
            (("SUBJECT", '"nothing"'), b""),
        ):
            self.assertEqual(ok(self.first.uid("SEARCH", *terms)), [expected], terms)

    def test_sort_and_thread_put_messages_in_order(self):
        self.fill(4)
        reply = (
            b"Subject: Re: Berth 1\r\nMessage-ID: <re@harbour.example>\r\n"
            b"References: <berth.1@harbour.example>\r\n"
            b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nYes.\r\n"
        )
        ok(self.first.append("INBOX", "", None, reply))
        ok(self.first.select("INBOX"))
        for criteria, expected in (
            ("(DATE)", b"5 1 2 3 4"),
            ("(SUBJECT REVERSE DATE)", b"1 5 2 3 4"),
        ):
            found = ok(self.first.uid("SORT", criteria, "UTF-8", "ALL"))
            self.assertEqual(found, [expected], criteria)
        threads = ok(self.first.uid("THREAD", "REFERENCES", "UTF-8", "ALL"))
        self.assertEqual(threads, [b"(1 5)(2)(3)(4)"])
        ok(self.first.thread("REFS", "UTF-8", "UNSEEN"))

    def test_idle_tells_of_new_mail_flags_and_expunges(self):
        watcher = self.raw()
        watcher.run(b"SELECT INBOX")
        tag = watcher.idle()
        self.fill(1)
        watcher.until(lambda line: line[1:] == [b"EXISTS"] and line[0] == b"1")
        ok(self.first.select("INBOX"))
        ok(self.first.store("1", "+FLAGS", "(\\Flagged)"))
        watcher.until(
            lambda line: line[1:2] == [b"FETCH"] and b"\\Flagged" in wire.fetched(line)[b"FLAGS"]
        )
        ok(self.first.store("1", "+FLAGS", "(\\Deleted)"))
        ok(self.first.expunge())
        watcher.until(lambda line: line == [b"1", b"EXPUNGE"])
        self.assertEqual(watcher.done(tag).status, b"OK")

    def test_idle_tells_of_a_delivery(self):
        watcher = self.raw()
        watcher.run(b"SELECT INBOX")
        tag = watcher.idle()
        lmtp = smtplib.LMTP("127.0.0.1", self.server.lmtp)
        lmtp.sendmail("office@harbour.example", [self.account], message(1))
        lmtp.quit()
        watcher.until(lambda line: line[1:] == [b"EXISTS"])
        self.assertEqual(watcher.done(tag).status, b"OK")

    def test_many_sessions_see_every_change_in_one_order(self):
        """Eight clients at once; when they are done, all of them have the same picture."""
        clients = [self.raw() for _ in range(8)]
        for client in clients:
            client.run(b"SELECT INBOX")
        for turn in range(10):
            tags = []
            for index, client in enumerate(clients):
                number = turn * 8 + index
                tags.append(client.send(b"APPEND INBOX %L", message(number)))
            for client, tag in zip(clients, tags):
                self.assertEqual(client.finish(tag).status, b"OK")
        for index, client in enumerate(clients):
            client.run(b"UID STORE %d:* +FLAGS (k%d)" % (index * 10 + 1, index))
        pictures = set()
        for client in clients:
            client.run(b"NOOP")
            reply = client.run(b"UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            rows = []
            for line in reply.all(b"FETCH"):
                items = wire.fetched(line)
                subject = next(v for k, v in items.items() if k.startswith(b"BODY["))
                # Recent belongs to one session, and is the one flag that may differ.
                flags = set(items[b"FLAGS"]) - {b"\\Recent"}
                rows.append((items[b"UID"], tuple(sorted(flags)), subject))
            pictures.add(tuple(rows))
        self.assertEqual(len(pictures), 1)
        self.assertEqual(len(pictures.pop()), 80)

    def test_a_wrong_password_is_refused_and_a_right_one_is_not(self):
        client = imaplib.IMAP4("127.0.0.1", self.server.imap)
        with self.assertRaises(imaplib.IMAP4.error):
            client.login(self.account, "wrong")
        ok(client.login(self.account, server.PASSWORD))
        client.logout()

    def test_tls_from_the_start_and_by_starttls(self):
        if self.server.imaps is None:
            self.skipTest("a server without TLS")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = imaplib.IMAP4_SSL("127.0.0.1", self.server.imaps, ssl_context=context)
        ok(client.login(self.account, server.PASSWORD))
        client.logout()
        client = imaplib.IMAP4("127.0.0.1", self.server.starttls)
        self.assertIn("STARTTLS", client.capabilities)
        client.starttls(context)
        self.assertNotIn("STARTTLS", client.capabilities)
        ok(client.login(self.account, server.PASSWORD))
        client.logout()

    def test_a_connection_ends_with_logout(self):
        # It waits until the server has closed it.
        self.raw().logout()


if __name__ == "__main__":
    unittest.main()
