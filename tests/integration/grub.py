"""GRUB loads Torii by Multiboot 2, as it does on a machine: the guest gets its arguments, and ends as under Multiboot 1.

    grub.py [--hypervisor build/torii.elf] [--guest build/guests/conformance.elf] [--efi-guest build/guests/efi_services.elf]

Four machines: with a BIOS, with EFI (OVMF), with EFI and an image whose header asks for the highest address instead of the lowest,
so that it runs far from where it was linked to be loaded, and with EFI and a guest that uses its runtime services. GRUB puts nothing
in front of the arguments; Debian's menu writes the word "placeholder" there.
"""

import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from toolstack import BUILD, time_factor

from findings import Findings, image_parser

MENU = """\
serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry torii {{
    multiboot2 /boot/torii.elf placeholder console=com1 com1=115200 dom0_mem=96M loglvl=all
    module2 /boot/guest.elf placeholder {arguments}
}}
"""
OVMF = Path("/usr/share/OVMF")
EFI_OPTIONS = ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"]
LOWEST, HIGHEST = 1, 2


def relocatable_tag(preference):
    """The tag of the header that says where the image may lie (Multiboot 2.0, section 3.1.13)."""
    return struct.pack("<HHIIIII", 10, 0, 24, 0x200000, 0xFFFFFFFF, 0x200000, preference)


def preferring_the_highest(image):
    """The image's bytes with the other preference in its header."""
    data = Path(image).read_bytes()
    if data.count(relocatable_tag(LOWEST)) != 1:
        raise SystemExit(f"{image} has no Multiboot 2 tag that makes it relocatable: boot.S and this test differ")
    return data.replace(relocatable_tag(LOWEST), relocatable_tag(HIGHEST))


def make_image(folder, platform, menu, files):
    """A CD image with GRUB for the platform, its menu, and files (name to path or content) in /boot; its path."""
    boot = folder / "tree/boot"
    (boot / "grub").mkdir(parents=True)
    (boot / "grub/grub.cfg").write_text(menu)
    for name, source in files.items():
        (boot / name).write_bytes(source if isinstance(source, bytes) else Path(source).read_bytes())
    image = folder / "torii.iso"
    made = subprocess.run(["grub-mkrescue", "-d", f"/usr/lib/grub/{platform}", "-o", image, folder / "tree"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if made.returncode != 0:
        raise SystemExit(f"grub-mkrescue made no image:\n{made.stdout}")
    return image


def efi_options(folder):
    """QEMU's options for a machine with EFI, whose variables live in the folder."""
    variables = folder / "variables.fd"
    shutil.copy(OVMF / "OVMF_VARS_4M.fd", variables)
    return [*EFI_OPTIONS, "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]


def boot(image, more):
    """The console of the machine that boots the image."""
    command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", "512", "-smp", "2", "-display", "none",
               "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none", "-cdrom", image, *more]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60 * time_factor(), check=False)
        return done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "\n(the machine ran out of its time)\n"


def check(findings, console, firmware, *, highest=False):
    """What the console of one machine must show."""
    loaded = re.search(r"loaded at 0x([0-9a-f]+) under (EFI|a BIOS)", console)
    good = findings.check(loaded is not None and loaded.group(2) == firmware, f"{firmware}: loaded, and the firmware is known")
    if highest:
        good &= findings.check(loaded is not None and int(loaded.group(1), 16) > 16 << 20, f"{firmware}: far from where it was linked to be")
    good &= findings.check("command line: placeholder console=com1" in console, f"{firmware}: the hypervisor's options arrived")
    good &= findings.check("is not known" not in console, f"{firmware}: each of them is known")
    good &= findings.check("2 CPUs run" in console, f"{firmware}: both CPUs run")
    good &= findings.check("dom0: 96 MiB" in console, f"{firmware}: dom0 has the memory that they ask for")
    good &= findings.check("Torii test result: SUCCESS start_hypervisor_slots" in console, f"{firmware}: the guest got its arguments and ran")
    if not good:
        print(console[-3000:])


def check_services(findings, options, folder):
    """The guest that calls EFI, on vector units that the firmware may use as well."""
    image = make_image(folder, "x86_64-efi", MENU.format(arguments=""), {"torii.elf": options.hypervisor, "guest.elf": options.efi_guest})
    console = boot(image, efi_options(folder))
    results = re.findall(r"Torii test result: (\w+) (efi_\w+)", console)
    good = findings.check(len(results) == 5 and all(result == "SUCCESS" for result, _ in results),
                          f"EFI: its runtime services: {', '.join(f'{name} {result}' for result, name in results) or 'no result'}")
    if not good:
        print(console[-3000:])


def main():
    """Exit code 0: booted, and the options reached where they belong."""
    parser = image_parser(__doc__, "conformance")
    parser.add_argument("--efi-guest", default=str(BUILD / "guests/efi_services.elf"))
    options = parser.parse_args()
    findings = Findings()
    menu = MENU.format(arguments="tests=start_hypervisor_slots")
    for platform, firmware, highest in (("i386-pc", "a BIOS", False), ("x86_64-efi", "EFI", False), ("x86_64-efi", "EFI", True)):
        with tempfile.TemporaryDirectory(prefix="torii-grub-") as name:
            folder = Path(name)
            hypervisor = preferring_the_highest(options.hypervisor) if highest else options.hypervisor
            image = make_image(folder, platform, menu, {"torii.elf": hypervisor, "guest.elf": options.guest})
            check(findings, boot(image, efi_options(folder) if firmware == "EFI" else []), firmware, highest=highest)
    with tempfile.TemporaryDirectory(prefix="torii-grub-") as name:
        check_services(findings, options, Path(name))
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
