"""The way of the Debian package through a machine: Debian 12 on a disk, started by GRUB, the package installed, upgraded, purged.

    installation.py [--firmware bios|uefi] [--parts plain,torii]

"plain" is what Debian without Torii sees of the package; "torii" boots Torii by GRUB's menu and runs guests.
"""

import argparse
import shlex
import sys
from pathlib import Path

from toolstack import BUILD, MachineFailure, only_one, run

from commands import packages
from emulator import accelerator, debian
from findings import Findings
from image import build as torii_image
from image import disk
from image.plain_debian import plain
from kernels.fetch import fetch

# The files that a removed package could leave behind or have changed, with what is in them. Left out is what any package changes.
SNAPSHOT = ("find /boot /etc /usr /lib/systemd /var/lib/torii /var/log/torii -xdev \\( -name '*-' -o -name ld.so.cache -o -name __pycache__ "
            "-o -path '/etc/systemd/system/*.wants' -o -path /boot/grub/grubenv \\) -prune -o \\( -type f -o -type l \\) "
            "-printf '%p %l %s\\n' 2>/dev/null | sort; find /etc/systemd/system -type l | sort; md5sum /boot/grub/grub.cfg /etc/group")
GUEST = """\
name = "{name}"
kernel = "/srv/vmlinuz"
ramdisk = "/srv/guest.cpio"
command-line = "console=hvc0 quiet"
memory = "192M"
"""


def second_version(package):
    """The same package under a higher version."""
    folder = BUILD / "disk/second"
    run(["cpack", "--config", BUILD / "CPackConfig.cmake", "-B", folder, "-D", "CPACK_PACKAGE_VERSION=9.9.9"], quiet=True, cwd=BUILD)
    (found,) = folder.glob("torii_9.9.9*.deb")
    if found.name == package.name:
        raise SystemExit("cpack gave both packages one version")
    return found


