"""Clocks on many CPUs: they never go backwards between vCPUs, and those of all domains show the same time.

    clocks.py [--hypervisor mixed] [--seconds 3600] [--cpus 4]

In dom0 and in a guest, both with a vCPU per CPU, all vCPUs read the clock in turn. Before and afterwards the wall clocks of the two
are compared, each against the time stamp counter that they share.
"""

import argparse
import re
import sys
import time

from findings import run_machine
from held_frames import Neighbour
from toolstack import boot, unpacked

GUEST = "clock"
MOST_APART = 1_000_000  # nanoseconds
# udev's part.
SWITCH_ON = "for one in /sys/devices/system/cpu/cpu[1-9]*/online; do echo 1 > $one 2>/dev/null; done; true"


def time_of(shell):
    """A domain's wall clock in nanoseconds, and the time stamp counter at that moment."""
    return tuple(int(number) for number in re.search(r"realtime (\d+) tsc (\d+)", shell.run("clock_order now")).groups())


def apart(toolstack, ask):
    """Another domain's wall clock minus dom0's, in nanoseconds; dom0 is asked before and after, which tells how fast the counter is."""
    first = time_of(toolstack.shell)
    time.sleep(1)
    asked = ask()
    last = time_of(toolstack.shell)
    rate = (last[0] - first[0]) / (last[1] - first[1])
    return asked[0] - (first[0] + (asked[1] - first[1]) * rate)


def guest_apart(toolstack):
    """Of the Debian guest. Its kernel reads the wall clock once, and does not count the time of its own first steps: what it must
    do is to go as fast as dom0's."""
    with toolstack.console(GUEST) as guest:
        return apart(toolstack, lambda: time_of(guest))


def check_order(findings, toolstack, options):
    """All vCPUs of both domains in turn, at the same time."""
    toolstack.shell.run(f"{{ (clock_order {options.seconds}; echo ended) > /tmp/order 2>&1 & }}")
    with toolstack.console(GUEST) as guest:
        report(findings, GUEST, guest.run(f"clock_order {options.seconds}", options.seconds + 60), options)
    toolstack.shell.run("while ! grep -q ended /tmp/order; do sleep 1; done", 60)
    report(findings, "dom0", toolstack.shell.run("cat /tmp/order"), options)


def report(findings, name, text, options):
    """What clock_order said."""
    found = re.search(r"cpus (\d+) readings (\d+) backwards (\d+) most (\d+)", text)
    if found is None:
        findings.check(False, f"{name}: clock_order answers {text.strip()!r}")
        return
    cpus, readings, backwards, most = (int(number) for number in found.groups())
    findings.check(cpus == options.cpus and readings >= 10 * options.seconds,
                   f"{name}: {cpus} vCPUs read the clock {readings} times in {options.seconds} s")
    findings.check(backwards == 0, f"{name}: {backwards} times it went backwards, by {most} ns at most")


def steps(findings, toolstack, options):
    """All of it."""
    toolstack.shell.run(f"torii create /etc/torii/guests/debian-6.1.toml --name {GUEST} --kernel {unpacked('debian-6.1')} "
                        f"--vcpus {options.cpus} --max-vcpus {options.cpus} --memory 160M", 90)
    with toolstack.console(GUEST) as guest:
        guest.run(SWITCH_ON)
    neighbour = Neighbour(toolstack, "neighbour")
    before = guest_apart(toolstack)
    check_order(findings, toolstack, options)
    moved = guest_apart(toolstack) - before
    findings.check(abs(moved) <= MOST_APART, f"in {options.seconds} s the guest's wall clock moved by {moved / 1000:.1f} us from dom0's")
    now = apart(toolstack, lambda: neighbour.order("clock"))
    findings.check(abs(now) <= MOST_APART, f"the wall clock that guests are given is {now / 1000:.1f} us from dom0's")
    for name in (GUEST, "neighbour"):
        toolstack.verb("destroy", name)
        toolstack.wait_gone(name)


def parse(arguments):
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    parser.add_argument("--seconds", type=int, default=10, help="of reading clocks")
    parser.add_argument("--cpus", type=int, default=2, help="of the machine, of dom0 and of the guest")
    return parser.parse_args(arguments)


def main(arguments):
    """One machine."""
    options = parse(arguments)
    machine, side = boot(options.hypervisor, name="clocks", guests=["6.1"], cpus=options.cpus,
                         hypervisor_arguments=f"maxcpus={options.cpus}", time_limit=600 + 2 * options.seconds)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
