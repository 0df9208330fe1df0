#!/usr/bin/env python3
"""What is in the Debian package that cpack has made.

    contents.py FOLDER VERSION
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FILES = {
    "/boot/torii.elf": "-rw-r--r--", "/etc/default/grub.d/torii.cfg": "-rw-r--r--", "/etc/grub.d/45_torii": "-rwxr-xr-x",
    "/etc/torii/auto/README": "-rw-r--r--", "/lib/systemd/system/proc-xen.mount": "-rw-r--r--",
    "/lib/systemd/system/torii-auto.service": "-rw-r--r--", "/lib/systemd/system/torii-guests.service": "-rw-r--r--",
    "/lib/systemd/system/toriid.service": "-rw-r--r--", "/lib/systemd/system/toriid.socket": "-rw-r--r--",
    "/lib/systemd/system/xen.service.d/not-on-torii.conf": "-rw-r--r--",
    "/lib/systemd/system/xendomains.service.d/not-on-torii.conf": "-rw-r--r--", "/usr/bin/torii": "-rwxr-xr-x",
    "/usr/lib/torii/on-torii": "-rwxr-xr-x", "/usr/sbin/toriid": "-rwxr-xr-x", "/usr/sbin/torii-nat": "-rwxr-xr-x",
    "/usr/share/bash-completion/completions/torii": "-rw-r--r--", "/usr/share/doc/torii/copyright": "-rw-r--r--",
    "/usr/share/man/man1/torii.1.gz": "-rw-r--r--", "/usr/share/man/man5/torii-guest.5.gz": "-rw-r--r--",
    "/usr/share/man/man8/toriid.8.gz": "-rw-r--r--",
}
GIVEN = {}


def said_by(*command):
    """What a program prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


class Contents(unittest.TestCase):
    """Each test reads the same package."""

    @property
    def package(self):
        """Its path."""
        return Path(GIVEN["folder"]) / f"torii_{GIVEN['version']}_amd64.deb"

    def test_the_files_and_no_others_and_all_are_roots(self):
        found = {}
        for line in said_by("dpkg-deb", "-c", self.package).splitlines():
            mode, owner, _, _, _, name = line.split(maxsplit=5)
            self.assertEqual(owner, "root/root", name)
            if not mode.startswith("d"):
                found[name.removeprefix(".")] = mode
        self.assertEqual(found, FILES)

    def test_the_programs_are_stripped_and_need_what_is_named(self):
        depends = said_by("dpkg-deb", "-f", self.package, "Depends")
        for name in ("libsystemd0", "libprotobuf-lite32", "libc6 (>=", "systemd,"):
            self.assertIn(name, depends)
        with tempfile.TemporaryDirectory(prefix="torii-contents-") as folder:
            subprocess.run(["dpkg-deb", "-x", self.package, folder], check=True, timeout=60)
            for name in ("usr/bin/torii", "usr/sbin/toriid", "usr/sbin/torii-nat"):
                self.assertNotIn("not stripped", said_by("file", f"{folder}/{name}"))
            self.assertEqual(said_by("grub-file", "--is-x86-multiboot2", f"{folder}/boot/torii.elf"), "")
            self.assertEqual(said_by(f"{folder}/usr/bin/torii", "--version").strip(), f"torii {GIVEN['version']}")

    def test_files_in_etc_are_settings_that_an_upgrade_keeps(self):
        with tempfile.TemporaryDirectory(prefix="torii-contents-") as folder:
            subprocess.run(["dpkg-deb", "-e", self.package, folder], check=True, timeout=60)
            conffiles = (Path(folder) / "conffiles").read_text().split()
            self.assertEqual(sorted(conffiles), sorted(name for name in FILES if name.startswith("/etc/")))
            for name in ("postinst", "prerm", "postrm"):
                script = Path(folder) / name
                self.assertTrue(script.stat().st_mode & 0o111, name)
                subprocess.run(["sh", "-n", script], check=True, timeout=60)

    def test_it_says_what_it_does_not_support(self):
        told = said_by("dpkg-deb", "-f", self.package, "Description")
        self.assertIn("Secure Boot is not supported", told)
        self.assertFalse(re.search(r"[;\\]", told), "cpack and CMake have quoted something once too often")


if __name__ == "__main__":
    GIVEN["folder"], GIVEN["version"] = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
