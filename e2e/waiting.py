"""How the tests wait: until what was meant is true, and with one deadline for everything.

A machine that is slow or busy is no fault of the server's. So the deadline lies far above what anything takes; it costs nothing
while all is well. How long something takes is measured by mailflow.py and throughput.py, and judged by no test.
"""

import time

SECONDS = 180
PAUSE_SECONDS = 0.05


def until(found, what="what was awaited", told=None):
    """Asks `found()` until it says something that is true, and returns that. When time is up, `told()` says more."""
    deadline = time.monotonic() + SECONDS
    while not (result := found()):
        if time.monotonic() > deadline:
            more = f"\n{told()}" if told else ""
            raise AssertionError(f"{what} did not come within {SECONDS} s; last seen: {result!r}{more}")
        time.sleep(PAUSE_SECONDS)
    return result
