"""Eight guests at once, and every verb on them.

    lifecycle.py [--hypervisor xen]

Shows: each guest has its own console and answers with its own nonce; pause stops it and unpause lets it go on; rename, mem-set
and reboot do what they say; after shutdown and destroy all memory is back.
"""

import argparse
import secrets
import sys
import time

from findings import run_machine
from toolstack import SIDES, MachineFailure, boot

COUNT = 8
MEMORY = 160


def create_all(findings, toolstack):
    """Start the guests without waiting for one to come up before the next; returns name to nonce."""
    nonces = {f"g{number}": secrets.token_hex(6) for number in range(1, COUNT + 1)}
    for name, nonce in nonces.items():
        toolstack.create(name, description="debian-6.1", arguments=f"nonce={nonce}", memory=MEMORY)
    names = toolstack.names()
    findings.check(sorted(names) == sorted(nonces), f"{COUNT} guests are listed at once: {' '.join(names)}")
    return nonces


def nonce_over_console(toolstack, name):
    """What the guest says of itself on its console."""
    with toolstack.console(name) as guest:
        return guest.run("sed 's/.*nonce=//' /proc/cmdline").split()[0]


def uptime(toolstack, name):
    """Seconds since the guest booted, by its own clock."""
    with toolstack.console(name) as guest:
        return float(guest.run("cut -d' ' -f1 /proc/uptime"))


def check_pause(findings, toolstack):
    """A paused guest uses no processor time; afterwards it goes on."""
    toolstack.verb("pause", "g1")
    domain = max(int(key[1:]) for key in toolstack.figures() if key.startswith("d") and key[1:].isdigit()) - COUNT + 1
    before = toolstack.figures()[f"d{domain}"]
    time.sleep(2)
    after = toolstack.figures()[f"d{domain}"]
    findings.check(before == after, f"g1 paused: its processor time stands still at {after} ns")
    toolstack.verb("unpause", "g1")
    findings.check(uptime(toolstack, "g1") > 0, "g1 unpaused: it answers again")


def check_balloon(findings, toolstack):
    """mem-set takes memory from a guest, and its hypervisor's accounts say so."""
    free = toolstack.free_pages()
    toolstack.verb("mem-set", "g2", f"{MEMORY - 32}M" if toolstack.name == "torii" else str(MEMORY - 32))
    wanted = free + 32 * 256
    found = toolstack.wait_free(wanted)
    findings.check(abs(found - wanted) <= 64, f"g2 gave {found - free} of {32 * 256} pages back")


def check_rename_and_reboot(findings, toolstack):
    """A new name holds at once; a reboot starts the guest anew under its name."""
    toolstack.verb("rename", "g3", "renamed")
    findings.check("renamed" in toolstack.names() and "g3" not in toolstack.names(), "g3 is listed as `renamed`")
    before = uptime(toolstack, "renamed")
    toolstack.verb("reboot", "renamed")
    after = before
    for _ in range(10):
        time.sleep(4)
        try:
            after = uptime(toolstack, "renamed")
        except MachineFailure:
            toolstack.shell.begin()
        if after < before:
            break
    findings.check(after < before, f"`renamed` was rebooted (up {before:.0f} s, then {after:.0f} s)")


def steps(findings, toolstack):
    """All of it."""
    free = toolstack.free_pages()
    nonces = create_all(findings, toolstack)
    for name, nonce in nonces.items():
        told = nonce_over_console(toolstack, name)
        findings.check(told == nonce, f"{name} answers with its own nonce {told}")
    check_pause(findings, toolstack)
    check_balloon(findings, toolstack)
    check_rename_and_reboot(findings, toolstack)
    left = toolstack.names()
    for name in left[:4]:
        toolstack.verb("shutdown", name)
    for name in left[4:]:
        toolstack.verb("destroy", name)
    for name in left:
        toolstack.wait_gone(name)
    findings.check(not toolstack.names(), "four are shut down, four destroyed, none is listed")
    after = toolstack.wait_free(free)
    # Xen keeps a page of its grant tracking for good after the first guest.
    own = 1 if toolstack.name == "xen" else 0
    findings.check(free - own <= after <= free, f"{free} pages were free before, {after} are now")


def main(arguments):
    """One machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=SIDES)
    options = parser.parse_args(arguments)
    machine, side = boot(options.hypervisor, name=f"lifecycle-{options.hypervisor}", guests=["6.1"], memory="3072", time_limit=500)
    return run_machine(machine, side, steps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
