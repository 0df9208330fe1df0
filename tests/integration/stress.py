"""All CPUs busy in dom0 and in four guests at once, for long.

    stress.py [--hypervisor xen] [--cpus 2] [--minutes 20]

Dom0 has all CPUs of the machine as vCPUs, each guest four. In each of the five domains stress-ng runs for the given time: arithmetic,
memory, fork, futex and mmap, each checking its own results. Shows: no CPU, vCPU or task stands still (the hypervisor's watchdog, the
kernels' soft lockup, hung task and RCU stall detectors), each stress-ng ends well and has got something done, no kernel complains, and
when all guests are shut down every page is back. Then, on Torii, the micro-guests on as many CPUs. What each kernel and each stress-ng
said is kept beside the log, to be held against the same on Xen.
"""

import argparse
import contextlib
import re
import sys
import time

from findings import run_machine
from kernel_messages import complaints
from toolstack import BUILD, ROOT, SIDES, MachineFailure, boot, only_one, run, time_factor

from image import parts

GUESTS = ("s1", "s2", "s3", "s4")
VCPUS = 4
MEMORY = 192
# MiB that stress-ng passes over, each pass being an operation; less in dom0, whose vCPUs are the fewer: some must come about in minutes.
GUEST_LOAD = 16
DOM0_LOAD = 4
STRESSORS = ("cpu", "vm", "fork", "futex", "mmap")
# Debian's package, what it depends on, and what that does; all but the C library, which is the host's.
PACKAGES = ("stress-ng", "libapparmor1", "libbsd0", "libcrypt1", "libegl1", "libgbm1", "libgles2", "libipsec-mb1", "libjpeg62-turbo",
            "libjudydebian1", "libkmod2", "libsctp1", "libxxhash0", "zlib1g", "libglvnd0", "libmd0", "libdrm2", "libwayland-server0",
            "libexpat1", "libffi8", "libzstd1", "liblzma5", "libssl3")
POLL = 20
# How much later than it was told to a stress-ng may end, and how long dom0 may take for an answer when all is busy.
GRACE = 240
PATIENCE = 240
# What a hypervisor says when it, a CPU or a domain is at its end.
ALARM = re.compile(r"^.*\((?:torii|XEN)\).*(?:panic|BUG|assert|killed|crashed|hang|watchdog|stuck|lockup).*$", re.IGNORECASE | re.MULTILINE)
METRIC = re.compile(r"\] (\w+) +(\d+) +[\d.]+ +[\d.]+ ")


def programs():
    """stress-ng with its libraries, and what starts it."""
    with only_one("images"):
        return {"stress-ng": parts.packaged_program("usr/bin/stress-ng", PACKAGES),
                "stress_load": ROOT / "tests/integration/programs/stress_load.sh"}


