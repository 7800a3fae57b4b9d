"""imapfilter: rules in Lua that search, flag, move and tidy up."""

import threading
import unittest

import server
import waiting
from clients import ClientTest

CONFIG = """\
options.timeout = {seconds}
options.create = true
options.subscribe = true
options.expunge = true
options.starttls = false
account = IMAP {{
  server = "127.0.0.1",
  port = {port},
  username = "{user}",
  password = "{password}",
}}
"""

RULES = """
boxes, folders = account:list_all()
print("boxes", table.concat(boxes, ","))
account:create_mailbox("Rules/Kept")
exist, unread, unseen, uidnext = account.INBOX:check_status()
print("status", exist, unseen, uidnext)
found = account.INBOX:contain_subject("Berth 1")
print("found", #found)
found:mark_flagged()
found:copy_messages(account["Rules/Kept"])
second = account.INBOX:match_subject("Berth 2$")
second:move_messages(account["Rules/Kept"])
late = account.INBOX:is_larger(10) * account.INBOX:contain_body("Berth 3 is")
late:add_flags({ "later" })
late:mark_seen()
account.INBOX:contain_subject("Berth 4"):delete_messages()
account:rename_mailbox("Rules/Kept", "Rules/Done")
account:create_mailbox("Short")
account:delete_mailbox("Short")
account:unsubscribe_mailbox("Rules/Done")
for _, message in ipairs(account["Rules/Done"]:select_all()) do
  mailbox, uid = table.unpack(message)
  print("subject", mailbox[uid]:fetch_field("Subject"))
  print("size", mailbox[uid]:fetch_size())
end
"""


class ImapFilter(ClientTest):
    program = "imapfilter"

    def filter(self, rules, port=None):
        config = self.folder / "config.lua"
        config.write_text(
            CONFIG.format(
                port=port or self.server.imap,
                user=self.account,
                password=server.PASSWORD,
                seconds=waiting.SECONDS,
            )
            + rules
        )
        log = self.folder / "debug"
        said = self.call(["imapfilter", "-c", config, "-d", log])
        transcript = log.read_text(errors="replace")
        for text in (said, transcript):
            for word in (" BAD ", "imapfilter: ", "no such", " NO "):
                self.assertNotIn(word, text, (said + transcript)[-4000:])
        return said

    def test_rules_search_flag_copy_move_and_delete(self):
        self.fill("INBOX", range(1, 7))
        said = self.filter(RULES)
        self.assertIn("status\t6\t6\t7", said)
        self.assertIn("found\t1", said)
        self.assertEqual(self.numbers("INBOX"), {1, 3, 5, 6})
        inbox = self.mailbox("INBOX")
        self.assertEqual(inbox[1], {"\\Flagged"})
        self.assertEqual(inbox[3], {"\\Seen", "later"})
        self.assertEqual(self.numbers("Rules/Done"), {1, 2})
        self.assertIn("subject\tSubject: Berth 2", said)
        self.assertTrue({"Short", "Rules/Kept"}.isdisjoint(self.mailboxes()))

    def test_idle_wakes_it_up(self):
        if "IDLE" not in self.imap.capabilities:
            self.skipTest("a server without IDLE")
        # enter_idle returns when something has happened; the rule then sees the new message.
        rules = """
account.INBOX:select_all()
account.INBOX:enter_idle()
print("there are", #account.INBOX:select_all())
"""
        ended = threading.Event()

        def deliver():
            # It does not say when it begins to wait. What came before that does not wake it, so something comes until it ends.
            while not ended.wait(0.5):
                self.fill("INBOX", [1])

        thread = threading.Thread(target=deliver)
        thread.start()
        try:
            said = self.filter(rules)
        finally:
            ended.set()
            thread.join()
        self.assertRegex(said, r"there are\t[1-9]")


if __name__ == "__main__":
    unittest.main()
