"""What the hypervisor says when it comes to its end on several CPUs, with names of functions, and that a CPU that hangs is found.

    crash.py [--hypervisor build/torii.elf] [--guest build/guests/debug_key.elf]

The guest, as the control domain, presses debug keys: C ends the hypervisor, W makes a CPU hang with interrupts off, which the
watchdog must see. Without the watchdog nothing happens, which shows that it was that. An exception of the hypervisor's own is had by
a build with a planted bug (the preset "planted"), in which the key q reads through a null pointer.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from toolstack import time_factor

from commands.builds import configure_and_build
import screens
from findings import Findings, image_parser
from isolation import Monitor

CPUS = 3
# Where the planted bug is, by whichever name the compiler leaves it.
FAULTY = "(?:show_domains|handle_debug_key)"


def console_of(options, keys, arguments, *, seconds=8, during=None, hypervisor=None, until=None, resets=False):
    """The console of a machine that ends, or is ended after `seconds`, or two seconds after it shows `until`, a pattern;
    `during(monitor)` is called while it runs. A reset is its end, or, with `resets`, a reset."""
    with tempfile.TemporaryDirectory(prefix="torii-crash-") as folder:
        path = Path(folder) / "monitor"
        log = Path(folder) / "console"
        command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", "512", "-smp", str(CPUS),
                   "-display", "none", "-serial", f"file:{log}", "-monitor", f"unix:{path},server=on,wait=off", "-nic", "none",
                   *([] if resets else ["-no-reboot"]), "-kernel", hypervisor or options.hypervisor,
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
                while until is not None and not re.search(until, read(log)) and time.monotonic() < deadline:
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


def check_exception(findings, text):
    """What is said of a read through a null pointer in the hypervisor."""
    findings.check("an exception in the hypervisor" in text and re.search(r"vector 14 error 0x0 cr2 0x[0-9a-f]{1,3}\n.*rip 0x", text) is not None,
                   "it says which exception, at which address, with registers")
    findings.check(re.search(rf"  at {FAULTY}\+0x[^\n]*\n(.*\n)*.*called from dispatch\w*\+", text) is not None,
                   "and where it happened, by name")
    findings.check(all(len(line) <= 80 for line in re.findall(r"\(torii\) (.* (?:rip|rax|rdx|rbp|r10|r13) 0x.*)", text)),
                   "the lines of registers fit a screen")


def main():
    """Exit code 0: all as it should be."""
    options = image_parser(__doc__, "debug_key").parse_args()
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

    planted = configure_and_build("planted", ("torii_elf",)) / "torii.elf"
    text, ended = console_of(options, "q", "noreboot", seconds=60, until="option noreboot", hypervisor=planted)
    findings.check("(option noreboot)" in text and not ended, "a planted bug: with noreboot the machine stays")
    check_exception(findings, text)
    text, _ = console_of(options, "q", "", seconds=60, hypervisor=planted, until=r"PANIC(.*\n)+.*PANIC", resets=True)
    first, *others = text.split("PANIC")
    findings.check(len(others) == 2 and "restarts in 5 seconds" in others[0] and others[0].count("Pressing q") == 1 and "Pressing q" in first,
                   "without it the machine restarts, and comes as far again")
    check_exception(findings, text)
    for efi in False, True:
        screens.check_crash(findings, argparse.Namespace(hypervisor=planted, guest=options.guest), "q", "an exception in the hypervisor",
                            FAULTY, efi=efi)
    text, ended = console_of(options, "q", "", seconds=6)
    findings.check("d0: life" in text and "PANIC" not in text and not ended, "without the bug the key does what it should")

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
