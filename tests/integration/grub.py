"""GRUB loads Torii by Multiboot 2, as it does on a machine: the guest gets its arguments, and ends as under Multiboot 1.

    grub.py [--hypervisor build/torii.elf] [--guest build/guests/conformance.elf]

GRUB puts nothing in front of the arguments; Debian's menu writes the word "placeholder" there.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolstack import BUILD

from findings import Findings

MENU = """\
serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry torii {
    multiboot2 /boot/torii.elf placeholder console=com1 com1=115200 dom0_mem=96M loglvl=all
    module2 /boot/guest.elf placeholder tests=start_hypervisor_slots
}
"""


def make_image(folder, options):
    """A CD image with GRUB, the hypervisor and the guest; its path."""
    boot = folder / "tree/boot"
    (boot / "grub").mkdir(parents=True)
    (boot / "grub/grub.cfg").write_text(MENU)
    shutil.copy(options.hypervisor, boot / "torii.elf")
    shutil.copy(options.guest, boot / "guest.elf")
    image = folder / "torii.iso"
    made = subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", image, folder / "tree"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if made.returncode != 0:
        raise SystemExit(f"grub-mkrescue made no image:\n{made.stdout}")
    return image


def boot(image):
    """The console of the machine that boots the image."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", "512", "-smp", "1", "-display", "none",
               "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none", "-cdrom", image]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=180, check=False)
        return done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "\n(the machine ran out of its time)\n"


def main():
    """Exit code 0: booted, and the options reached where they belong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default=str(BUILD / "torii.elf"))
    parser.add_argument("--guest", default=str(BUILD / "guests/conformance.elf"))
    options = parser.parse_args()
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="torii-grub-") as folder:
        console = boot(make_image(Path(folder), options))
    good = findings.check("command line: placeholder console=com1" in console, "the hypervisor's options arrived")
    good &= findings.check("is not known" not in console, "each of them is known")
    good &= findings.check("dom0: 96 MiB" in console, "dom0 has the memory that they ask for")
    good &= findings.check("Torii test result: SUCCESS start_hypervisor_slots" in console, "the guest got its arguments and ran")
    if not good:
        print(console[-3000:])
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
