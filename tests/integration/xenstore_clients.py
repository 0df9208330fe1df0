"""Debian's own xenstore clients, in dom0 on the socket and inside a guest; concurrent transactions; permissions; a flood.

    xenstore_clients.py [--hypervisor mixed] [--rounds N]
"""

import argparse
import re
import sys

from findings import run_machine
from toolstack import SIDES, boot, time_factor

SOCKET = "/run/xenstored/socket"
CLIENTS = 10
# Each increment is repeated some seven times until it does not collide: some 10,000 operations. A long test does 170.
ROUNDS = 30


def check_clients(findings, shell, where, base):
    """read, write, ls, chmod, watch, exists, rm on one node."""
    shell.run(f"xenstore-write {base}/a one {base}/b two")
    findings.check(shell.run(f"xenstore-read {base}/a {base}/b").split() == ["one", "two"], f"{where}: write and read")
    findings.check(shell.run(f"xenstore-list {base}").split() == ["a", "b"], f"{where}: list")
    listed = shell.run(f"xenstore-ls {base}")
    findings.check('a = "one"' in listed and 'b = "two"' in listed, f"{where}: ls")
    shell.run(f"rm -f /tmp/watched; (timeout 5 xenstore-watch -n 2 {base}/a > /tmp/watched &) ; sleep 0.5; xenstore-write {base}/a three; sleep 1")
    watched = shell.run("cat /tmp/watched").split()
    findings.check(watched == [f"{base}/a"] * 2, f"{where}: watch fired for {watched}")
    shell.run(f"xenstore-rm {base}/b")
    code, _ = shell.attempt(f"xenstore-exists {base}/b")
    findings.check(code != 0, f"{where}: rm and exists")


def check_load(findings, shell, rounds):
    """Concurrent transactions lose nothing."""
    code, output = shell.attempt(f"xenstore_load {SOCKET} /load {CLIENTS} {rounds}", time_limit=240)
    wanted = f"{CLIENTS * rounds} of {CLIENTS * rounds} increments"
    findings.check(code == 0 and wanted in output, f"dom0: {output.strip().splitlines()[-1] if output.strip() else 'no answer'}")
    repeats = sum(int(number) for number in re.findall(r"(\d+) repeats", output))
    findings.check(repeats > 0, f"dom0: transactions did collide ({repeats} repeats)")


def check_guest_limits(findings, toolstack, guest):
    """What a guest may not do is refused; what dom0 allows it is not."""
    domid = guest.run("xenstore-read domid").split()[0]
    home = f"/local/domain/{domid}"
    check_clients(findings, guest, "guest", f"{home}/data")
    for path in (f"{home}/name", "/local/domain/0/name", "/tool/x", f"{home}/console/ring-ref"):
        code, _ = guest.attempt(f"xenstore-write {path} stolen")
        findings.check(code != 0, f"guest: may not write {path}")
    return domid


def check_permissions(findings, toolstack, name, domid):
    """dom0 gives a node to the guest by chmod and takes it back."""
    toolstack.shell.run(f"xenstore-write /shared/node secret && xenstore-chmod /shared n0 && xenstore-chmod /shared/node n0")
    with toolstack.console(name) as guest:
        code, _ = guest.attempt("xenstore-read /shared/node")
        findings.check(code != 0, "guest: can't read what it has no permission for")
    toolstack.shell.run(f"xenstore-chmod /shared/node n0 b{domid}")
    with toolstack.console(name) as guest:
        findings.check(guest.run("xenstore-read /shared/node").split() == ["secret"], "guest: reads what dom0 allowed")
        guest.run("xenstore-write /shared/node answer")
    findings.check(toolstack.shell.run("xenstore-read /shared/node").split() == ["answer"], "dom0: reads what the guest wrote")


def check_flood(findings, toolstack, flooder, other):
    """A guest that writes without end meets its quota; another guest's requests are answered meanwhile."""
    with toolstack.console(flooder) as guest:
        domid = guest.run("xenstore-read domid").split()[0]
        told = guest.run(f"xenstore_load /dev/xen/xenbus /local/domain/{domid}/data 1 0", time_limit=120)
        match = re.search(r"refused with (\w+) after (\d+) nodes", told)
        findings.check(match is not None and match.group(1) in ("EQUOTA", "ENOSPC"), f"guest: {told.strip()}")
        guest.run(f"(while :; do xenstore_load /dev/xen/xenbus /local/domain/{domid}/data 1 0; done > /dev/null 2>&1 &)")
    with toolstack.console(other) as guest:
        took = guest.run("start=$(cut -d' ' -f1 /proc/uptime); for i in 1 2 3 4 5 6 7 8 9 10; do xenstore-read domid >/dev/null; done; "
                         "echo $start $(cut -d' ' -f1 /proc/uptime)").split()
        seconds = float(took[1]) - float(took[0])
        findings.check(seconds < 10 * time_factor(), f"another guest's ten reads beside the flood took {seconds:.2f} s")


def steps(findings, toolstack, rounds=ROUNDS):
    """All of it."""
    check_clients(findings, toolstack.shell, "dom0", "/test")
    check_load(findings, toolstack.shell, rounds)
    for name in ("one", "two"):
        toolstack.create(name, description="debian-6.1", memory=160)
    with toolstack.console("one") as guest:
        domid = check_guest_limits(findings, toolstack, guest)
    check_permissions(findings, toolstack, "one", domid)
    check_flood(findings, toolstack, "one", "two")
    for name in ("one", "two"):
        toolstack.verb("destroy", name)
    code, _ = toolstack.shell.attempt(f"xenstore-exists /local/domain/{domid}")
    findings.check(code != 0, "a destroyed guest's nodes are gone")

def main(arguments):
    """One machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=SIDES)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="increments per client; each is 6 operations (default: %(default)s)")
    options = parser.parse_args(arguments)

    machine, side = boot(options.hypervisor, name=f"xenstore-{options.hypervisor}", guests=["6.1"], time_limit=600)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options.rounds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