class Installation:
    """One machine, and what is expected of it."""

    def __init__(self, findings, machine, package, upgrade):
        self.findings = findings
        self.debian = debian.Debian(machine)
        self.package = package
        self.upgrade = upgrade

    def check(self, good, text):
        """Note what was found."""
        return self.findings.check(good, text)

    def apt(self, *words, fails=False):
        """Run apt-get; returns what it said."""
        code, said = self.debian.shell.attempt(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y {shlex.join(words)}", 600)
        if (code != 0) != fails:
            self.check(False, f"apt-get {shlex.join(words)} ended with code {code}: {said[-1500:]}")
        return said

    def failed_units(self):
        """Names of units that have failed."""
        return self.debian.ask("systemctl --failed --plain --no-legend | cut -d' ' -f1").split()

    def fetch_packages(self):
        """Take what lies on the second disk."""
        self.debian.run("mount LABEL=packages /mnt && cp -r /mnt/. /srv && umount /mnt && cp /srv/*.deb /root")

    def note_files(self):
        """What is to be as before when the package is purged. The menu that the disk came with was made under a BIOS: GRUB makes
        another under UEFI, where it can lead into the firmware."""
        self.debian.run("update-grub", 300)
        self.debian.run(f"({SNAPSHOT}) >/var/tmp/before", 300)

    # --- plain Debian

    def plain(self):
        """Install, boot on, upgrade, purge; never under Torii."""
        self.note_files()
        failed = self.failed_units()
        self.check(self.debian.ask("ls /sys/hypervisor") == "", "the machine runs without a hypervisor")
        self.apt("install", f"./{self.package.name}")
        self.menu_is_good()
        self.debian.reboot()
        self.check(self.debian.ask("ls /sys/hypervisor") == "", "the default is Debian without Torii")
        self.check(self.failed_units() == failed, f"no unit fails because of the package: {self.failed_units()}")
        states = self.debian.ask("systemctl is-active toriid.socket toriid torii-guests torii-auto; systemctl is-enabled toriid.socket toriid")
        self.check(states.split() == ["inactive"] * 4 + ["enabled"] * 2, f"its units are enabled and do nothing: {states.split()}")
        self.check("no daemon answers" in self.debian.ask("torii list 2>&1"), "torii says that there is no daemon")
        self.check("TORII(1)" in self.debian.ask("man torii | head -n 1"), "torii has its manual page")
        self.apt("install", f"./{self.upgrade.name}")
        self.check(self.debian.ask("dpkg-query -W -f '${Version}' torii") == "9.9.9", "the package is upgraded")
        self.purge()
        self.beside_xen()

    def menu_is_good(self):
        """What update-grub has made."""
        self.debian.run("grub-script-check /boot/grub/grub.cfg")
        ids = self.debian.ask("grep -o \"menuentry_id_option '[^']*'\" /boot/grub/grub.cfg | cut -d\"'\" -f2").split()
        kernels = self.debian.ask("ls /boot/vmlinuz-* | cut -d- -f2-").split()
        self.check("torii" in ids, "GRUB's menu has the entry torii")
        for kernel in kernels:
            self.check(any(name.startswith(f"torii-{kernel}-advanced") for name in ids), f"it has one for Linux {kernel}")
        self.check(ids and ids[0].startswith("gnulinux-simple"), f"the first entry is Debian's: {ids}")
        lines = self.debian.ask("grep -A 30 \"'torii' {\" /boot/grub/grub.cfg | grep -E '^[[:space:]]*(multiboot2|module2)'").splitlines()
        words = [line.split() for line in lines[:3]]
        self.check([line[0] for line in words] == ["multiboot2", "module2", "module2"], f"it loads three files: {lines[:3]}")
        for line in words:
            name = next(word for word in line[1:] if word.startswith("/"))
            self.debian.run(f"test -s {name}")
        root = self.debian.ask("findmnt -n -o UUID /")
        self.check(f"root=UUID={root}" in words[1], f"its kernel finds the root: {words[1]}")

    def beside_xen(self):
        """Debian's xen-utils-common leaves our entries as they are, and makes none of our hypervisor."""
        self.apt("install", "--no-install-recommends", "xen-utils-common", f"./{self.package.name}")
        menu = self.debian.ask("cat /boot/grub/grub.cfg")
        self.check("with Xen hypervisor" not in menu, "GRUB's generator for Xen takes none of our files for Xen")
        drop_in = self.debian.ask("systemctl show -p DropInPaths xen.service xendomains.service")
        self.check(drop_in.count("not-on-torii.conf") == 2, f"the guard is part of Xen's units: {drop_in}")
        self.check(self.xen_service() == ["active", "success"], f"without Torii it does not keep them from starting: {self.xen_service()}")
        self.apt("purge", "--autoremove", "xen-utils-common", "torii")

    def xen_service(self):
        """Start it; what came of that, as two words: its state, and how it went."""
        return sorted(self.debian.ask("systemctl start xen.service; systemctl show -p Result -p ActiveState --value xen.service").split())

    def purge(self):
        """The machine is as it was. What the package recommends goes with it, also where another package, which was installed without
        that, recommends or suggests it: by default apt would keep it."""
        self.apt("purge", "--autoremove", "-o", "APT::AutoRemove::SuggestsImportant=false", "-o", "APT::AutoRemove::RecommendsImportant=false", "torii")
        self.debian.run("test $(wc -l </var/tmp/before) -gt 5000")
        changed = self.debian.ask(f"({SNAPSHOT}) | diff /var/tmp/before -", 300)
        self.check(not changed, f"purging leaves the machine as it was: {changed[:1500]}")
        self.debian.reboot()
        self.check(self.debian.ask("ls /sys/hypervisor") == "", "plain Debian boots after the package is gone")

    # --- under Torii

    def torii(self):
        """Guests that start with the machine, go on through restarts and upgrades, and are stopped before it ends."""
        self.apt("install", "--no-install-recommends", "xen-utils-4.17")
        self.note_files()
        self.apt("install", f"./{self.package.name}")
        self.debian.reboot("torii", time_limit=400)
        self.check("-torii" in self.debian.ask("cat /sys/hypervisor/version/extra"), "the machine runs on Torii")
        self.check(self.failed_units() == [], f"no unit fails: {self.failed_units()}")
        for number, name in enumerate(("first", "second"), start=1):
            text = GUEST.format(name=name).replace("\n", "\\n")
            self.debian.run(f"printf %b {shlex.quote(text)} >/etc/torii/auto/{number}0-{name}.toml")
        self.debian.run("torii guests start", 300)
        self.check(self.xen_service() == ["exec-condition", "inactive"], f"the guard keeps Xen's daemons down: {self.xen_service()}")
        self.check(self.debian.ask("pgrep -x 'xenstored|oxenstored|xenconsoled'") == "", "none of Xen's daemons runs under Torii")
        self.check("first" in self.debian.ask("torii list"), "torii's daemon goes on beside them")
        self.guests_go_on("systemctl restart toriid")
        self.guests_go_on(f"apt-get -q -y install ./{self.upgrade.name}")
        said = self.apt("purge", "torii", fails=True)
        self.check("guests run (" in said, "purging is refused while guests run")
        self.debian.reboot("torii", time_limit=400)
        told = self.debian.ask("journalctl -b -1 -u torii-guests -o cat")
        self.check(told.find("second has shut down") != -1 and told.find("second has shut down") < told.find("first has shut down"),
                   f"guests were shut down before the machine, in order: {told[-600:]}")
        # The login comes before all guests are there.
        state = self.debian.ask("systemctl is-system-running --wait; systemctl is-active torii-auto torii-guests", 300)
        self.check(state.split() == ["running", "active", "active"], f"all units have started: {state.split()}")
        listed = self.debian.ask("torii list --active")
        self.check("first" in listed and "second" in listed, f"both are up again: {listed}")
        self.debian.run("torii guests stop && rm /etc/torii/auto/*.toml", 300)
        self.purge()

    def guests_go_on(self, command):
        """Do something to the daemon, and see that no guest is another than before."""
        view = "torii --json list --active | grep -oE '\"(uuid|domid|created)\":\"?[-0-9a-f]*'"
        before = self.debian.ask(view)
        self.debian.run(command, 600)
        after = self.debian.ask(view)
        self.check(before == after and "uuid" in before, f"after `{command}` the guests are the same")
        with self.debian.shell.console("torii console first", "first") as guest:
            self.check("alive" in guest.run("echo al''ive"), "and answer on their consoles")


def files_for(parts, package, upgrade):
    """What comes into the machine."""
    files = [package, upgrade]
    if "torii" in parts:
        kernel = fetch("6.1")
        guest = BUILD / "disk/guest.cpio"
        torii_image.guest_archive(kernel).write(guest)
        plain_name = BUILD / "disk/vmlinuz"
        plain_name.write_bytes(Path(kernel.image).read_bytes())
        files += [guest, plain_name]
    return files


def main():
    """Exit code 0: all as expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firmware", choices=("bios", "uefi"), default="bios")
    parser.add_argument("--parts", default="plain,torii", help="plain, torii, or both with a comma (default: %(default)s)")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if not set(parts) <= {"plain", "torii"}:
        parser.error(f"--parts knows plain and torii, not {options.parts}")
    findings = Findings()
    try:
        with only_one("images"):
            packages.install({"run", "disk"})
            accel = accelerator.choose("auto", "qemu64", BUILD / "torii.elf")
            package = disk.build_package()
            upgrade = second_version(package)
            base = plain(accel)
            carried = disk.package_disk(files_for(parts, package, upgrade), BUILD / f"disk/packages-{options.firmware}.raw")
            work = disk.overlay(BUILD / f"disk/test-{options.firmware}.qcow2", base, "raw")
        extra = [*debian.firmware(options.firmware), *debian.drive(work, "qcow2"), *debian.drive(carried, "raw")]
        with debian.machine(extra, name=f"installation-{options.firmware}", time_limit=3600, accel=accel) as machine:
            installation = Installation(findings, machine, package, upgrade)
            installation.debian.begin()
            installation.fetch_packages()
            for part in parts:
                getattr(installation, part)()
            installation.debian.power_off()
    except MachineFailure as failure:
        findings.check(False, str(failure))
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
