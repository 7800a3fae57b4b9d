"""A name server of our own for tests: zones from text, signed from a root of its own.

PILLARBOX_ZONES names the program; `cargo xtask e2e` sets it.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import waiting

# What is changed in a test must not be remembered.
SECONDS = "$TTL 1\n@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 1\n"


class Zones:
    """`zones` are texts by origin; a name that begins with `signed:` says that the zone is signed."""

    def __init__(self, zones):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-zones-"))
        self.process = subprocess.Popen(
            [os.environ["PILLARBOX_ZONES"], "0"] + [self.file(name, text) for name, text in zones.items()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = dict(self.process.stdout.readline().strip().split("=", 1) for _ in range(2))
        self.address = said["address"]
        self.trust_anchor = self.folder / "root.key"
        self.trust_anchor.write_text(said["trust_anchor"] + "\n")

    def file(self, name, text):
        place = self.folder / name.removeprefix("signed:")
        place.write_text(SECONDS + text)
        return f"{name}={place}"

    def replace(self, name, text):
        self.process.stdin.write(self.file(name, text) + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "ok\n":
            raise RuntimeError("the zone was not taken")

    def config(self):
        """Lines of Pillarbox's configuration."""
        return f'\n[dns]\nservers = ["{self.address}"]\ntrust_anchor = "{self.trust_anchor}"\n'

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(waiting.SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)
