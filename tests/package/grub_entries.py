#!/usr/bin/env python3
"""What the generator in /etc/grub.d writes into GRUB's menu, for boot folders with made-up kernels.

The functions are GRUB's own, but for those that look for a disk: a host's need not be one that GRUB can read.
"""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "tools/package"
GENERATOR = PACKAGE / "grub/45_torii"
XEN_GENERATOR = Path("/etc/grub.d/20_linux_xen")
LIBRARY = """\
. /usr/share/grub/grub-mkconfig_lib
prepare_grub_to_access_device() { echo "search --no-floppy --fs-uuid --set=root 1234-5678"; }
grub_get_device_id() { echo 1234-5678; }
make_system_path_relative_to_its_root() { echo "${1#"$STRIPPED"}"; }
uses_abstraction() { false; }
"""


class Entries(unittest.TestCase):
    """Each test has a boot folder of its own."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="torii-grub-entries-")
        self.addCleanup(self._folder.cleanup)
        self.root = Path(self._folder.name)
        self.boot = self.root / "boot"
        (self.root / "by-uuid").mkdir()
        (self.root / "by-uuid/1234-5678").touch()
        self.boot.mkdir()
        (self.root / "grub-mkconfig_lib").write_text(LIBRARY)
        (self.boot / "torii.elf").write_bytes(b"\x7fELF")

    def kernel(self, version, dom0=True, initrd=True):
        """Add a kernel as its package leaves it."""
        (self.boot / f"vmlinuz-{version}").write_bytes(b"kernel")
        (self.boot / f"config-{version}").write_text("CONFIG_XEN=y\n" + ("CONFIG_XEN_DOM0=y\n" if dom0 else ""))
        if initrd:
            (self.boot / f"initrd.img-{version}").write_bytes(b"initrd")

    def generate(self, **settings):
        """(menu, what was said besides)."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "pkgdatadir": str(self.root), "TORII_BOOT": str(self.boot),
            "TORII_BY_UUID": str(self.root / "by-uuid"), "STRIPPED": str(self.root), "GRUB_DISTRIBUTOR": "Debian",
            "GRUB_DEVICE": "/dev/vda1", "GRUB_DEVICE_UUID": "1234-5678", "GRUB_DEVICE_BOOT": "/dev/vda1", "GRUB_FS": "ext2",
            "GRUB_CMDLINE_LINUX": "net.ifnames=0", "GRUB_CMDLINE_LINUX_DEFAULT": "quiet",
            "GRUB_CMDLINE_TORII": "dom0_mem=1G,max:1G", **settings}
        done = subprocess.run([GENERATOR], env=environment, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        if not done.stdout:
            return done.stdout, done.stderr  # the check takes a script without a command for a mistake
        menu = self.root / "grub.cfg"
        menu.write_text(done.stdout)
        checked = subprocess.run(["grub-script-check", menu], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(checked.returncode, 0, checked.stderr + done.stdout)
        return done.stdout, done.stderr

    def titles(self, menu):
        """The titles of entries and submenus, in order."""
        return re.findall(r"(?:menuentry|submenu) '([^']*)'", menu)

    def test_each_kernel_has_its_entry_and_the_newest_comes_first(self):
        for version in ("6.1.0-9-amd64", "6.1.0-56-amd64", "6.12.1-1-amd64"):
            self.kernel(version)
        menu, _ = self.generate(GRUB_DISABLE_RECOVERY="true")
        self.assertEqual(self.titles(menu), [
            "Debian with Torii", "Advanced options for Debian with Torii", "Debian with Torii and Linux 6.12.1-1-amd64",
            "Debian with Torii and Linux 6.1.0-56-amd64", "Debian with Torii and Linux 6.1.0-9-amd64"])
        first = menu[:menu.index("submenu")]
        self.assertIn("vmlinuz-6.12.1-1-amd64 ", first)
        self.assertIn("$menuentry_id_option 'torii' {", first)

    def test_what_is_loaded(self):
        self.kernel("6.1.0-56-amd64")
        menu, _ = self.generate(GRUB_CMDLINE_LINUX_TORII="console=hvc0")
        lines = [line.strip() for line in menu.splitlines()]
        self.assertIn("multiboot2 /boot/torii.elf placeholder dom0_mem=1G,max:1G", lines)
        self.assertIn("module2 /boot/vmlinuz-6.1.0-56-amd64 placeholder root=UUID=1234-5678 ro net.ifnames=0 quiet console=hvc0", lines)
        self.assertIn("module2 --nounzip /boot/initrd.img-6.1.0-56-amd64", lines)
        self.assertIn("search --no-floppy --fs-uuid --set=root 1234-5678", lines)
        order = [line.split()[0] for line in lines if line.startswith(("multiboot2", "module2"))]
        self.assertEqual(order, ["multiboot2", "module2", "module2"] * 3)  # usual, advanced, recovery

    def test_recovery_is_single_user_and_left_out_if_unwanted(self):
        self.kernel("6.1.0-56-amd64")
        menu, _ = self.generate()
        self.assertIn("Debian with Torii and Linux 6.1.0-56-amd64 (recovery mode)", self.titles(menu))
        self.assertRegex(menu, r"placeholder root=UUID=1234-5678 ro single net.ifnames=0 *\n")
        menu, _ = self.generate(GRUB_DISABLE_RECOVERY="true")
        self.assertNotIn("recovery", menu)

    def test_a_kernel_that_cannot_be_dom0_has_none(self):
        self.kernel("6.1.0-56-amd64")
        self.kernel("6.1.0-56-cloud-amd64", dom0=False)
        menu, said = self.generate()
        self.assertNotIn("cloud", menu)
        self.assertIn("config-6.1.0-56-cloud-amd64 does not say CONFIG_XEN_DOM0=y", said)

    def test_nothing_at_all_without_a_kernel_or_without_the_hypervisor(self):
        self.kernel("6.1.0-56-cloud-amd64", dom0=False)
        menu, said = self.generate()
        self.assertEqual(menu, "")
        self.assertIn("none of the kernels", said)
        self.kernel("6.1.0-56-amd64")
        (self.boot / "torii.elf").unlink()  # removed, not purged
        self.assertEqual(self.generate(), ("", ""))

    def test_left_over_files_are_no_kernels(self):
        self.kernel("6.1.0-56-amd64")
        self.kernel("6.1.0-56-amd64.dpkg-tmp")
        menu, _ = self.generate()
        self.assertNotIn("dpkg", menu)

    def test_the_root_is_named_by_its_device_where_the_uuid_is_of_no_use(self):
        self.kernel("6.1.0-56-amd64")
        for settings in ({"GRUB_DISABLE_LINUX_UUID": "true"}, {"GRUB_DEVICE_UUID": "not-there"}, {"GRUB_DEVICE_UUID": ""}):
            menu, _ = self.generate(**settings)
            self.assertIn("placeholder root=/dev/vda1 ro", menu, settings)

    def test_a_root_in_a_file_stops_nobody_elses_entries(self):
        self.kernel("6.1.0-56-amd64")
        menu, said = self.generate(GRUB_DEVICE="/dev/loop0")
        self.assertEqual(menu, "")
        self.assertIn("on the machine itself", said)

    def test_a_boot_partition_of_its_own(self):
        self.kernel("6.1.0-56-amd64")
        menu, _ = self.generate(STRIPPED=str(self.boot))
        self.assertIn("multiboot2 /torii.elf placeholder", menu)
        self.assertIn("module2 /vmlinuz-6.1.0-56-amd64 placeholder", menu)

    def test_no_initrd(self):
        self.kernel("6.1.0-56-amd64", initrd=False)
        menu, _ = self.generate()
        self.assertNotIn("initrd", menu)

    def test_secure_boot_is_told(self):
        self.kernel("6.1.0-56-amd64")
        self.assertIn("Torii does not support Secure Boot", self.generate()[0])

    def test_a_quote_in_the_name_does_not_end_it(self):
        self.kernel("6.1.0-56-amd64")
        menu, _ = self.generate(GRUB_DISTRIBUTOR="Bob's")
        self.assertIn("menuentry 'Bob'\\''s with Torii' ", menu)

    def test_the_default_entry_stays(self):
        names = sorted(path.name for path in [*Path("/etc/grub.d").glob("[0-9]*"), GENERATOR])
        self.assertEqual(names[-1], GENERATOR.name, "an entry before another changes what numbers mean")
        self.assertNotRegex((PACKAGE / "grub/torii.cfg").read_text(), r"(?m)^\s*(export )?GRUB_DEFAULT")

    @unittest.skipUnless(XEN_GENERATOR.exists(), "grub-common is not installed")
    def test_xens_generator_does_not_take_our_files(self):
        looked_for = re.search(r"for i in (/boot/\S+); do", XEN_GENERATOR.read_text()[XEN_GENERATOR.read_text().index("xen_list="):])
        self.assertEqual(looked_for.group(1), "/boot/xen*")
        installed = re.findall(r"install\(FILES (\S+) DESTINATION /boot\)", (PACKAGE / "CMakeLists.txt").read_text())
        self.assertEqual([Path(name).name for name in installed], ["torii.elf"])


if __name__ == "__main__":
    unittest.main()
