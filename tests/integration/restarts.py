"""toriid is killed again and again, and at named steps; guests don't notice.

    restarts.py [--hypervisor mixed] [--kills 50] [--fail-points all]

A guest counts on its console without pause and asks its xenstore without pause. After every kill: toriid answers again, all
guests are listed, the count on the console has no gap, no xenstore client hangs. At the end shutdown and mem-set (watches set
before the kills) work, and more guests can be created.
"""

import argparse
import re
import sys
import time

from findings import run_machine
from toolstack import SIDES, MachineFailure, boot

SAMPLE = ("create.memory", "create.store-nodes", "destroy.killed", "console.logged", "xenstore.request_applied",
          "xenstore.reply_copied", "xenstore.snapshot_written")
# What a guest does all the while: count on the console; write, read and watch over its own ring; say when a client fails.
COUNTER = "(i=0; while :; do i=$((i+1)); echo \"count $i end\"; usleep 20000; done > /dev/hvc0 &)"
CLIENT = ("(d=$(xenstore-read domid); while :; do xenstore-write /local/domain/$d/data/x 1 && xenstore-read /local/domain/$d/data/x "
          ">/dev/null || echo client-failed >> /tmp/client; echo . >> /tmp/client.alive; done > /dev/null 2>&1 &)")


class Restarts:
    """One machine with its findings."""

    def __init__(self, findings, toolstack):
        self.findings = findings
        self.toolstack = toolstack
        self.shell = toolstack.shell

    def pid(self):
        """toriid's process id, or None while there is none."""
        text = self.shell.attempt("pidof toriid")[1].split()
        return text[-1] if text else None

    def wait_answering(self, tries=40):
        """Wait until toriid answers; whether it did."""
        for _ in range(tries):
            if self.shell.attempt("torii list >/dev/null 2>&1", time_limit=30)[0] == 0:
                return True
            time.sleep(0.5)
        return False

    def wait_new_pid(self, old, tries=40):
        """Wait until toriid was started anew; whether it was."""
        for _ in range(tries):
            if self.pid() not in (None, old):
                return True
            time.sleep(0.5)
        return False

    def kill(self):
        """kill -9, and wait for the next one."""
        old = self.pid()
        self.shell.run(f"kill -9 {old}")
        return self.wait_new_pid(old) and self.wait_answering()

    def kill_often(self, count):
        """Some kills at any time."""
        good = 0
        for number in range(count):
            good += self.kill()
            time.sleep(0.3 * (number % 5))
        self.findings.check(good == count, f"toriid answers again after {good} of {count} kills")
        names = self.toolstack.names()
        self.findings.check("counting" in names and "asking" in names, f"the new toriid lists {' '.join(names)}")

    def check_attached_client(self):
        """Who is attached to a console while toriid is killed is told, and can attach again."""
        self.shell.run("( { torii console counting --expect nothing-like-it --timeout 100; echo \"code $?\"; } > /tmp/attached 2>&1 & )")
        time.sleep(1)
        self.kill()
        told = ""
        for _ in range(20):
            told = self.shell.run("tail -n 2 /tmp/attached")
            if "code" in told:
                break
            time.sleep(0.5)
        self.findings.check("was it restarted" in told and "code 0" not in told, f"who is attached to a console is told: {told.strip()!r}")
        again = self.shell.attempt("torii console counting --expect ' end' --timeout 30 > /dev/null", time_limit=60)[0]
        self.findings.check(again == 0, "and can attach again")

    def fail_at(self, point):
        """Have toriid killed at one step, by doing what leads there; it must be well afterwards."""
        if not self.kill_to_arm(point):
            told = self.shell.attempt("tail -n 3 /var/log/torii/supervise.log")[1]
            self.findings.check(False, f"{point}: toriid did not start with the fail point: {told.strip()}")
            return
        old = self.pid()
        self.shell.attempt("truncate -s 1M /tmp/young.raw; timeout 60 torii create --kernel /var/lib/torii/images/micro.elf --name young "
                           "--memory 8M --paused >/dev/null 2>&1; timeout 30 torii attach disk young /tmp/young.raw >/dev/null 2>&1; "
                           "timeout 30 torii detach young xvda --force >/dev/null 2>&1; timeout 30 torii destroy young >/dev/null 2>&1; "
                           "xenstore-write /x 1 2>/dev/null", time_limit=120)
        fired = self.wait_new_pid(old, tries=30)
        answers = self.wait_answering()
        self.shell.attempt("torii destroy young", time_limit=60)
        # One that is dying still would have the next daemon reach its fail point at its start.
        self.shell.attempt("for i in $(seq 50); do torii info young >/dev/null 2>&1 || break; usleep 200000; done", time_limit=60)
        names = self.toolstack.names() if answers else []
        self.findings.check(fired and answers and sorted(names) == ["asking", "counting"],
                            f"{point}: {'killed there' if fired else 'not reached'}; afterwards {' '.join(names)} are listed")

    def kill_to_arm(self, point):
        """Kill toriid so that the next one takes its words from toriid.once; that one may die at once, so only its start counts."""
        old = self.pid()
        self.shell.run(f"echo '--fail-point {point}' > /run/torii/toriid.once")
        if old is not None:  # otherwise it is about to be started
            self.shell.run(f"kill -9 {old}")
        for _ in range(40):
            if self.shell.attempt("test ! -e /run/torii/toriid.once")[0] == 0:
                return True
            time.sleep(0.5)
        return False

    def check_console(self):
        """The count in the console's log has no gap."""
        text = self.shell.run("cat /var/log/torii/counting.log.1 /var/log/torii/counting.log 2>/dev/null | grep -o 'count [0-9]* end' | "
                              "awk '{ if (last && $2 != last + 1) print \"gap\", last, $2; last = $2; n++ } END { print \"lines\", n }'")
        lines = int(re.search(r"lines (\d+)", text).group(1))
        self.findings.check("gap" not in text and lines > 100, f"console: {lines} lines, {text.count('gap')} gaps {text[:120]!r}")

    def check_clients(self):
        """The guest's xenstore client has gone on and never failed."""
        with self.toolstack.console("asking") as guest:
            first = int(guest.run("wc -l < /tmp/client.alive").split()[0])
            time.sleep(2)
            second = int(guest.run("wc -l < /tmp/client.alive").split()[0])
            failed = guest.run("cat /tmp/client 2>/dev/null | wc -l").split()[0]
        self.findings.check(second > first, f"the guest's xenstore client goes on ({first}, then {second} rounds)")
        self.findings.check(failed == "0", f"the guest's xenstore client failed {failed} times")


