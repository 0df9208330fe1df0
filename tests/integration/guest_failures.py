"""A guest that breaks ends alone; the tools say why, and its memory returns.

    guest_failures.py [--hypervisor mixed]

By what a stock kernel can be made to do: panic, a broken init, being killed while it boots. By what a kernel must be written for:
the tests of tests/guests that end their domain (triple fault, bad page table, bad iret, ...), and neighbour.cpp, which writes
garbage into its rings.
"""

import argparse
import sys
import time

from findings import run_machine
from toolstack import NEIGHBOUR, boot

PANICS = {
    # name of a stock guest that panics: more arguments for its kernel
    "panic": "task=panic",
    "no-init": "rdinit=/bin/false",
}
CONFORMANCE = "/var/lib/torii/images/conformance.elf"
MICRO_BREAKS = {
    # test of tests/guests/ends: words that the tools must say of it
    "end_crash": "panicked",
    "end_no_handler": "page fault at rip",
    "end_bad_stack": "the guest's kernel stack",
    "end_bad_kernel_stack": "the guest's kernel stack",
    "end_bad_table": "the guest has no handler for it",
    "end_no_user_table": "no user page table",
    "end_iret_unreadable": "its stack frame",
    "end_event_stack": "the guest's kernel stack",
}
RINGS = {"console": "its console ring", "xenstore": "its xenstore ring"}


def wait_ended(toolstack, name, tries=60):
    """The row of a domain once it no longer runs; None if it goes on."""
    for _ in range(tries):
        rows = [row for row in toolstack.rows("list") if row["name"] == name]
        if not rows or not rows[0]["active"] or rows[0]["state"] == "crashed":
            return rows[0] if rows else {}
        time.sleep(1)
    return None


def check_end(findings, toolstack, name, words):
    """What is said of a domain that has ended."""
    row = wait_ended(toolstack, name)
    if not findings.check(row is not None, f"{name}: the broken guest has ended"):
        toolstack.shell.attempt(f"torii destroy {name}")
        return
    told = f"{row.get('state')}: {row.get('explanation')}"
    info = toolstack.shell.attempt(f"torii info {name}")[1]
    findings.check(words in told and words in " ".join(info.split()), f"{name}: torii list and info say {told!r}")
    toolstack.shell.attempt(f"torii destroy {name}")


def break_micro_guests(findings, toolstack):
    """Each of the small guests in turn."""
    for test, words in MICRO_BREAKS.items():
        toolstack.shell.run(f"torii create --name {test} --kernel {CONFORMANCE} --memory 24M --cmdline tests={test}")
        check_end(findings, toolstack, test, words)
    for ring, words in RINGS.items():
        name = f"garbage-{ring}"
        toolstack.shell.run(f"torii create --name {name} --kernel {NEIGHBOUR} --memory 16M")
        toolstack.shell.run(f"torii console {name} --expect 'neighbour: ready' --timeout 60 > /dev/null")
        toolstack.shell.run(f"torii console {name} --send 'garbage {ring}\\n'")
        check_end(findings, toolstack, name, words)


def steps(findings, toolstack):
    """A neighbour runs all the while."""
    toolstack.create("neighbour", description="debian-6.1", memory=160)
    with toolstack.console("neighbour") as guest:
        guest.run("true")
    free = toolstack.free_pages()
    for name, arguments in PANICS.items():
        toolstack.create(name, description="debian-6.1", arguments=arguments, memory=160)
        check_end(findings, toolstack, name, "panicked")
        after = toolstack.wait_free(free)
        findings.check(after == free, f"{name}: {free} pages were free before, {after} are now")
    break_micro_guests(findings, toolstack)
    after = toolstack.wait_free(free)
    findings.check(after == free, f"{len(MICRO_BREAKS) + len(RINGS)} broken small guests: {free} pages were free before, {after} are now")
    toolstack.create("young", description="debian-6.1", memory=160)
    time.sleep(0.5)
    toolstack.verb("destroy", "young")
    toolstack.wait_gone("young")
    findings.check(toolstack.wait_free(free) == free, "a guest destroyed while it booted left nothing")
    with toolstack.console("neighbour") as guest:
        findings.check("42" in guest.run("echo $((6 * 7))"), "the neighbour goes on")
    toolstack.verb("destroy", "neighbour")


def main(arguments):
    """One machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    options = parser.parse_args(arguments)
    machine, side = boot(options.hypervisor, name=f"failures-{options.hypervisor}", guests=["6.1"], time_limit=500)
    return run_machine(machine, side, steps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
