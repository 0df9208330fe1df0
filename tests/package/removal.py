#!/usr/bin/env python3
"""When the package lets itself be removed: not while guests run, nor while nobody can tell. With made-up programs around it."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "tools/package/debian"
LISTED = """\
ID  NAME      STATE
0   Domain-0  running
"""


class Removal(unittest.TestCase):
    """Runs prerm with a `torii` and an `on-torii` of the test."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="torii-removal-")
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        self.program("systemctl", f'echo "systemctl $*" >>{self.root}/calls')

    def program(self, name, text):
        """Put a program of this name before the real ones."""
        path = self.root / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def prerm(self, *arguments, torii=True, listed=LISTED, status=0):
        """(exit code, what was said)."""
        (self.root / "listed").write_text(listed)
        self.program("torii", f"cat {self.root}/listed; exit {status}")
        on_torii = self.program("on-torii", f"exit {0 if torii else 1}")
        script = self.program("prerm", (SCRIPTS / "prerm").read_text().replace("/usr/lib/torii/on-torii", str(on_torii)))
        done = subprocess.run([script, *arguments], capture_output=True, text=True, check=False, timeout=60,
                              env={**os.environ, "PATH": f"{self.root}:{os.environ['PATH']}"})
        return done.returncode, done.stderr

    def test_refuses_while_guests_run_and_names_them(self):
        code, said = self.prerm("remove", listed=LISTED + "3   web1      running\n4   db        idle\n")
        self.assertEqual(code, 1)
        self.assertIn("web1, db", said)
        self.assertIn("torii guests stop", said)
        self.assertFalse((self.root / "calls").exists(), "nothing is stopped by a removal that is refused")

    def test_goes_without_guests(self):
        self.assertEqual(self.prerm("remove"), (0, ""))

    def test_refuses_when_the_daemon_does_not_tell(self):
        code, said = self.prerm("remove", listed="", status=4)
        self.assertEqual(code, 1)
        self.assertIn("does not tell whether guests run", said)

    def test_elsewhere_than_on_torii_nobody_is_asked(self):
        self.assertEqual(self.prerm("remove", torii=False, listed=LISTED + "3   web1      running\n"), (0, ""))

    def test_an_upgrade_leaves_all_as_it_is(self):
        self.assertEqual(self.prerm("upgrade", "0.2", listed=LISTED + "3   web1      running\n"), (0, ""))
        self.assertFalse((self.root / "calls").exists())

    def test_unknown_words_fail(self):
        for name in ("postinst", "prerm", "postrm"):
            done = subprocess.run([SCRIPTS / name, "dance"], capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("dance", done.stderr)


if __name__ == "__main__":
    unittest.main()