def steps(findings, toolstack, options):
    """All of it."""
    free = toolstack.free_pages()
    for name in ("counting", "asking"):
        toolstack.create(name, description="debian-6.1", memory=160)
    with toolstack.console("asking") as guest:
        guest.run(CLIENT)
    toolstack.shell.run(f"torii console counting --send '\n{COUNTER}\n' --expect 'count 3 end' --timeout 60 > /dev/null", time_limit=90)
    restarts = Restarts(findings, toolstack)
    restarts.kill_often(options.kills)
    restarts.check_attached_client()
    points = toolstack.shell.run("toriid --list-fail-points").split() if options.fail_points == "all" else SAMPLE
    for point in points:
        restarts.fail_at(point)
    restarts.check_console()
    restarts.check_clients()
    finish(findings, toolstack, free)


def finish(findings, toolstack, free):
    """What rests on watches set before the kills, and what a new daemon must be able to do."""
    before = toolstack.free_pages()
    toolstack.verb("mem-set", "asking", "128M")
    after = toolstack.wait_free(before + 32 * 256)
    findings.check(abs(after - before - 32 * 256) <= 64, f"mem-set: the guest gave {after - before} pages back")
    toolstack.create("another", description="debian-6.1", memory=160)
    with toolstack.console("another") as guest:
        findings.check("42" in guest.run("echo $((6 * 7))"), "another guest is created and answers")
    for name in ("asking", "another"):
        toolstack.verb("shutdown", name)
        try:
            toolstack.wait_gone(name)
            findings.check(True, f"shutdown: {name} has ended")
        except MachineFailure as failure:
            findings.check(False, f"shutdown: {failure}")
    toolstack.verb("destroy", "counting")
    toolstack.wait_gone("counting")
    left = toolstack.wait_free(free)
    findings.check(abs(left - free) <= (1 if toolstack.name == "mixed" else 0), f"{free} pages were free before, {left} are now")


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=SIDES[::2])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--fail-points", default="some", choices=("some", "all"))
    return parser.parse_args(arguments)


def main(arguments):
    """One machine."""
    options = parse(arguments)
    machine, side = boot(options.hypervisor, name=f"restarts-{options.hypervisor}", guests=["6.1"], time_limit=2400)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
