#!/usr/bin/env python3
"""The systemd units: that systemd understands them, on which hypervisor they do something, and that Xen's own daemons are kept
from starting on Torii and on Torii only."""

import configparser
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "tools/package"
UNITS = PACKAGE / "systemd"
SYSV_GENERATOR = Path("/lib/systemd/system-generators/systemd-sysv-generator")
INIT_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:    $syslog $remote_fs
# Required-Stop:     $syslog $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Stands for Debian's script of this name
### END INIT INFO
exit 0
"""
MACHINES = {"torii": ("xen", ".0-torii"), "xen": ("xen", ".7"), "plain": (None, None)}


def unit(path):
    """A unit file's sections; a repeated key is a list."""
    class Lists(dict):
        """Keeps each value of a repeated key."""
        def __setitem__(self, key, value):
            if isinstance(value, list) and key in self:
                self[key].extend(value)
            else:
                super().__setitem__(key, value)
    parser = configparser.RawConfigParser(strict=False, dict_type=Lists, interpolation=None)
    parser.optionxform = str
    parser.read(path)
    return {name: {key: value.split("\n") for key, value in parser.items(name)} for name in parser.sections()}


class Machines(unittest.TestCase):
    """With a made-up /sys for each kind of machine."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="torii-units-")
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)

    def sysfs(self, machine):
        """What /sys says on a machine."""
        kind, extra = MACHINES[machine]
        hypervisor = self.root / machine / "hypervisor"
        hypervisor.mkdir(parents=True, exist_ok=True)
        if kind:
            (hypervisor / "version").mkdir(exist_ok=True)
            (hypervisor / "type").write_text(kind + "\n")
            (hypervisor / "version/extra").write_text(extra + "\n")
        return self.root / machine

    def holds(self, command, machine):
        """Whether a unit with this condition would go on there."""
        words = command.split()
        self.assertEqual(words[0], "/usr/lib/torii/on-torii")
        done = subprocess.run([PACKAGE / "on-torii", *words[1:], self.sysfs(machine)], capture_output=True, text=True, check=False)
        self.assertIn(done.returncode, (0, 1), "systemd takes 255 and signals for failures")
        self.assertEqual(bool(done.stderr), done.returncode == 1, "one that says no says why")
        return done.returncode == 0

    def test_our_services_run_on_torii_only(self):
        for name in ("toriid.service", "torii-guests.service", "torii-auto.service"):
            (condition,) = unit(UNITS / name)["Service"]["ExecCondition"]
            self.assertEqual([machine for machine in MACHINES if self.holds(condition, machine)], ["torii"], name)
        (check,) = unit(UNITS / "toriid.socket")["Socket"]["ExecStartPre"]
        self.assertEqual([machine for machine in MACHINES if self.holds(check, machine)], ["torii"])
        for path in [*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.mount")]:
            self.assertIn("/sys/hypervisor/type", unit(path)["Unit"]["ConditionPathExists"], path.name)  # plain Debian: no failure

    def test_xens_daemons_are_kept_from_torii_only(self):
        (condition,) = unit(UNITS / "not-on-torii.conf")["Service"]["ExecCondition"]
        self.assertEqual([machine for machine in MACHINES if self.holds(condition, machine)], ["xen", "plain"])

    def test_wrong_words_are_told(self):
        for words in ([], ["maybe"]):
            done = subprocess.run([PACKAGE / "on-torii", *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("Usage:", done.stderr)

    @unittest.skipUnless(SYSV_GENERATOR.exists(), "systemd is not installed")
    def test_the_guard_reaches_the_units_of_xens_init_scripts(self):
        """systemd makes xen.service and xendomains.service of Debian's scripts, and our file is part of both."""
        scripts, made = self.root / "init.d", self.root / "made"
        for folder in (scripts, *(made / name for name in ("normal", "early", "late"))):
            folder.mkdir(parents=True)
        for name in ("xen", "xendomains"):
            (scripts / name).write_text(INIT_SCRIPT.format(name=name))
            (scripts / name).chmod(0o755)
        subprocess.run([SYSV_GENERATOR, made / "normal", made / "early", made / "late"], check=True, capture_output=True,
                       env={**os.environ, "SYSTEMD_SYSVINIT_PATH": str(scripts), "SYSTEMD_LOG_TARGET": "null"}, timeout=60)
        self.assertTrue((made / "late/xen.service").is_file())
        self.assertTrue((made / "late/xendomains.service").is_file())
        installed = (PACKAGE / "CMakeLists.txt").read_text()
        self.assertIn("foreach(service xen xendomains)\n  install(FILES systemd/not-on-torii.conf "
                      "DESTINATION /lib/systemd/system/${service}.service.d)", installed)
        for name in ("xen", "xendomains"):
            folder = made / f"late/{name}.service.d"
            folder.mkdir()
            shutil.copy(UNITS / "not-on-torii.conf", folder)
            self.verify(made / f"late/{name}.service", made / "late")

    def verify(self, path, folder):
        """Have systemd read a unit; it says nothing of a good one. Programs that aren't installed here are stood for."""
        text = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path], capture_output=True,
                              text=True, check=False, timeout=60, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}).stderr
        said = [line for line in text.splitlines() if path.name in line and "is not executable" not in line]
        self.assertEqual(said, [], text)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_systemd_understands_them(self):
        for path in sorted([*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.mount")]):
            self.verify(path, UNITS)

    def test_a_restart_of_the_daemon_stops_no_guest(self):
        """Only what is bound to toriid would be stopped with it."""
        for name in ("torii-guests.service", "torii-auto.service"):
            words = unit(UNITS / name)["Unit"]
            for bond in ("Requires", "BindsTo", "PartOf", "Requisite"):
                self.assertNotIn(bond, words, name)

    def test_guests_are_stopped_before_the_daemon_and_within_the_units_time(self):
        words = unit(UNITS / "torii-guests.service")
        self.assertIn("toriid.service", " ".join(words["Unit"]["After"]))
        (command,) = words["Service"]["ExecStop"]
        limit = int(command.split("--limit ")[1])
        self.assertGreater(int(words["Service"]["TimeoutStopSec"][0]), limit + 30)
        self.assertIn(f"within {limit} seconds for all of them", (PACKAGE / "man/toriid.8").read_text())
        self.assertIn("torii-guests.service", " ".join(unit(UNITS / "torii-auto.service")["Unit"]["After"]))
        # A failed start would leave the unit stopped, and then nothing would stop the guests.
        self.assertEqual(words["Service"]["ExecStart"], ["/bin/true"])


if __name__ == "__main__":
    unittest.main()
