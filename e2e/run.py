"""Runs the end-to-end tests: real mail clients against the built program.

    PILLARBOX=path/to/pillarbox python3 e2e/run.py [NAME...]

NAME picks files: `mbsync` runs test_mbsync.py; what is in hand_NAME.py is run only so. Every test makes its own account on one server,
which is started with the first test and stopped with the last. With PILLARBOX_AT the tests talk
to a server that runs already; see server.py.

No test may fail because the machine is slow or busy; waiting.py says how they wait.
"""

import os
import pathlib
import sys
import time
import traceback
import unittest

HERE = pathlib.Path(__file__).resolve().parent
# Of what a failure says, in the list at the end.
LINE_MAX = 400
sys.path.insert(0, str(HERE))

import server  # noqa: E402  (needs the path above)


class Told(unittest.TextTestResult):
    """Says how long each test took, what the servers said when one failed, and at the end which ones did."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.failed = []

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.stream.write(f"{time.monotonic() - self.began:6.1f} s  ")
        super().addSuccess(test)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.tell(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.tell(subtest, error)

    def tell(self, test, error):
        """At once, while the servers of the test and their logs are there."""
        self.stream.writeln(server.tails())
        self.stream.flush()
        said = " ".join(traceback.format_exception_only(*error[:2])[-1].split())
        self.failed.append(f"failed: {test.id()}: {place(error[2])}: {said[:LINE_MAX]}")


def place(trace):
    """Where a test of ours went wrong: the innermost line of this folder."""
    ours = [frame for frame in traceback.extract_tb(trace) if pathlib.Path(frame.filename).parent == HERE]
    return f"{pathlib.Path(ours[-1].filename).name}:{ours[-1].lineno}: {ours[-1].line}" if ours else "elsewhere"


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
            stream=sys.stdout, verbosity=2, resultclass=Told
        ).run(suite)
    finally:
        complaints = server.stop_shared()
    # Whoever keeps the output may keep its end only.
    for line in result.failed + [f"failed: the server of most tests: {it[:LINE_MAX]}" for it in complaints]:
        print(line)
    failed = len(result.failures) + len(result.errors) + (1 if complaints else 0)
    print(f"{result.testsRun - len(result.failures) - len(result.errors)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
