"""What the hypervisor says when it comes to its end on several CPUs, with names of functions, and that a CPU that hangs is found.

    crash.py [--hypervisor build/torii.elf] [--guest build/guests/debug_key.elf]

The guest, as the control domain, presses debug keys: C ends the hypervisor, W makes a CPU hang with interrupts off, which the
watchdog must see. Without the watchdog nothing happens, which shows that it was that. An exception of the hypervisor's own is had by
an image whose function for debug keys begins with an instruction that is none.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from toolstack import BUILD, time_factor

from findings import Findings
from isolation import Monitor

CPUS = 3


def breaking_image(options, folder):
    """A copy of the image in which handle_debug_key begins with ud2; its path."""
    image = Path(options.hypervisor)
    linked = next(image.parent.rglob("torii64.elf"))
    listing = subprocess.run(["nm", "--demangle", linked], check=True, stdout=subprocess.PIPE, text=True).stdout
    address = {name: int(at, 16) for at, _, name in (line.split(" ", 2) for line in listing.splitlines())}
    data = bytearray(image.read_bytes())
    # The container's content begins behind one page, with the first byte of the image (make_container.py).
    place = 4096 + address["torii::handle_debug_key(char)"] - address["image_start"]
    data[place:place + 2] = b"\x0f\x0b"
    path = Path(folder) / "breaking.elf"
    path.write_bytes(data)
    return path


def console_of(options, keys, arguments, *, seconds=8, during=None, breaking=False, until=None):
    """The console of a machine that ends, or is ended after `seconds`, or two seconds after it shows `until`; `during(monitor)` is
    called while it runs."""
    with tempfile.TemporaryDirectory(prefix="torii-crash-") as folder:
        path = Path(folder) / "monitor"
        log = Path(folder) / "console"
        image = breaking_image(options, folder) if breaking else options.hypervisor
        command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", "512", "-smp", str(CPUS),
                   "-display", "none", "-serial", f"file:{log}", "-monitor", f"unix:{path},server=on,wait=off", "-nic", "none",
                   "-no-reboot", "-kernel", image,
                   "-append", f"console=com1 com1=115200 dom0_mem=128M maxcpus={CPUS} {arguments}",
                   "-initrd", f"{options.guest} keys={keys} seconds=600"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as machine:
            try:
                if during is not None:
                    monitor = Monitor(path)
                    deadline = time.monotonic() + 30 * time_factor()
                    while "Pressing" not in read(log) and time.monotonic() < deadline:
                        time.sleep(0.1)
                    during(monitor)
                deadline = time.monotonic() + seconds * time_factor()
                while until is not None and until not in read(log) and time.monotonic() < deadline:
                    time.sleep(0.1)
                machine.wait(2 if until is not None else seconds * time_factor())
            except subprocess.TimeoutExpired:
                pass
            finally:
                machine.kill()
        return read(log), machine.returncode == 0


def read(log):
    """What the console's file holds so far."""
    return log.read_text(errors="replace") if log.exists() else ""


def main():
    """Exit code 0: all as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default=str(BUILD / "torii.elf"))
    parser.add_argument("--guest", default=str(BUILD / "guests/debug_key.elf"))
    options = parser.parse_args()
    findings = Findings()

    text, ended = console_of(options, "C", "sync_console", seconds=40)
    findings.check("asked for by debug key" in text and "on behalf of d0v0" in text, "the reason and the vCPU are named")
    names = re.findall(r"called from (\S+)\+0x", text)
    findings.check({"handle_debug_key", "debug_keys", "sysctl"} <= set(names), f"a backtrace of the CPU that crashed, by names: {', '.join(names)}")
    findings.check("is not known" not in text, "sync_console is an option")
    findings.check("restarts in 5 seconds" in text, "it says what comes next")
    spoke = sorted(set(re.findall(r"CPU (\d) (?:was idle|ran d0v0)", text)))
    findings.check(len(spoke) == CPUS - 1, f"each other CPU says where it was: {', '.join(spoke)}")
    findings.check(ended, "the machine restarts")

    text, ended = console_of(options, "C", "noreboot", seconds=60, until="option noreboot")
    findings.check("PANIC" in text and "(option noreboot)" in text and not ended, "with noreboot it stays")

    text, ended = console_of(options, "C", "noreboot", seconds=60, until="option noreboot", breaking=True)
    findings.check("an exception in the hypervisor" in text and re.search(r"vector 6 .*\n.*rip 0x", text) is not None,
                   "an exception of its own shows vector and registers")
    findings.check("at handle_debug_key+0x0" in text and re.search(r"called from dispatch\w*\+", text) is not None,
                   "and where it happened, by name")
    findings.check(all(len(line) <= 80 for line in re.findall(r"\(torii\) (.* (?:rip|rax|rdx|rbp|r10|r13) 0x.*)", text)),
                   "the lines of registers fit a screen")

    text, ended = console_of(options, "W", "watchdog watchdog_timeout=2", seconds=60)
    hanging = re.search(r"CPU (\d) has taken no timer interrupt", text)
    findings.check(hanging is not None, "the watchdog finds a CPU that hangs")
    findings.check(hanging is not None and
                   re.search(rf"CPU {hanging.group(1)} ran d0v0, in the hypervisor at [^\n]*\n[^\n]*  at \S+\+0x[^\n]*\n[^\n]*called from", text) is not None,
                   "the CPU that hangs is made to say where, with its backtrace")
    findings.check(ended, "the machine restarts")

    text, ended = console_of(options, "W", "", seconds=6)
    findings.check("hangs from here on" in text and "PANIC" not in text and not ended, "without the watchdog it goes on hanging")

    text, ended = console_of(options, "h", "watchdog", seconds=12)
    findings.check("PANIC" not in text and not ended, "the watchdog leaves CPUs alone that compute or idle")

    text, _ = console_of(options, "h", "", seconds=3, during=lambda monitor: monitor.command("nmi"))
    findings.check(re.search(r"\d NMIs so far", text) is not None and "PANIC" not in text, "an NMI of the machine's is noted, and that is all")
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
