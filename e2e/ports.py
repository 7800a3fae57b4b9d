"""Ports for programs that must be told theirs before they listen.

The system gives the ports of its own range to whoever connects or asks for any. A port of that range may be gone before the
program listens; a client that calls it meanwhile can even be given the same port, and is then connected to itself. So these are
taken from below the range, and none is given out twice.
"""

import pathlib
import random
import socket

LOWEST = 10_000
RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")

_given = set()


def free():
    """A port on the loopback address that nobody uses and that the system gives to nobody."""
    end = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    for _ in range(1000):
        port = random.randrange(LOWEST, end)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port from {LOWEST} to {end}")


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
