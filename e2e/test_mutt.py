"""mutt, by the same key commands as neomutt."""

import unittest

import test_neomutt


class Mutt(test_neomutt.Neomutt):
    program = "mutt"
    # It asks for the status of a folder before it makes one.
    expected = ("[TRYCREATE]", "[NONEXISTENT]")

    def logging(self):
        return self.folder / ".muttdebug0", ["-d", "3"]


if __name__ == "__main__":
    unittest.main()
