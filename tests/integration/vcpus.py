"""vCPUs of a guest: taken on- and offline, pinned, weighed and watched.

    vcpus.py [--hypervisor mixed] [--changes 200]

Shows: vcpu-set takes a Debian guest from four vCPUs to one and back to three, and the guest agrees; vcpu-pin and sched say what
then holds; top tells where the time of each vCPU went; each wrong request is refused with a sentence. With --changes: vcpu-set up
and down so many times while all vCPUs are busy, after which the guest still answers and its kernel has not complained.
"""

import argparse
import sys

from findings import run_machine
from kernel_messages import complaints
from toolstack import boot

GUEST = "v1"
VCPUS = 4
# udev's part: what the kernel makes present, somebody must switch on.
FOLLOWER = ("{ (while :; do for one in /sys/devices/system/cpu/cpu[1-9]*/online; do "
            "[ \"$(cat $one 2>/dev/null)\" = 0 ] && echo 1 >$one 2>/dev/null; done; usleep 200000; done) >/dev/null 2>&1 & }")
LOAD = "for number in $(seq 4); do (while :; do :; done) & done"
# What a refusal must say, by the words that ask for it.
REFUSALS = (
    (f"vcpu-set {GUEST} {VCPUS + 1}", 2, f"at most {VCPUS}"),
    (f"vcpu-pin {GUEST} 9 0", 2, "has no vCPU 9"),
    (f"vcpu-pin {GUEST} 0 999", 2, "there is no CPU 999"),
    (f"sched {GUEST} --weight 0", 2, "--weight"),
    ("pool destroy Pool-0", 7, "cannot be destroyed"),
    ("vcpu-set nobody 1", 3, "no domain"),
)


def create(toolstack):
    """The guest, with somebody in it who switches vCPUs on."""
    toolstack.create(GUEST, description="debian-6.1", memory=192, vcpus=VCPUS)
    with toolstack.console(GUEST) as guest:
        guest.run(FOLLOWER)


def nproc(toolstack):
    """How many CPUs the guest itself counts."""
    with toolstack.console(GUEST) as guest:
        return int(guest.run("nproc").split()[-1])


def online(toolstack):
    """How many the hypervisor counts."""
    return sum(vcpu["state"] != "offline" for vcpu in toolstack.rows(f"vcpu-list {GUEST}")[0]["vcpus"])


def check_hotplug(findings, toolstack):
    """Four to one to three, seen from both sides."""
    findings.check(nproc(toolstack) == VCPUS, f"the guest starts with {VCPUS} CPUs")
    for count in (1, 3):
        told = toolstack.verb("vcpu-set", GUEST, str(count)).strip()
        seen, counted = nproc(toolstack), online(toolstack)
        findings.check(seen == counted == count, f"`{told}`: the guest counts {seen}, the hypervisor {counted}")


def check_share(findings, toolstack):
    """Affinity, weight and time, as the hypervisor tells them afterwards."""
    toolstack.verb("vcpu-pin", GUEST, "1", "0")
    vcpu = toolstack.rows(f"vcpu-list {GUEST}")[0]["vcpus"][1]
    findings.check(vcpu["hard_affinity"] == "0" and vcpu["cpu"] in (0, None), f"vCPU 1 is pinned to CPU 0: {vcpu}")
    toolstack.verb("vcpu-pin", GUEST, "all", "all")
    toolstack.verb("sched", GUEST, "--weight", "512")
    share = next(row for row in toolstack.rows("sched") if row["name"] == GUEST)
    findings.check(share["weight"] == 512, f"its weight is {share['weight']}")
    told = toolstack.verb("top", "--batch", "--iterations", "1")
    findings.check(GUEST in told and "WAIT%" in told, "top lists it")
    times = next(row for row in toolstack.rows("top")["domains"] if row["name"] == GUEST)["vcpus"]
    findings.check(len(times) == VCPUS and all(vcpu["times_ns"] for vcpu in times), f"top tells the times of {len(times)} vCPUs")


def check_refusals(findings, toolstack):
    """Wrong requests."""
    for words, status, sentence in REFUSALS:
        code, told = toolstack.shell.attempt(f"torii {words}")
        findings.check(code == status and sentence in told, f"`torii {words}` ends with {code}: {' '.join(told.split())}")


def check_under_load(findings, toolstack, changes):
    """Up and down while every vCPU is busy."""
    with toolstack.console(GUEST) as guest:
        guest.run(LOAD)
    failed = []
    for number in range(changes):
        count = 1 if number % 2 == 0 else VCPUS - number // 2 % 3
        code, told = toolstack.shell.attempt(f"torii vcpu-set {GUEST} {count} --wait 60", 90)
        if code != 0:
            failed.append(f"change {number} to {count}: {' '.join(told.split())}")
    findings.check(not failed, f"{changes} changes under load, {len(failed)} not followed {failed[:3]}")
    wanted = online(toolstack)
    findings.check(nproc(toolstack) == wanted, f"afterwards both sides count {wanted}")
    with toolstack.console(GUEST) as guest:
        complained = complaints(guest.text("dmesg"))
    findings.check(not complained, f"its kernel complained {len(complained)} times {complained[:3]}")


def parse(arguments):
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    parser.add_argument("--changes", type=int, default=0, help="of the number of vCPUs, under load")
    parser.add_argument("--cpus", type=int, default=2, help="of the machine")
    return parser.parse_args(arguments)


def steps(findings, toolstack, options):
    """All of it."""
    free = toolstack.free_pages()
    create(toolstack)
    check_hotplug(findings, toolstack)
    check_refusals(findings, toolstack)
    check_share(findings, toolstack)
    if options.changes:
        check_under_load(findings, toolstack, options.changes)
    toolstack.verb("destroy", GUEST)
    toolstack.wait_gone(GUEST)
    after = toolstack.wait_free(free)
    findings.check(after == free, f"{free} pages were free before, {after} are now")


def main(arguments):
    """One machine."""
    options = parse(arguments)
    machine, side = boot(options.hypervisor, name=f"vcpus-{options.hypervisor}", guests=["6.1"], cpus=options.cpus,
                         hypervisor_arguments=f"maxcpus={options.cpus}", time_limit=600 + 30 * options.changes)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
