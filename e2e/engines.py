"""What the server keeps mail in: nothing of ours for the local engine, else a private PostgreSQL
and perhaps an S3-compatible store, both on the loopback address and gone with the tests.

PILLARBOX_ENGINE is `local` (as without it), `postgres` or `postgres+s3`; the last needs
PILLARBOX_S3, the program s3-for-tests. `cargo xtask e2e --engine NAME` sets both.
"""

import atexit
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

import ports
import waiting

ENGINE = os.environ.get("PILLARBOX_ENGINE", "local")


def programs():
    """Debian keeps the server's programs out of the way of PATH."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise RuntimeError("no PostgreSQL is installed; cargo xtask ci installs it")
    return found[-1]


class Postgres:
    """A PostgreSQL of the tests' own. It refuses to run as root."""

    # Nothing in the tests ends the machine; whoever measures sets it to "on".
    fsync = "off"

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pbpg"))
        self.log = open(self.folder / "log", "ab")
        self.prefix = []
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            self.prefix += ["--pdeathsig", "INT"]
        self.tool("initdb", "-D", self.folder / "data", "-U", "mail", "-A", "trust", "-E", "UTF8")
        self.port = None
        self.process = None
        self.numbers = itertools.count(1)
        self.start()
        atexit.register(self.remove)

    def tool(self, name, *words):
        command = [*self.prefix, programs() / name, *words]
        done = subprocess.run(
            [str(word) for word in command], cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self):
        if self.port is None:
            self.port = ports.free()
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 300,
            "fsync": self.fsync,
        }
        command = [*self.prefix, programs() / "postgres", "-D", self.folder / "data"]
        command += ["-p", self.port]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self.process = subprocess.Popen(
            [str(word) for word in command], cwd="/", stdout=self.log, stderr=self.log
        )
        waiting.until(self.is_ready, "PostgreSQL", lambda: (self.folder / "log").read_text(errors="replace"))

    def is_ready(self):
        try:
            self.tool("pg_isready", "-q", "-h", self.folder, "-p", self.port)
        except RuntimeError:
            if self.process.poll() is not None:
                log = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start: {log}") from None
            return False
        return True

    def sql(self, statement, database="postgres"):
        return self.tool("psql", "-XqAt", "-d", self.url(database), "-c", statement)

    def database(self):
        """The name of a new database."""
        name = f"mail{next(self.numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def url(self, database, port=None):
        return f"postgresql://mail@127.0.0.1:{port or self.port}/{database}"

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bucket:
    """An S3-compatible store of the tests' own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pillarbox-s3-"))
        self.process = subprocess.Popen(
            [os.environ["PILLARBOX_S3"], str(self.folder / "objects")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        told = (self.process.stdout.readline().strip().split("=", 1) for _ in range(5))
        self.values = dict(told)
        self.secret_file = self.folder / "secret"
        self.secret_file.write_text(self.values.pop("secret_access_key") + "\n")
        atexit.register(self.remove)

    def remove(self):
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Place:
    """Where some servers keep their mail, and how a configuration says so."""

    def __init__(self, engine=ENGINE, shards=()):
        self.engine = engine
        self.database = None
        if engine != "local":
            self.database = postgres().database()
        self.shards = {name: postgres().database() for name in shards}
        self.prefix = self.database

    def config(self, port=None, notify=True):
        if self.engine == "local":
            return ""
        url = postgres().url(self.database, port)
        lines = ["[store]", 'engine = "postgres"', f'url = "{url}"', "connections = 16"]
        lines.append(f"listen_notify = {str(notify).lower()}")
        if self.shards:
            names = ", ".join(f'"{name}"' for name in ["home", *self.shards])
            lines.append(f"new_accounts = [{names}]")
        for name, database in self.shards.items():
            lines += ["[[shard]]", f'name = "{name}"', f'url = "{postgres().url(database, port)}"']
        if self.engine == "postgres+s3":
            lines += ["[bodies]", "inline_bytes_max = 1024", "[bodies.s3]"]
            values = bucket().values
            lines += [f'{key} = "{values[key]}"' for key in ("endpoint", "bucket", "region")]
            lines += [f'access_key = "{values["access_key_id"]}"']
            lines += [f'secret_file = "{bucket().secret_file}"', f'prefix = "{self.prefix}"']
        return "\n".join(lines) + "\n"


_postgres = None
_bucket = None


def postgres():
    global _postgres
    if _postgres is None:
        _postgres = Postgres()
    return _postgres


def bucket():
    global _bucket
    if _bucket is None:
        _bucket = Bucket()
    return _bucket