class Stress:
    """One machine with its findings."""

    def __init__(self, findings, toolstack, options):
        self.findings = findings
        self.toolstack = toolstack
        self.shell = toolstack.shell
        self.seconds = round(options.minutes * 60)
        self.domains = {"dom0": 0}
        self.console_start = 0

    def arm(self, shell, mib):
        """Have a domain wait for the word to begin."""
        shell.run(f"(stress_load {self.seconds} {mib} </dev/null >/dev/null 2>&1 &)", PATIENCE)

    def create(self):
        """The guests, all booting at once; then each with its load ready."""
        for name in GUESTS:
            self.toolstack.create(name, description="debian-6.1", memory=MEMORY, vcpus=VCPUS)
        for name in GUESTS:
            self.in_guest(name, lambda guest, name=name: self.prepare(name, guest))
        self.arm(self.shell, DOM0_LOAD)
        self.shell.run("renice -n -20 $$")  # so that dom0's load is its load, and not how long the test waits for it

    def prepare(self, name, guest):
        """A guest that has come up with all its vCPUs gets its load ready."""
        number, counted = int(guest.run("xenstore-read domid").split()[-1]), int(guest.run("nproc").split()[-1])
        self.arm(guest, GUEST_LOAD)
        self.domains[name] = number
        self.findings.check(counted == VCPUS, f"{name} is domain {number} and counts {counted} CPUs")

    def begin(self):
        """Let all loads begin."""
        self.console_start = len(self.toolstack.machine.console.text)
        keys = " ".join(f"/local/domain/{domain}/data/go 1" for domain in self.domains.values())
        self.shell.run(f"xenstore-write {keys}", PATIENCE)

    def ended(self):
        """How each stress-ng ended: name to code, or None while it runs."""
        told = self.shell.text("for number in " + " ".join(map(str, self.domains.values())) + "; do "
                               "xenstore-read /local/domain/$number/data/ended 2>/dev/null || echo -; done", PATIENCE).split()
        return {name: None if code == "-" else int(code) for name, code in zip(self.domains, told)}

    def wait(self):
        """Wait for all to end, and tell meanwhile who got how much of the CPUs; returns how each ended."""
        began, slowest = time.monotonic(), 0.0
        before, passed = self.toolstack.figures(), 0.0
        codes = dict.fromkeys(self.domains)
        while None in codes.values() and passed < self.seconds + GRACE * time_factor():
            time.sleep(POLL)
            asked = time.monotonic()
            figures = self.toolstack.figures()
            slowest = max(slowest, time.monotonic() - asked)
            now = time.monotonic() - began
            codes = self.ended() if now > self.seconds else codes
            shares = {name: (figures.get(f"d{domain}", 0) - before.get(f"d{domain}", 0)) / 1e7 / (now - passed)
                      for name, domain in self.domains.items()}
            print(f"       {now:4.0f} of {self.seconds} s, dom0 answered in {now + began - asked:.1f} s; percent of a CPU: " +
                  ", ".join(f"{name} {share:.0f}" for name, share in shares.items()), flush=True)
            before, passed = figures, now
        print(f"       the slowest answer of dom0 took {slowest:.1f} s", flush=True)
        return codes

    def check_domain(self, name, code, shell):
        """What a domain's stress-ng and kernel have said."""
        said, messages = shell.text("cat /tmp/stress", PATIENCE), shell.text("dmesg", PATIENCE)
        self.keep(name, f"{said}\n{messages}")
        done = {stressor: int(count) for stressor, count in METRIC.findall(said)}
        self.findings.check(code == 0 and all(done.get(stressor, 0) > 0 for stressor in STRESSORS),
                            f"{name}: stress-ng ended with {code}, bogo operations: " +
                            ", ".join(f"{stressor} {done.get(stressor, 0)}" for stressor in STRESSORS))
        if code != 0:
            print(said)
        complained = complaints(messages)
        for line in complained[:20]:
            print(f"       {line}")
        self.findings.check(not complained, f"{name}: {len(complained)} complaints in {len(messages.splitlines())} messages of its kernel")

    def in_guest(self, name, act):
        """Do something over a guest's console; one that does not answer there is told about by its log, and the others go on."""
        try:
            with self.toolstack.console(name) as guest:
                act(guest)
        except MachineFailure as failure:
            self.findings.check(False, f"{name}: {failure}")
            self.shell.leave_console()
            log = self.shell.text(f"tail -n 300 {self.toolstack.guest_log.format(name)}", PATIENCE)
            self.keep(name, log)
            print(f"The end of its console:\n{log[-3000:]}")

    def keep(self, name, text):
        """Keep what a domain said beside the machine's log."""
        path = self.toolstack.machine.log_path.with_suffix(f".{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check_hypervisor(self):
        """The hypervisor's own words since the load began."""
        alarms = [match.strip() for match in ALARM.findall(self.toolstack.machine.console.text[self.console_start:])]
        self.findings.check(not alarms, f"the hypervisor raised {len(alarms)} alarms {alarms[:3]}")

    def shut_down(self):
        """Every guest goes when told to."""
        for name in GUESTS:
            with contextlib.suppress(MachineFailure):  # told about below
                self.toolstack.verb("shutdown", name)
        for name in GUESTS:
            try:
                self.toolstack.wait_gone(name)
            except MachineFailure as failure:
                self.findings.check(False, f"shutdown: {failure}")
                self.toolstack.verb("destroy", name)
                self.toolstack.wait_gone(name)
        self.findings.check(not self.toolstack.names(), "all guests are gone")


def steps(findings, toolstack, options):
    """All of it."""
    stress = Stress(findings, toolstack, options)
    counted = int(toolstack.shell.run("nproc").split()[-1])
    findings.check(counted == options.cpus, f"dom0 counts {counted} CPUs")
    free = toolstack.free_pages()
    stress.create()
    stress.begin()
    codes = stress.wait()
    stress.check_domain("dom0", codes["dom0"], toolstack.shell)
    for name in [name for name in codes if name != "dom0"]:
        stress.in_guest(name, lambda guest, name=name: stress.check_domain(name, codes[name], guest))
    stress.check_hypervisor()
    stress.shut_down()
    after = toolstack.wait_free(free)
    # Xen keeps a page of its grant tracking for good after the first guest.
    own = 1 if toolstack.name == "xen" else 0
    findings.check(free - own <= after <= free, f"{free} pages were free before, {after} are now")


def run_micro_guests(options):
    """The conformance tests on as many CPUs; returns their exit code."""
    print(f"The micro-guests on {options.cpus} CPUs", flush=True)
    return run([sys.executable, ROOT / "tests/guests/run.py", "--hypervisor", BUILD / "torii.elf", "--guest", BUILD / "guests/conformance.elf",
                "--cpus", options.cpus, "--hypervisor-arguments", f"maxcpus={options.cpus}", "--time-factor", max(3, time_factor())],
               check=False).returncode


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=SIDES)
    parser.add_argument("--cpus", type=int, default=2, help="of the machine and of dom0")
    parser.add_argument("--minutes", type=float, default=1, help="of load")
    return parser.parse_args(arguments)


def main(arguments):
    """One machine under load, then the micro-guests."""
    options = parse(arguments)
    # Xen's watchdog needs performance counters, which the emulated processor has not.
    watchdog = " watchdog" if options.hypervisor == "torii" else ""
    machine, side = boot(options.hypervisor, name=f"stress-{options.hypervisor}-{options.cpus}", guests=["6.1"], cpus=options.cpus,
                         memory="3072", hypervisor_arguments=f"maxcpus={options.cpus}{watchdog}",
                         time_limit=options.minutes * 60 + 1200, programs=programs())
    code = run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))
    if options.hypervisor == "torii":
        code = run_micro_guests(options) or code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
