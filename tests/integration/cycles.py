"""Guests are created and destroyed again and again, some in the middle of their boot; nothing is left behind.

    cycles.py [--hypervisor mixed] [--micro 190] [--debian 10]

Counted before and after: free pages, xenstore nodes, file descriptors of toriid, domains, event channels of dom0.
"""

import argparse
import sys
import time

from findings import run_machine
from toolstack import SIDES, boot

MICRO_KERNEL = "/var/lib/torii/images/micro.elf"


def counts(toolstack):
    """What must be the same before and after."""
    shell = toolstack.shell
    return {
        "free pages": toolstack.free_pages(),
        "xenstore nodes": int(shell.run("xenstore-ls / | wc -l").split()[0]),
        "toriid's descriptors": int(shell.run("ls /proc/$(pidof toriid | cut -d' ' -f1)/fd | wc -l").split()[0]),
        "event channels": int(shell.run("grep -c xen- /proc/interrupts").split()[0]),
        "domains": len(toolstack.names()),
    }


def micro_cycle(shell, number):
    """One guest of a few pages: every third is destroyed as soon as it runs, every fourth while paused."""
    paused = " --paused" if number % 4 == 0 else ""
    pause = "" if number % 3 == 0 else "usleep 50000; "
    shell.run(f"torii create --name cycle --kernel {MICRO_KERNEL} --memory 8M --on-poweroff preserve{paused} >/dev/null && {pause}"
              "torii destroy cycle >/dev/null", time_limit=60)


def debian_cycle(toolstack, number):
    """A stock kernel: killed in its boot, at a moment that differs each time, or when it is up."""
    toolstack.create("cycle", description="debian-6.1", memory=160)
    if number % 3 == 2:
        with toolstack.console("cycle"):
            pass
    else:
        time.sleep(0.4 * (number % 7))
    toolstack.verb("destroy", "cycle")
    toolstack.wait_gone("cycle")


def steps(findings, toolstack, options):
    """One cycle of each kind first: what is made once and kept is not counted."""
    micro_cycle(toolstack.shell, 1)
    debian_cycle(toolstack, 2)
    time.sleep(2)
    before = counts(toolstack)
    for number in range(options.micro):
        micro_cycle(toolstack.shell, number)
        if number % 50 == 49:
            print(f"       {number + 1} micro-guests after {toolstack.machine.seconds():.0f} s", flush=True)
    for number in range(options.debian):
        debian_cycle(toolstack, number)
    toolstack.wait_free(before["free pages"])
    after = counts(toolstack)
    for what, number in before.items():
        findings.check(after[what] == number, f"{what}: {number} before, {after[what]} after {options.micro} + {options.debian} cycles")


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=SIDES[::2])
    parser.add_argument("--micro", type=int, default=20)
    parser.add_argument("--debian", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments):
    """One machine."""
    options = parse(arguments)
    machine, side = boot(options.hypervisor, name=f"cycles-{options.hypervisor}", guests=["6.1"], time_limit=2400)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
