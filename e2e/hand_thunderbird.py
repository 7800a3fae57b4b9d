"""Thunderbird, on a display that nobody sees. Run by hand, because it is large and slow to install:

    apt-get install --no-install-recommends thunderbird xvfb
    PILLARBOX=target/release/pillarbox python3 e2e/run.py thunderbird

What it says and is answered is read from its own log of IMAP.
"""

import base64
import ctypes
import imaplib
import json
import os
import re
import signal
import subprocess
import unittest

import server
import waiting
from clients import ClientTest
from test_imaplib import message, ok

SETTINGS = {
    "mail.accountmanager.accounts": "account1,account2",
    "mail.accountmanager.defaultaccount": "account1",
    "mail.accountmanager.localfoldersserver": "server2",
    "mail.account.account1.identities": "id1",
    "mail.account.account1.server": "server1",
    "mail.account.account2.server": "server2",
    "mail.identity.id1.fullName": "Harbour office",
    "mail.identity.id1.valid": True,
    "mail.server.server1.type": "imap",
    "mail.server.server1.hostname": "localhost",
    "mail.server.server1.socketType": 0,
    "mail.server.server1.authMethod": 3,
    "mail.server.server1.login_at_startup": True,
    "mail.server.server1.check_new_mail": True,
    "mail.server.server2.type": "none",
    "mail.server.server2.hostname": "Local Folders",
    "mail.server.server2.userName": "nobody",
    # Nothing but the server of the test is to be talked to.
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spam.version": 1,
    "mailnews.start_page.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "http://127.0.0.1:9/",
    "toolkit.telemetry.enabled": False,
}


class SecItem(ctypes.Structure):
    """NSS: octets and their number."""

    _fields_ = [("type", ctypes.c_uint), ("data", ctypes.c_void_p), ("len", ctypes.c_uint)]


def keep_password(profile, user, password):
    """Puts a password into the profile, so that no dialogue asks for it."""
    nss = ctypes.CDLL("libnss3.so")
    nss.PK11_GetInternalKeySlot.restype = ctypes.c_void_p
    assert nss.NSS_InitReadWrite(f"sql:{profile}".encode()) == 0
    slot = ctypes.c_void_p(nss.PK11_GetInternalKeySlot())
    if nss.PK11_NeedUserInit(slot):
        assert nss.PK11_InitPin(slot, None, b"") == 0

    def encrypted(text):
        octets = ctypes.create_string_buffer(text.encode(), len(text.encode()))
        data = SecItem(0, ctypes.cast(octets, ctypes.c_void_p), len(octets))
        key, out = SecItem(), SecItem()
        given = [ctypes.byref(item) for item in (key, data, out)]
        assert nss.PK11SDR_Encrypt(*given, None) == 0
        return base64.b64encode(ctypes.string_at(out.data, out.len)).decode()

    login = {
        "id": 1,
        "hostname": "imap://localhost",
        "httpRealm": "imap://localhost",
        "formSubmitURL": None,
        "usernameField": "",
        "passwordField": "",
        "encryptedUsername": encrypted(user),
        "encryptedPassword": encrypted(password),
        "guid": "{00000000-0000-4000-8000-000000000001}",
        "encType": 1,
        "timesUsed": 1,
    }
    (profile / "logins.json").write_text(json.dumps({"nextId": 2, "logins": [login], "version": 3}))
    nss.NSS_Shutdown()


class Thunderbird(ClientTest):
    program = "thunderbird"

    def start(self):
        profile = self.folder / "profile"
        profile.mkdir()
        keep_password(profile, self.account, server.PASSWORD)
        settings = {
            **SETTINGS,
            "mail.identity.id1.useremail": self.account,
            "mail.server.server1.port": self.server.imap,
            "mail.server.server1.userName": self.account,
            "mail.server.server1.name": self.account,
        }
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in settings.items())
        (profile / "user.js").write_text("".join(lines))
        log = {"MOZ_LOG": "IMAP:5,timestamp", "MOZ_LOG_FILE": str(self.folder / "imap.log")}
        self.client = subprocess.Popen(
            ["xvfb-run", "-a", "thunderbird", "--profile", str(profile)],
            env={**os.environ, "HOME": str(self.folder), **log},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.addCleanup(self.end)

    def end(self):
        if self.client.poll() is None:
            os.killpg(self.client.pid, signal.SIGTERM)
            self.client.wait(waiting.SECONDS)

    def said(self):
        text = ""
        for path in self.folder.glob("imap.log*.moz_log"):
            text += path.read_text(errors="replace")
        return text

    def wait_for(self, pattern):
        def found():
            self.assertIsNone(self.client.poll(), "Thunderbird ended")
            return re.search(pattern, self.said())

        waiting.until(found, pattern, lambda: self.said()[-3000:])

    def share(self):
        """A mailbox of another user with a message in it, which the account has subscribed."""
        owner = self.server.account("thunderbird-owner@mail.example")
        imap = imaplib.IMAP4("127.0.0.1", self.server.imap)
        ok(imap.login(owner, server.PASSWORD))
        ok(imap.create("Plans"))
        ok(imap.append("Plans", "", None, message(70)))
        ok(imap.setacl("Plans", self.account, "lrs"))
        imap.logout()
        ok(self.imap.subscribe(f'"Other Users/{owner}/Plans"'))

    def test_reads_all_folders_and_hears_of_new_mail(self):
        self.fill("INBOX", range(1, 6))
        ok(self.imap.create("Projects/Choir"))
        self.fill("Projects/Choir", range(10, 13))
        self.share()
        self.start()
        self.wait_for(r"SendData: \d+ IDLE")
        for number in (5, 12, 70):
            self.wait_for(f"Subject: Berth {number}\\b")
        self.fill("INBOX", [99])
        self.wait_for(r"Subject: Berth 99\b")
        said = self.said()
        self.assertRegex(said, "CreateNewLineFromSocket: [0-9]+ OK DEFLATE active")
        self.assertRegex(said, '(?i)SendData: [0-9]+ myrights "Other Users/')
        wrong = re.findall(r"CreateNewLineFromSocket: (?:[0-9]+ (?:NO|BAD) |\* BAD ).*", said)
        self.assertEqual(wrong, [])
        asked = {word.upper() for word in re.findall(r"SendData: \d+ (?:UID )?(\w+)", said)}
        print(f"  Thunderbird used {' '.join(sorted(asked))}", end="")


if __name__ == "__main__":
    unittest.main()
