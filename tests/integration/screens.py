"""What stands on the screen while Torii boots and when it crashes, in a card's text mode and in EFI's frame buffer.

    screens.py [--hypervisor build/torii.elf] [--guest build/guests/debug_key.elf]

The guest, as the control domain, draws nothing, so that the screen keeps what it was handed over with; then it presses the debug key
that crashes the hypervisor. Text mode is read from the card's memory; of the frame buffer QEMU takes a picture, whose characters are
found by the font that the image was built with.
"""

import importlib.util
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from toolstack import time_factor

import grub
from findings import Findings, image_parser
from isolation import Monitor

FONT = Path("/usr/share/grub/ascii.pf2")
MAKE_FONT = Path(__file__).resolve().parents[2] / "hypervisor/arch/x86/hw/make_font.py"
MENU = """\
set timeout=0
insmod all_video
menuentry torii {{
    multiboot2 /boot/torii.elf placeholder {arguments}
    module2 /boot/guest.elf placeholder {guest}
}}
"""


def characters():
    """{lines of a character's bitmap: character} of the font."""
    spec = importlib.util.spec_from_file_location("make_font", MAKE_FONT)
    maker = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(maker)
    data = FONT.read_bytes()
    found = maker.sections(data)
    ascent = struct.unpack(">H", found[b"ASCE"])[0]
    places = {point: place for point, _, place in struct.iter_unpack(">IBI", found[b"CHIX"])}
    return {bytes(maker.glyph(data, places[point], ascent)): chr(point) for point in range(maker.FIRST, maker.LAST + 1)}


def text_of_picture(path):
    """The rows of characters of a picture (PPM) of the screen; what is no character of the font is a lozenge."""
    kind, size, _, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert kind == b"P6"
    names = characters()
    rows = []
    for top in range(0, height - 15, 16):
        row = ""
        for left in range(0, width - 7, 8):
            lines = bytes(sum(0x80 >> x for x in range(8) if pixels[((top + y) * width + left + x) * 3] > 127) for y in range(16))
            row += names.get(lines, "\u25ca")
        rows.append(row.rstrip())
    return rows


def text_of_card(path):
    """The rows of characters in a card's text mode, out of a copy of its memory."""
    data = path.read_bytes()
    return ["".join(map(chr, data[start:start + 160:2])).rstrip() for start in range(0, len(data), 160)]


def rows_shown(machine_options, wanted, *, efi, folder):
    """What the screen shows when the serial line has shown `wanted`, or when the time is up."""
    path, log, picture = folder / "monitor", folder / "console", folder / "picture"
    command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", "512", "-display", "none",
               "-serial", f"file:{log}", "-monitor", f"unix:{path},server=on,wait=off", "-nic", "none", "-no-reboot", *machine_options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as machine:
        try:
            monitor = Monitor(path)
            deadline = time.monotonic() + 60 * time_factor()
            while not (log.exists() and wanted in log.read_text(errors="replace")) and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(0.5)
            monitor.command(f"screendump {picture}" if efi else f'pmemsave 0xb8000 4000 "{picture}"')
            time.sleep(0.5)
            return text_of_picture(picture) if efi else text_of_card(picture)
        finally:
            machine.kill()


def check_crash(findings, options, key, reason, name, *, efi):
    """What the screen shows when the hypervisor has crashed by a debug key; `name` is a function, as a pattern."""
    where = f"{'EFI frame buffer' if efi else 'text mode'}, key {key}"
    rows = boot(options, "", f"keys={key} seconds=600", "option noreboot", efi=efi)
    good = findings.check(rows[0].startswith(f"(torii) PANIC on CPU 0: {reason}"), f"{where}: a crash begins at the top")
    good &= findings.check(any(re.search(rf"(at|called from) {name}\+0x", row) for row in rows), f"{where}: with names of functions")
    good &= findings.check(any("(option noreboot)" in row for row in rows), f"{where}: and stays")
    if not good:
        print("\n".join(rows))


def boot(options, arguments, guest, wanted, *, efi):
    """The screen of one machine."""
    arguments = f"console=com1,vga com1=115200 dom0_mem=96M noreboot {arguments}"
    with tempfile.TemporaryDirectory(prefix="torii-screens-") as name:
        folder = Path(name)
        if not efi:
            machine = ["-kernel", options.hypervisor, "-append", arguments, "-initrd", f"{options.guest} {guest}"]
        else:
            image = grub.make_image(folder, "x86_64-efi", MENU.format(arguments=arguments, guest=guest),
                                    {"torii.elf": options.hypervisor, "guest.elf": options.guest})
            machine = ["-cdrom", str(image), *grub.efi_options(folder)]
        return rows_shown(machine, wanted, efi=efi, folder=folder)


def main():
    """Exit code 0: all screens show what they should."""
    options = image_parser(__doc__, "debug_key").parse_args()
    findings = Findings()
    for efi in False, True:
        where = "EFI's frame buffer" if efi else "text mode"
        rows = boot(options, "", "keys=h seconds=600", "Pressing", efi=efi)
        good = findings.check(any("(torii) dom0: 96 MiB" in row for row in rows), f"{where}: the boot log up to dom0's start")
        good &= findings.check(not any("Pressing" in row or "keys:" in row for row in rows), f"{where}: nothing once dom0 runs")
        if not good:
            print("\n".join(rows))
        rows = boot(options, "vga=keep", "keys=h seconds=600", "keys:", efi=efi)
        good = findings.check(any("keys: h this list" in row for row in rows), f"{where}: with vga=keep, what is logged later too")
        if not good:
            print("\n".join(rows))
        check_crash(findings, options, "C", "asked for by debug key", "handle_debug_key", efi=efi)
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
