"""A Postfix of Debian's package with folders and ports of its own, for tests and measurements.

It needs root, as Postfix does. Nothing outside the folder is read or written: no system service is started, and the
instance ends with `stop()`.
"""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import ports
import waiting

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log/mail
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {hostname}
mydestination =
local_recipient_maps =
local_transport = virtual
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
biff = no
alias_maps =
alias_database =
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """`settings` are further lines of main.cf; with {folder} in them."""

    def __init__(self, hostname, settings=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-postfix-"))
        self.folder.chmod(0o755)
        self.port = ports.free()
        owner = pwd.getpwnam("postfix")
        for name in ("config", "spool", "data", "mail", "log"):
            (self.folder / name).mkdir()
        for name in ("data", "mail"):
            os.chown(self.folder / name, owner.pw_uid, owner.pw_gid)
        main = MAIN + settings
        values = {"folder": self.folder, "hostname": hostname, "uid": owner.pw_uid, "gid": owner.pw_gid}
        for name, value in values.items():
            main = main.replace("{%s}" % name, str(value))
        (self.folder / "config" / "main.cf").write_text(main)
        (self.folder / "config" / "master.cf").write_text(MASTER.format(port=self.port))

    def run(self, *words):
        return subprocess.run(
            words, capture_output=True, text=True, timeout=waiting.SECONDS, check=False, env=dict(os.environ, MAIL_CONFIG=str(self.folder / "config"))
        )

    def start(self):
        done = self.run("postfix", "-c", str(self.folder / "config"), "start")
        waiting.until(self.listens, "Postfix", lambda: f"{done.stdout}{done.stderr}{self.log()}")
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), waiting.SECONDS).close()
        except OSError:
            return False
        return True

    def log(self):
        file = self.folder / "log" / "mail"
        return file.read_text(errors="replace") if file.exists() else ""

    def mail(self, name):
        """What was delivered to the Maildir `name`."""
        folder = self.folder / "mail" / name / "new"
        return [file.read_bytes() for file in sorted(folder.iterdir())] if folder.exists() else []

    def queued(self):
        """How many messages wait."""
        listed = self.run("postqueue", "-c", str(self.folder / "config"), "-j")
        return len(listed.stdout.splitlines())

    def stop(self):
        self.run("postfix", "-c", str(self.folder / "config"), "stop")
        shutil.rmtree(self.folder, ignore_errors=True)
