"""Twenty guests with disks and networks at once: most from an initramfs, two of them an installed Debian with systemd.

    many_guests.py [--guests 20] [--debians 2] [--seconds 60]

Each reads its own image, and writes to it; all have an address by DHCP and fetch a file from dom0 behind a NAT of their own, and reach
each other through one switch of toriid's. Then all of them write, read back, compare and fetch at once, and toriid is killed
meanwhile. At the end nothing is left of any.
"""

import argparse
import sys
import time

from debian_guest import Guest, check_system, create, disk_with_image, wait_for_login
from findings import run_machine
from images import free_port
from split_drivers import FETCH, IMAGES, SERVER, TORTURE, SplitDrivers
from toolstack import boot


class ManyGuests(SplitDrivers):
    """One machine with many guests."""

    def __init__(self, findings, toolstack, options, ports):
        super().__init__(findings, toolstack)
        self.options = options
        self.ports = ports
        self.names = [f"m{number}" for number in range(options.guests - options.debians)]
        self.debians = [f"debian{number}" for number in range(options.debians)]

    def prepare(self):
        """What dom0 serves, and an image for each."""
        self.shell.run(f"mkdir -p {IMAGES} /tmp/www && ip addr add {SERVER}/32 dev lo && echo hello >/tmp/www/hello && "
                       "dd if=/dev/urandom of=/tmp/www/file bs=64k count=8 2>/dev/null && httpd -h /tmp/www")
        for name in self.names:
            self.shell.run(f"dd if=/dev/urandom of={IMAGES}/{name} bs=1M count=10 2>/dev/null")
        self.sum = self.shell.run("md5sum /tmp/www/file").split()[0]

    def start(self):
        """All of them."""
        for name, port in zip(self.debians, self.ports):
            create(self.toolstack, name, port)
        for number, name in enumerate(self.names, 1):
            self.create(name, name, "112M")
            self.check_disk(name, name)
            self.check_network(name, number)
        self.findings.check(True, f"{self.options.guests} guests after {self.toolstack.machine.seconds():.0f} s")

    def work(self):
        """All at once."""
        last = len(self.names)
        for name in self.names:
            self.in_guest(name, f"echo {self.sum} >/tmp/expected; touch /tmp/go; ({TORTURE}) >/dev/null 2>&1 & ({FETCH}) >/dev/null 2>&1 & true")
        for _ in range(self.options.seconds // 20):
            time.sleep(20)
            self.shell.run("kill -9 $(pidof toriid | tr ' ' '\\n' | tail -1); sleep 5")
        rounds = []
        for name in self.names:
            text = self.in_guest(name, f"rm /tmp/go; wait; cat /tmp/rounds /tmp/fetched; cat /tmp/torture /tmp/fetches 2>/dev/null; ping -c 1 -W 10 10.1.0.{last} "
                                       ">/dev/null || echo unreachable; dmesg -r | grep '^<[0-3]>' | grep -v 'No target domain found'; true", 200).split()
            bad = [word for word in text if not word.isdigit()]
            rounds += [int(word) for word in text if word.isdigit()]
            if bad or len(text) != 2 or "0" in text:
                self.findings.check(False, f"{name}: {text[:6]}")
        self.findings.check(len(rounds) == 2 * last, f"all worked at once, {min(rounds)} to {max(rounds)} rounds of disk and network each, "
                            f"through {self.options.seconds // 20} kills of toriid")

    def check_debians(self):
        """They have come up meanwhile."""
        for name, port in zip(self.debians, self.ports):
            wait_for_login(self.toolstack, name)
            check_system(self.findings, Guest(port))

    def end(self):
        """Nothing is left."""
        states = [(domain["name"], each["device"], each["state"]) for domain in self.shell.answer("torii --json devices") for each in domain["devices"]]
        wrong = [state for state in states if state[2] != "connected"]
        self.findings.check(not wrong and len(states) >= 3 * len(self.names) + 2 * len(self.debians), f"{len(states)} devices are connected {wrong[:3]}")
        for name in (*self.names, *self.debians):
            self.remove(name)
        self.check_nothing_left()


def steps(findings, toolstack, options, ports):
    """All of it."""
    test = ManyGuests(findings, toolstack, options, ports)
    test.prepare()
    before = toolstack.free_pages()
    test.start()
    test.check_debians()
    test.work()
    test.end()
    free = toolstack.wait_free(before, 10)
    # dom0's table of mappings, a page for each 256 that there were at once.
    findings.check(before - free <= 64, f"all but {before - free} of {before} pages are free again; those are dom0's")


def main():
    """Exit code 0: all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=20)
    parser.add_argument("--debians", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    ports = [free_port() for _ in range(options.debians)]
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{port}-:{port}" for port in ports)
    devices = ("-drive", f"file={disk_with_image(copies=options.debians)},format=raw,if=none,id=images", "-device", "virtio-blk-pci,drive=images",
               "-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net")
    machine, side = boot("torii", name="many-guests", guests=("6.1",), time_limit=3000, memory="5120", kernel_arguments="torii.devices", devices=devices)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options, ports))


if __name__ == "__main__":
    sys.exit(main())
