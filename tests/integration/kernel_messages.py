"""Compares a kernel's messages with those of the same kernel under Xen 4.17, and finds those that no load may bring about."""

import re
from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"
# What a kernel says of its own faults, of CPUs that stood still, of tasks that did not go on, and of memory that ran out.
COMPLAINT = re.compile(r"BUG:|WARNING:|Call Trace|Oops|rcu.*(?:stall|starved)|soft lockup|blocked for more than|page allocation failure|"
                       r"Out of memory|oom-kill|Killed process")
_RULES = (
    (re.compile(r"^<(\d)>\[ *\d+\.\d+\] "), r"<\1> "),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "ADDRESS"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "ADDRESS"),
    (re.compile(r"\b\d+\.\d+ (?:ms|s|seconds|MHz|BogoMIPS)\b"), "TIME"),
    (re.compile(r"\b\d+ (?:ns|us|ms|usecs|msecs|jiffies)\b"), "TIME"),
)


def normalise(line):
    """A message without its time, addresses and durations."""
    for pattern, replacement in _RULES:
        line = pattern.sub(replacement, line)
    return line.rstrip()


def complaints(text):
    """The lines of a kernel's messages that are complaints."""
    return [line for line in text.splitlines() if COMPLAINT.search(line)]


def reference_path(kernel, role, cpu):
    """Where the messages of a kernel in a role under Xen are kept."""
    model = cpu.split(",")[0]
    return REFERENCE / f"{kernel}-{role}-{model}.txt"


def read_reference(kernel, role, cpu):
    """The kept messages, without the lines that tell how they were made."""
    return [line for line in reference_path(kernel, role, cpu).read_text().splitlines() if not line.startswith("#")]


def write_reference(kernel, role, cpu, release, messages):
    """Keep the messages of a run under Xen."""
    REFERENCE.mkdir(exist_ok=True)
    head = [f"# Messages at level warning and above of Debian's {release} as {role} under Xen 4.17, -cpu {cpu}, normalised.",
            "# Made by: python3 tests/integration/boots.py --hypervisor xen --write-reference ..."]
    reference_path(kernel, role, cpu).write_text("\n".join(head + [normalise(line) for line in messages]) + "\n")


def differences(kernel, role, cpu, messages):
    """Lines that one side has and the other has not."""
    expected = read_reference(kernel, role, cpu)
    found = [normalise(line) for line in messages]
    missing = [f"only under Xen:  {line}" for line in expected if line not in found]
    added = [f"only under Torii: {line}" for line in found if line not in expected]
    return missing + added
