"""On a CPU open to Meltdown, the page tables that a guest runs on hold no map of memory.

    isolation.py [--hypervisor build/torii.elf] [--guest build/guests/conformance.elf]

The machine is stopped again and again; whenever ring 3 runs, QEMU's monitor tells what is mapped. With xpti=yes nothing of
the hypervisor's private slots may be there; with xpti=no, which shows that the test can see it, the direct map must be.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from findings import Findings, image_parser

DIRECT_MAP = (0xffff830000000000, 0xffff880000000000)
PERMANENT_AND_TABLES = (0xffff808000000000, 0xffff810000000000)
# Of a CPU's area (arch/x86/hw/layout.h) the first 2 MiB may be seen.
PRIVATE_HALF = (0xffff810000200000, 0xffff810000400000)
VISIBLE_IMAGE_PAGES = 8
IMAGE = (0xffff82d080000000, 0xffff82d0c0000000)
SAMPLES = 5


class Monitor:
    """QEMU's monitor on a socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                time.sleep(0.05)
        self._socket.settimeout(30)
        self._until_prompt()

    def _until_prompt(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            piece = self._socket.recv(65536)
            if not piece:
                raise EOFError("the monitor is gone")
            text += piece
        return text.decode(errors="replace")

    def command(self, line):
        """What the monitor answers."""
        self._socket.sendall(line.encode() + b"\n")
        return self._until_prompt()


def ranges(text):
    """The mapped ranges of an "info mem": (start, end)."""
    return [(int(start, 16), int(end, 16))
            for start, end in re.findall(r"^([0-9a-f]{16})-([0-9a-f]{16}) [0-9a-f]{16} ", text, re.MULTILINE)]


def overlap(mapped, area):
    """Bytes of `area` that are mapped."""
    return sum(max(0, min(end, area[1]) - max(start, area[0])) for start, end in mapped)


def sample(options, arguments):
    """What is mapped, at several moments at which ring 3 runs."""
    found = []
    with tempfile.TemporaryDirectory(prefix="torii-isolation-") as folder:
        path = Path(folder) / "monitor"
        command = ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "qemu64", "-m", "512", "-smp", "1", "-display",
                   "none", "-serial", "null", "-monitor", f"unix:{path},server=on,wait=off", "-nic", "none",
                   "-kernel", options.hypervisor, "-append", f"console=com1 com1=115200 dom0_mem=128M {arguments}",
                   "-initrd", f"{options.guest} tests=all"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as machine:
            try:
                monitor = Monitor(path)
                deadline = time.monotonic() + 60
                while len(found) < SAMPLES and time.monotonic() < deadline:
                    monitor.command("stop")
                    if "CPL=3" in monitor.command("info registers"):
                        found.append(ranges(monitor.command("info mem")))
                    monitor.command("cont")
                    time.sleep(0.01)
            except (EOFError, OSError):
                pass  # the guest has ended; what was seen counts
            finally:
                machine.kill()
    return found


def main():
    """Exit code 0: isolated when asked for, and seen when not."""
    options = image_parser(__doc__, "conformance").parse_args()
    findings = Findings()
    open_samples = sample(options, "xpti=no")
    findings.check(open_samples and all(overlap(mapped, DIRECT_MAP) >= 512 << 20 for mapped in open_samples),
                   f"xpti=no: the direct map is seen in each of {len(open_samples)} samples")
    samples = sample(options, "xpti=yes")
    findings.check(bool(samples), f"xpti=yes: {len(samples)} samples of ring 3")
    for name, area in (("direct map", DIRECT_MAP), ("frame table and M2P to write", PERMANENT_AND_TABLES),
                       ("private half of the CPU's area", PRIVATE_HALF)):
        seen = max((overlap(mapped, area) for mapped in samples), default=1)
        findings.check(seen == 0, f"xpti=yes: {seen} bytes of the {name} are mapped")
    image = max((overlap(mapped, IMAGE) for mapped in samples), default=1 << 30)
    findings.check(0 < image <= VISIBLE_IMAGE_PAGES * 4096, f"xpti=yes: {image >> 10} KiB of the image are mapped")
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
