"""The runs on several CPUs: what domains that share nothing do together, and for which memory their CPUs compete all the same."""

import re
import subprocess

from study.notes import CURVE_NOTES

CPUS = (1, 2, 4, 8)
SHARED_CPUS = 4
# The regions of the hypervisor's address space (arch/x86/hw/layout.h), for lines of no variable.
REGIONS = ((0xffff830000000000, "allocated memory"), (0xffff82d080000000, "image"), (0xffff818000000000, "permanent mappings"),
           (0xffff810000000000, "per-CPU area"), (0xffff80c000000000, "frame table"), (0, "M2P"))
LINE = 64
# Of 5,000 turns in a stretch.
FEWEST_MOVES = 100
SYMBOLS = "torii-shared.symbols"

TEXT = """\
One small guest (tools/study/guest/curve.cpp) on each CPU, all at the same time, each with as many operations as it can in 100
ms of the machine's time. QEMU emulates the CPUs in turn, and together they execute an instruction in a tick, however many they
are. So n CPUs together do as many operations as one does, unless they get in each other's way with instructions; that part
times n is the speed-up, and n is the best. "operations" are those of one CPU. `loop` makes no hypercall: what it lacks, dom0
has. "waits" is how often a CPU has waited for another on eight CPUs (executed `pause`), in a million operations: turns end at
any place every 20,000 instructions, so a lock that two want is found taken. A CPU that waits gives its turn to the others, so
the speed-up has no waiting in it."""

SHARED_TEXT = """\
An instruction count does not show that CPUs compete for cache lines. Those that the hypervisor writes and that moved between four
CPUs, at least once in 50 of QEMU's turns, found by another plugin (tools/study/plugin/share.c) in the same stretches; "uses" is
how often an operation uses them, and so the most that they can move where CPUs really run at the same time."""


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
        # One list for each stretch.
        self.shared = [re.findall(r"SHARED line=(\w+) code=(\w+) users=(\w+) uses=(\d+) moves=(\d+)", part)
                       for part in text.split("SHARED-END")[:-1]]

    def total(self, operation, cpus):
        """All guests' operations; None where a guest is missing or the run was not as it should be."""
        counts = self.guests.get(operation, {})
        return sum(counts.values()) if len(counts) == cpus and not self.failures and not self.late else None


def speed_up_rows(folder):
    """(operation, operations of one CPU, speed-up on each number of CPUs..., waits)"""
    runs = {cpus: CurveRun(folder, f"torii-curve-{cpus}") for cpus in CPUS}
    most = runs[CPUS[-1]]
    for place, operation in enumerate(runs[1].guests):
        one = runs[1].total(operation, 1)
        totals = {cpus: run.total(operation, cpus) for cpus, run in runs.items()}
        figures = [cpus * total / one if one and total else None for cpus, total in totals.items()]
        waits = most.pauses[place] * 1e6 / totals[CPUS[-1]] if place < len(most.pauses) and totals[CPUS[-1]] else None
        yield (operation, one, *figures, waits)


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

    def names(self, start, size):
        """Of what lies there, without arguments and our own namespace; the region's where there is none."""
        found = [re.sub(r"\(anonymous namespace\)::|torii::|\(.*", "", name) for first, length, name in self.ranges
                 if first < start + size and start < first + length]
        return ", ".join(dict.fromkeys(found)) or next(name for first, name in REGIONS if start >= first)


def shared_rows(folder):
    """(operation, what is shared, the function that writes it, lines, uses in an operation)"""
    run = CurveRun(folder, "torii-shared")
    symbols = Symbols(folder / SYMBOLS)
    for place, operation in enumerate(run.guests):
        total = run.total(operation, SHARED_CPUS)
        if not total or place >= len(run.shared):
            continue
        groups = {}
        for line, code, _, uses, moves in run.shared[place]:
            if int(moves) >= FEWEST_MOVES:
                key = (symbols.names(int(line, 16) & -LINE, LINE), symbols.names(int(code, 16), 1))
                groups.setdefault(key, []).append(int(uses) / total)
        for (what, function), uses in sorted(groups.items(), key=lambda group: -sum(group[1])):
            yield operation, what, function, len(uses), sum(uses)


def lines(folder):
    """Both tables, and the notes between them."""
    heads = ["operations", *(f"{cpus} CPU{'s' if cpus > 1 else ''}" for cpus in CPUS), "waits"]
    result = ["## Hypercalls on several CPUs, speed-up", "", TEXT, "", "| Torii | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name, one, *figures, waits in speed_up_rows(folder):
        counts = ["-" if count is None else f"{count:,.0f}" for count in (one, waits)]
        cells = [counts[0], *("-" if figure is None else f"{figure:.2f}" for figure in figures), counts[1]]
        result.append(f"| {name} | " + " | ".join(cells) + " |")
    result += ["", SHARED_TEXT, "", "| Torii | cache line of | last written by | lines | uses |", "|---|---|---|---|---|"]
    for name, what, function, count, uses in shared_rows(folder):
        result.append(f"| {name} | `{what}` | `{function}` | {count} | {uses:.2f} |")
    return [*result, "", *(f"- {note}" for note in CURVE_NOTES), ""]
