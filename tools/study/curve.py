"""The runs on several CPUs: what domains that share nothing do together, and for which memory their CPUs compete all the same."""

import re
import subprocess

from study.notes import CURVE_NOTES

CPUS = (1, 2, 4, 8)
SHARED_CPUS = 4
SYMBOLS = "torii-shared.symbols"

TEXT = """\
One small guest (tools/study/guest/curve.cpp) on each CPU, all at the same time, each with as many operations as it can in 100 ms
of the machine's time. QEMU emulates the CPUs in turn, and together they execute an instruction in a tick, however many they
are. So n CPUs together do as many operations as one does, unless they get in each other's way with instructions; that part times
n is the speed-up, and n is the best. `loop` makes no hypercall: what it lacks, dom0 has. "waits" is how often a CPU has waited
for another on eight CPUs (executed `pause`), in a million operations: turns end at any place every 20,000 instructions, so a
lock that two want is found taken."""

SHARED_TEXT = """\
An instruction count does not show that CPUs compete for cache lines. Those that the hypervisor wrote on one of four CPUs and used
on another, found by another plugin (tools/study/plugin/share.c) in the same stretches; uses in an operation, rarer ones than one
in 100 left out."""


class CurveRun:
    """What the guests of one run have counted, by operation."""

    def __init__(self, folder, name):
        path = folder / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        self.guests = {}
        self.failures = 0
        for index, operation, count, failed in re.findall(r"CURVE (\d+) (\S+) n=(\d+) failed=(\d+)", text):
            self.guests.setdefault(operation, {})[int(index)] = int(count)
            self.failures += int(failed)
        self.late = "is late" in text
        self.pauses = [int(end) - int(start) for start, end in
                       re.findall(r"COUNTERS start[^\n]*pauses=(\d+).*?COUNTERS end[^\n]*pauses=(\d+)", text, re.DOTALL)]
        # One list for each stretch: line, code, number of writers, number of users, accesses.
        self.shared = [re.findall(r"SHARED line=(\w+) code=(\w+) writers=(\w+) users=(\w+) accesses=(\d+)", part)
                       for part in text.split("SHARED-END")[:-1]]

    def total(self, operation, cpus):
        """All guests' operations; None where a guest is missing or the run was not as it should be."""
        counts = self.guests.get(operation, {})
        return sum(counts.values()) if len(counts) == cpus and not self.failures and not self.late else None


def speed_up_rows(folder):
    """(operation, speed-up on each number of CPUs..., waits)"""
    runs = {cpus: CurveRun(folder, f"torii-curve-{cpus}") for cpus in CPUS}
    most = runs[CPUS[-1]]
    for place, operation in enumerate(runs[1].guests):
        one = runs[1].total(operation, 1)
        totals = {cpus: run.total(operation, cpus) for cpus, run in runs.items()}
        figures = [cpus * total / one if one and total else None for cpus, total in totals.items()]
        waits = most.pauses[place] * 1e6 / totals[CPUS[-1]] if place < len(most.pauses) and totals[CPUS[-1]] else None
        yield (operation, *figures, waits)


def write_symbols(folder, image):
    """Keep the symbols of the hypervisor that is about to be measured."""
    listing = subprocess.run(["nm", "-C", "-S", "--defined-only", image], capture_output=True, text=True, check=True).stdout
    (folder / SYMBOLS).write_text(listing)


class Symbols:
    """Names of the hypervisor's functions and variables by address, from what write_symbols() has kept of the measured one."""

    def __init__(self, path):
        listing = path.read_text() if path.exists() else ""
        self.ranges = [(int(start, 16), int(size, 16), name) for start, size, name in
                       re.findall(r"^([0-9a-f]+) ([0-9a-f]+) \w (.+)$", listing, re.MULTILINE)]

    def name(self, address, default):
        """Without arguments and our own namespace."""
        for start, size, name in self.ranges:
            if start <= address < start + size:
                return re.sub(r"\(anonymous namespace\)::|torii::|\(.*", "", name)
        return default


def shared_rows(folder):
    """(operation, what is shared, the function that writes it, CPUs that use it, uses in an operation)"""
    run = CurveRun(folder, "torii-shared")
    symbols = Symbols(folder / SYMBOLS)
    for place, operation in enumerate(run.guests):
        total = run.total(operation, SHARED_CPUS)
        if not total or place >= len(run.shared):
            continue
        for line, code, _, users, accesses in sorted(run.shared[place], key=lambda found: -int(found[4])):
            if int(accesses) * 100 >= total:
                yield (operation, symbols.name(int(line, 16), "memory of the heap"), symbols.name(int(code, 16), code),
                       int(users, 16).bit_count(), int(accesses) / total)


def lines(folder):
    """Both tables, and the notes between them."""
    heads = [f"{cpus} CPU{'s' if cpus > 1 else ''}" for cpus in CPUS]
    result = ["## Hypercalls on several CPUs, speed-up", "", TEXT, "", "| Torii | " + " | ".join([*heads, "waits"]) + " |",
              "|---" * (len(heads) + 2) + "|"]
    for name, *figures, waits in speed_up_rows(folder):
        cells = ["-" if figure is None else f"{figure:.2f}" for figure in figures] + ["-" if waits is None else f"{waits:,.0f}"]
        result.append(f"| {name} | " + " | ".join(cells) + " |")
    result += ["", SHARED_TEXT, "", "| Torii | cache line of | written by | CPUs | uses |", "|---|---|---|---|---|"]
    for name, what, function, users, uses in shared_rows(folder):
        result.append(f"| {name} | `{what}` | `{function}` | {users} | {uses:.2f} |")
    return [*result, "", *(f"- {note}" for note in CURVE_NOTES), ""]
