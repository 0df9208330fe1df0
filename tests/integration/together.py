"""Several machine tests in one boot of dom0, since a boot costs more than most of them.

    together.py [--hypervisor mixed] lifecycle,bad_input,...

Each runs by itself too: `python3 tests/integration/lifecycle.py`.
"""

import argparse
import sys

import bad_input
import boots
import cycles
import guest_failures
import held_frames
import lifecycle
import restarts
import xenstore_clients
from findings import run_machine
from toolstack import boot

GUESTS = ("6.1", "6.12", "cloud")
PARTS = {
    "boots": lambda findings, toolstack: boots.steps(findings, toolstack, boots.parse(["--dom0", "6.1", "--guests", ",".join(GUESTS)])),
    "bad_input": bad_input.steps,
    "guest_failures": guest_failures.steps,
    "held_frames": held_frames.steps,
    "xenstore_clients": xenstore_clients.steps,
    "lifecycle": lifecycle.steps,
    "cycles": lambda findings, toolstack: cycles.steps(findings, toolstack, cycles.parse([])),
    "restarts": lambda findings, toolstack: restarts.steps(findings, toolstack, restarts.parse([])),
}


def main(arguments):
    """One machine; exit code 1 if a check of any part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    parser.add_argument("parts", nargs="?", default=",".join(PARTS), help="which, separated by commas (default: all)")
    options = parser.parse_args(arguments)
    wanted = options.parts.split(",")
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    machine, side = boot(options.hypervisor, name="-".join(["together", *wanted[:2]]), guests=GUESTS, memory="3072", time_limit=1200)
    return run_machine(machine, side, {name: PARTS[name] for name in wanted})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
