"""A stock Debian dom0 on a machine with EFI, loaded by GRUB: what it learns of the firmware, variables, a guest, the end.

    efi.py [--dom0 6.1] [--cpu qemu64] [--hypervisor-arguments ""] [--binaries build]
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from toolstack import BUILD, Configuration, Machine, ToriiToolstack, dom0_image, fetch, only_one

import grub
from findings import run_machine

MENU = """\
serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
insmod all_video
menuentry torii {{
    multiboot2 /boot/torii.elf placeholder console=com1,vga com1=115200 dom0_mem=768M,max:768M {hypervisor_arguments}
    module2 /boot/vmlinuz placeholder console=hvc0 quiet
    module2 /boot/dom0.cpio
}}
"""
VARIABLE = "/sys/firmware/efi/efivars/ToriiTest-12345678-1234-1234-1234-123456789abc"


def check_firmware(findings, shell):
    """What dom0's kernel found."""
    messages = shell.run("dmesg")
    version = re.search(r"efi: EFI v[\d.]+ by (.*)", messages)
    findings.check(version is not None and "EDK II" in version.group(1), f"its kernel knows the firmware: {version.group(0) if version else 'no'}")
    findings.check("ACPI: RSDP 0x" in messages, "and found ACPI's tables through it")
    findings.check("ACPI20=0x" in shell.run("cat /sys/firmware/efi/systab"), "and lists them")
    findings.check(re.search(r"fb0|EFI VGA|simple", shell.run("cat /proc/fb; dmesg | grep -i 'frame buffer'")) is not None,
                   "the frame buffer is dom0's console")


def check_variables(findings, shell):
    """EFI's variables, through the hypervisor."""
    shell.run("mount -t efivarfs efivarfs /sys/firmware/efi/efivars")
    names = shell.run("ls /sys/firmware/efi/efivars").split()
    findings.check(any(name.startswith("BootOrder-") for name in names), f"{len(names)} variables are listed")
    shell.run(f"printf '\\007\\000\\000\\000hello' > {VARIABLE}")
    findings.check("hello" in shell.run(f"tail -c 5 {VARIABLE}"), "a variable is written and read")


def steps(findings, toolstack):
    """All of it, in dom0's shell."""
    check_firmware(findings, toolstack.shell)
    check_variables(findings, toolstack.shell)
    toolstack.create("debian-6.1")
    with toolstack.console("debian-6.1") as guest:
        findings.check("6.1" in guest.run("uname -r"), "a guest runs")
    toolstack.verb("destroy", "debian-6.1")
    toolstack.wait_gone("debian-6.1")


def main():
    """Exit code 0: all as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dom0", default="6.1")
    parser.add_argument("--cpu", default="qemu64")
    parser.add_argument("--hypervisor-arguments", default="")
    parser.add_argument("--binaries", default=str(BUILD))
    options = parser.parse_args()
    with only_one("images"):
        kernel = fetch(options.dom0)
        archive = dom0_image("torii", "efi", kernel, {"debian-6.1": fetch("6.1")}, Path(options.binaries), None, ("efivarfs",))
    with tempfile.TemporaryDirectory(prefix="torii-efi-") as name:
        folder = Path(name)
        image = grub.make_image(folder, "x86_64-efi", MENU.format(hypervisor_arguments=options.hypervisor_arguments),
                                {"torii.elf": BUILD / "torii.elf", "vmlinuz": kernel.image, "dom0.cpio": archive})
        machine = Machine(Configuration(cpu=options.cpu, extra=["-cdrom", str(image), *grub.efi_options(folder)]), time_limit=600,
                          name="efi", log_path=BUILD / "log/efi.log")
        return run_machine(machine, ToriiToolstack, steps)


if __name__ == "__main__":
    sys.exit(main())
