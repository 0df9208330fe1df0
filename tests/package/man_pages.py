#!/usr/bin/env python3
"""The manual pages are whole, and free of what man and mandoc warn of.

    man_pages.py TORII TORIID
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "tools/package/man"
PROGRAMS = {}


def said_by(*command):
    """What a program prints, on either output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
                          env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
    return done.stdout


class Pages(unittest.TestCase):
    """Each page as it is installed, and as a person sees it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="torii-man-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.shown = {}
        for template in sorted(PAGES.glob("*.[158]")):
            page = Path(cls.folder.name) / template.name
            subprocess.run([sys.executable, "-B", PAGES / "make_page.py", template, page, "--version", "1.2.3", "--torii",
                            PROGRAMS["torii"], "--toriid", PROGRAMS["toriid"]], check=True, timeout=300)
            cls.shown[template.name] = said_by("man", "-l", page)

    def test_there_are_three(self):
        self.assertEqual(list(self.shown), ["torii-guest.5", "torii.1", "toriid.8"])
        for name, text in self.shown.items():
            self.assertIn("Torii 1.2.3", text, name)
            self.assertNotIn("@", text, name)

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_warns_of_nothing(self):
        for name in self.shown:
            self.assertEqual(said_by("mandoc", "-Tlint", "-W", "warning", f"{self.folder.name}/{name}"), "", name)

    def test_man_warns_of_nothing(self):
        for name in self.shown:
            text = subprocess.run(["man", "--warnings", "-l", f"{self.folder.name}/{name}"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=False, timeout=60).stderr
            self.assertEqual(text, "", name)

    def test_every_verb_is_told_with_its_options(self):
        verbs = re.findall(r"^  ([a-z-]+)  ", said_by(PROGRAMS["torii"], "--help").split("Subcommands:")[1], re.MULTILINE)
        self.assertGreater(len(verbs), 20)
        text = re.sub(r"\s+", " ", self.shown["torii.1"])
        for verb in verbs:
            self.assertRegex(self.shown["torii.1"], rf"(?m)^   {verb}$")
            for option in re.findall(r"^  (?:-\w,)?(--[a-z-]+)", said_by(PROGRAMS["torii"], verb, "--help"), re.MULTILINE):
                if option != "--help":
                    self.assertIn(option, text, verb)

    def test_the_description_has_exactly_the_keys_that_torii_knows(self):
        wrong = Path(self.folder.name) / "wrong.toml"
        wrong.write_text("no-such-key = 1\n")
        keys = set(said_by(PROGRAMS["torii"], "create", wrong).split("known are: ")[1].strip().split(", "))
        heads = re.findall(r"^\.BR (.*)$", (PAGES / "torii-guest.5").read_text().split(".SH KEYS")[1].split(".SH EXAMPLES")[0],
                           re.MULTILINE)
        told = {word.replace("\\-", "-") for head in heads if " (" in head for word in re.findall(r"[a-z\\-]+", head.split(' " (')[0].split('" (')[0])}
        self.assertEqual(told, keys)

    def test_a_template_with_an_unknown_mark_fails(self):
        template = Path(self.folder.name) / "bad.1"
        template.write_text("@NO_SUCH_MARK@\n")
        done = subprocess.run([sys.executable, "-B", PAGES / "make_page.py", template, "/dev/null", "--version", "1"],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("@NO_SUCH_MARK@", done.stderr)


if __name__ == "__main__":
    PROGRAMS["torii"], PROGRAMS["toriid"] = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
