"""Runs the end-to-end tests: real mail clients against the built program.

    PILLARBOX=path/to/pillarbox python3 e2e/run.py [NAME...]

NAME picks files: `mbsync` runs test_mbsync.py; what is in hand_NAME.py is run only so. Every test makes its own account on one server,
which is started with the first test and stopped with the last. With PILLARBOX_AT the tests talk
to a server that runs already; see server.py.
"""

import os
import pathlib
import sys
import time
import unittest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import server  # noqa: E402  (needs the path above)


class Timed(unittest.TextTestResult):
    """Says how long each test took: slow is a fault, too."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.stream.write(f"{time.monotonic() - self.began:6.1f} s  ")
        super().addSuccess(test)


def main(names):
    files = sorted(path.stem for path in HERE.glob("test_*.py"))
    # What is only run when it is asked for.
    by_hand = sorted(path.stem for path in HERE.glob("hand_*.py"))
    known = {stem.split("_", 1)[1]: stem for stem in by_hand + files}
    wanted = [known.get(name, name) for name in names] or files
    unknown = [name for name in wanted if name not in files + by_hand]
    if unknown:
        print(f"no such tests: {' '.join(unknown)}; there are: {' '.join(files)}")
        return 2
    if not {"PILLARBOX", "PILLARBOX_AT"} & set(os.environ):
        print("set PILLARBOX to the built program, or call cargo xtask e2e")
        return 2
    suite = unittest.defaultTestLoader.loadTestsFromNames(wanted)
    try:
        result = unittest.TextTestRunner(
            stream=sys.stdout, verbosity=2, resultclass=Timed
        ).run(suite)
    finally:
        complaints = server.stop_shared()
    for complaint in complaints:
        print(f"server: {complaint}")
    failed = len(result.failures) + len(result.errors) + (1 if complaints else 0)
    print(f"{result.testsRun - len(result.failures) - len(result.errors)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
