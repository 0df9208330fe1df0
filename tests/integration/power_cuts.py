"""A file system of a guest on a disk of ours, and the guest's power cut again and again: nothing that it was told is durable is lost.

    power_cuts.py [--cuts 5] [--seed 1]

A stock guest mounts ext4 and changes files with program `torture`, which tells of a change on the console only when fsync has
returned. `torii destroy` ends it at a random moment, in every third round with toriid killed shortly before. Then dom0 checks the
image (e2fsck, which replays the journal, must find nothing to mend), mounts it, and each change that was told of must be there, or a
later one. A guest's last words may still be on their way when its power is cut; what dom0 did not hear is not asked for.
"""

import argparse
import random
import sys
import time

from findings import run_machine
from toolstack import MachineFailure, boot, unpacked

IMAGE = "/tmp/images/torture"
MIB = 48
NAME = "torture"
# More rounds in a row without one acknowledged change would be a test of nothing.
MOST_EMPTY = 3
# Removals at the end of a guest's life that nobody heard of.
MOST_SILENT = 2


class Known:
    """What was acknowledged: the highest number of each place; a file that is gone is one with nothing at its number."""

    def __init__(self):
        self.least = {}
        self.gone = {}
        self.highest = 0

    def hear(self, lines):
        """Lines of the console; returns how many changes they tell of."""
        heard = 0
        for line in lines:
            words = line.split()
            if len(words) != 4 or words[0] != "acked" or not words[3].isdigit():
                continue
            what, place, number = words[1], int(words[2]), int(words[3])
            heard += 1
            self.highest = max(self.highest, number)
            if what == "gone":
                self.gone[place] = number
                self.least.pop(("file", place), None)
            else:
                self.least[what, place] = number
                if what == "file":
                    self.gone.pop(place, None)
        return heard

    def compare(self, lines):
        """With what the disk holds; returns sentences of what is wrong."""
        wrong = [line for line in lines if line.startswith(("bad", "failed"))]
        have = {(words[1], int(words[2])): int(words[3]) for words in map(str.split, lines) if words and words[0] == "have"}
        # Removals that were durable without dom0 having heard of them: no more than changes that it did not hear of, told of by what
        # else there is of them, and the last ones, of which nothing else tells.
        missing = [key for key in self.least if key[0] == "file" and key not in have]
        unheard = max(0, max(have.values(), default=0) - self.highest) + MOST_SILENT
        if len(missing) > unheard:
            wrong.append(f"{len(missing)} acknowledged files are not there, at most {unheard} can have been removed: {missing[:4]}")
        for key in missing:
            del self.least[key]
        for (what, place), number in self.least.items():
            found = have.get((what, place))
            if found is None or found < number:
                wrong.append(f"{what} {place}: {number} was acknowledged, {found} is there")
        for place, number in self.gone.items():
            if have.get(("file", place), number + 1) < number:
                wrong.append(f"file {place}: its removal {number} was acknowledged, {have['file', place]} is there")
        return wrong


class PowerCuts:
    """One machine, one image, many lives of a guest."""

    def __init__(self, findings, toolstack, seed):
        self.findings = findings
        self.toolstack = toolstack
        self.shell = toolstack.shell
        self.random = random.Random(seed)
        self.known = Known()
        self.changes = 0

    def prepare(self):
        """The image, made in dom0, and the guest's description."""
        self.shell.run(f"mkdir -p /tmp/images; truncate -s {MIB}M {IMAGE}; "
                       f"mkfs.ext4 -q -F {IMAGE}", 60)
        lines = (f'name = "{NAME}"', 'memory = "128M"', f'kernel = "{unpacked("debian-6.1")}"',
                 'ramdisk = "/var/lib/torii/images/debian-6.1/initrd.cpio"', 'command-line = "console=hvc0 quiet"', "[[disk]]", f'source = "{IMAGE}"')
        text = " ".join(f"'{line}'" for line in lines)
        self.shell.run(f"printf '%s\\n' {text} >/tmp/{NAME}.toml")

    def live(self, cut):
        """From the guest's start to its end; returns how many changes were heard of."""
        self.shell.run(f"rm -f /var/log/torii/{NAME}.log; torii create /tmp/{NAME}.toml", 120)
        with self.toolstack.console(NAME) as guest:
            guest.run(f"mount -t ext4 /dev/xvda /mnt && (torture write /mnt {cut} >/dev/console 2>&1 &) && true", 60)
        time.sleep(self.random.uniform(0.2, 4))
        if cut % 3 == 0:
            self.shell.run("kill -9 $(pidof toriid | tr ' ' '\\n' | tail -1)")
            time.sleep(self.random.uniform(0, 0.6))
        for _ in range(40):
            if self.shell.attempt(f"torii destroy {NAME}")[0] == 0:
                break
            time.sleep(0.3)
        self.toolstack.wait_gone(NAME)
        return self.known.hear(self.shell.run(f"cat /var/log/torii/{NAME}.log").splitlines())

    def look(self, cut):
        """What the image holds."""
        code, text = self.shell.attempt(f"e2fsck -p {IMAGE}", 60)
        self.findings.check(code == 0, f"cut {cut}: e2fsck has nothing to mend: code {code} {text.strip()[-200:]}") if code else None
        lines = self.shell.run(f"mount -t ext4 -o loop,ro {IMAGE} /mnt && torture check /mnt; umount /mnt", 60).splitlines()
        wrong = self.known.compare(lines)
        if wrong:
            self.findings.check(False, f"cut {cut}: {len(wrong)} places are wrong: {wrong[:4]}")
        # A whole look, now and then, at what a replayed journal leaves.
        if cut % 10 == 0:
            code, text = self.shell.attempt(f"e2fsck -fn {IMAGE}", 60)
            self.findings.check(code == 0, f"cut {cut}: the whole file system is in order: {text.strip()[-120:]}")
        return not wrong

    def run(self, cuts):
        """All of them."""
        self.prepare()
        empty, good = 0, 0
        for cut in range(1, cuts + 1):
            heard = self.live(cut)
            self.changes += heard
            empty = empty + 1 if heard == 0 else 0
            if empty > MOST_EMPTY:
                raise MachineFailure(f"{empty} guests in a row told of no change: {self.shell.run(f'tail -c 300 /var/log/torii/{NAME}.log')}")
            good += self.look(cut)
            if cut % 10 == 0:
                print(f"       {cut} cuts, {self.changes} changes after {self.toolstack.machine.seconds():.0f} s", flush=True)
        self.findings.check(good == cuts and self.changes > cuts, f"{cuts} cuts of power, {self.changes} acknowledged changes, nothing lost after {good} of them")


def main():
    """Exit code 0: nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    programs = {name: f"/usr/sbin/{name}" for name in ("mkfs.ext4", "e2fsck")}
    machine, side = boot("torii", name="power-cuts", guests=("6.1",), time_limit=3600, memory="1536", programs=programs, drivers=("loop",))
    return run_machine(machine, side, lambda findings, toolstack: PowerCuts(findings, toolstack, options.seed).run(options.cuts))


if __name__ == "__main__":
    sys.exit(main())
