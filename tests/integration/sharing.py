"""Who gets how much of the CPUs, and which: weights and caps, affinity and pools changed under load.

    sharing.py [--hypervisor mixed] [--cpus 1] [--seconds 20] [--changes 10]

With one CPU: two busy guests get time by their weights, and a capped one no more than its cap, each within 5 %. With more: a guest
whose vCPUs are all busy is pinned here and there, and moved between pools that are made, filled, emptied and removed meanwhile; its
vCPUs run where they may, it still answers, and its kernel does not complain.
"""

import argparse
import sys

from findings import run_machine
from kernel_messages import complaints
from toolstack import boot, unpacked
from vcpus import FOLLOWER, LOAD

GUESTS = ("first", "second")
TOLERANCE = 0.05
BUSY = "{ (while :; do :; done) & }"


def create(toolstack, name, vcpus, load):
    """A Debian guest, all of whose vCPUs are busy."""
    toolstack.shell.run(f"torii create /etc/torii/guests/debian-6.1.toml --name {name} --kernel {unpacked('debian-6.1')} "
                        f"--vcpus {vcpus} --max-vcpus {vcpus} --memory 160M", 90)
    with toolstack.console(name) as guest:
        if vcpus > 1:
            guest.run(FOLLOWER)
        guest.run(load)


def used(toolstack, name):
    """The time that a domain's vCPUs have run, in nanoseconds."""
    domain = next(row for row in toolstack.rows("top")["domains"] if row["name"] == name)
    return sum(vcpu["times_ns"]["run"] for vcpu in domain["vcpus"])


def shares(toolstack, seconds):
    """What the guests and all domains used in that time, and how long it was, in nanoseconds."""
    def look():
        uptime = float(toolstack.shell.run("cat /proc/uptime").split()[0]) * 1e9
        return [used(toolstack, name) for name in GUESTS], uptime
    (before, began) = look()
    toolstack.shell.run(f"sleep {seconds}", seconds + 60)
    (after, ended) = look()
    return [last - first for first, last in zip(before, after)], ended - began


def near(value, wanted):
    """Whether it is within the tolerance."""
    return abs(value / wanted - 1) <= TOLERANCE


def check_shares(findings, toolstack, options):
    """On one CPU, in real time."""
    for name in GUESTS:
        create(toolstack, name, 1, BUSY)
    for weights in ((256, 256), (256, 512), (300, 100)):
        for name, weight in zip(GUESTS, weights):
            toolstack.verb("sched", name, "--weight", str(weight))
        (first, second), _ = shares(toolstack, options.seconds)
        findings.check(near(first / second, weights[0] / weights[1]),
                       f"weights {weights[0]} and {weights[1]}: {first / 1e9:.2f} s and {second / 1e9:.2f} s")
    for cap in (10, 40):
        toolstack.verb("sched", GUESTS[0], "--cap", str(cap))
        (first, _), passed = shares(toolstack, options.seconds)
        findings.check(near(first / passed, cap / 100), f"a cap of {cap} %: {first / passed:.1%} of {passed / 1e9:.2f} s")
    for name in GUESTS:
        toolstack.verb("destroy", name)
        toolstack.wait_gone(name)


def places(toolstack, name):
    """The CPUs on which a domain's vCPUs are."""
    return {vcpu["cpu"] for vcpu in toolstack.rows(f"vcpu-list {name}")[0]["vcpus"]} - {None}


def check_affinity(findings, toolstack, name, options):
    """Pinned to each CPU in turn, and to all."""
    wrong = []
    for number in range(options.changes):
        cpu = number % options.cpus
        toolstack.verb("vcpu-pin", name, "all", str(cpu))
        toolstack.shell.run("usleep 100000")
        seen = places(toolstack, name)
        if seen != {cpu}:
            wrong.append(f"{seen} in place of {cpu}")
    toolstack.verb("vcpu-pin", name, "all", "all")
    findings.check(not wrong, f"{options.changes} changes of affinity under load, {len(wrong)} not followed {wrong[:3]}")


def check_pools(findings, toolstack, name, options):
    """A pool of the upper half of the CPUs, as long as it takes to move there and back."""
    upper = range(options.cpus // 2, options.cpus)
    text = f"{upper[0]}-{upper[-1]}"
    wrong = []
    for _ in range(options.changes):
        for words in (f"remove-cpu Pool-0 {text}", f"create other --cpus {text}", f"move {name} other"):
            toolstack.shell.run(f"torii pool {words}")
        toolstack.shell.run("usleep 100000")
        seen = places(toolstack, name)
        if not seen <= set(upper):
            wrong.append(f"{seen} in place of {text}")
        code = toolstack.shell.attempt("torii pool destroy other")[0]
        if code == 0:
            wrong.append("a pool with a domain was removed")
        for words in (f"move {name} Pool-0", "destroy other", f"add-cpu Pool-0 {text}"):
            toolstack.shell.run(f"torii pool {words}")
    pools = toolstack.rows("pool")["pools"]
    findings.check(not wrong, f"{options.changes} times to another pool and back under load, {len(wrong)} wrong {wrong[:3]}")
    findings.check(len(pools) == 1, f"afterwards there are {len(pools)} pools")


def check_places(findings, toolstack, options):
    """On more CPUs."""
    name = GUESTS[0]
    create(toolstack, name, 4, LOAD)
    check_affinity(findings, toolstack, name, options)
    check_pools(findings, toolstack, name, options)
    with toolstack.console(name) as guest:
        findings.check("42" in guest.run("echo $((6 * 7))"), "the guest still answers")
        complained = complaints(guest.run("dmesg"))
    findings.check(not complained, f"its kernel complained {len(complained)} times {complained[:3]}")
    toolstack.verb("destroy", name)
    toolstack.wait_gone(name)


def steps(findings, toolstack, options):
    """What the number of CPUs allows, and every page is back."""
    free = toolstack.free_pages()
    (check_shares if options.cpus == 1 else check_places)(findings, toolstack, options)
    after = toolstack.wait_free(free)
    findings.check(after == free, f"{free} pages were free before, {after} are now")


def parse(arguments):
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    parser.add_argument("--cpus", type=int, default=1, help="of the machine")
    parser.add_argument("--seconds", type=int, default=20, help="of each share's measurement")
    parser.add_argument("--changes", type=int, default=10, help="of affinity, and of the pool")
    return parser.parse_args(arguments)


def main(arguments):
    """One machine."""
    options = parse(arguments)
    machine, side = boot(options.hypervisor, name=f"sharing-{options.cpus}", guests=["6.1"], cpus=options.cpus,
                         hypervisor_arguments=f"maxcpus={options.cpus}", time_limit=900 + 40 * options.changes)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
