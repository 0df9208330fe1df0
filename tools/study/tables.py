"""Turns the consoles of the study's runs into docs/benchmarks.md."""

import re

from study import curve, devices, split
from study.notes import NOTES

LIMIT = 1.25
HEAD = """\
# Torii beside Xen 4.17

Made by `./tools/study/benchmarks`; nothing here is written by hand but the notes (tools/study/notes.py).

The machine is QEMU's q35, `-cpu qemu64`, one processor, under `-icount shift=0,sleep=off`: its time stamp counter counts guest
instructions, so a figure is a number of instructions, everything included (program, kernel, hypervisor). Kernel of dom0, guest
and bare machine: Debian's {release}, unmodified. Guest: 256 MiB, one vCPU, started by `xl create` under Xen and by `torii create`
under Torii. Best of seven batches. "Torii / Xen" is to be at most {limit}; rows above it have a note.

"""


class Run:
    """What one console says: marks, benchmark rows, hypercall rows."""

    def __init__(self, folder, name):
        path = folder / f"{name}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        self.marks = {}
        for name_, rest in re.findall(r"MARK (\S+)(.*)", text):
            self.marks.setdefault(name_, {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", rest)})
        self.bench = {name_: float(best) for name_, best in re.findall(r"BENCH \S+ (\S+) min=([\d.]+)", text)}
        self.calls = {name_: (int(code), float(net)) for name_, code, net in
                      re.findall(r"HC \S+ (\S+) rc=(-?\d+) min=[\d.]+ med=[\d.]+ net=(-?[\d.]+)", text)}
        self.places = self._places(text)
        self.counted = {name_: sum(counts[place] for place in ("hypervisor", "kernel", "user")) for name_, counts in self.places.items()}
        self.counters = {name_: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", rest)}
                         for name_, rest in re.findall(r"COUNTERS (\w+)(.*)", text)}

    @staticmethod
    def _places(text):
        """Executed instructions of one unit of what is between the plugin's two marks, by name and then by where they were executed:
        the least of all its times."""
        stamps = [{place: int(value) for place, value in re.findall(r"(\w+)=(\d+)", line)}
                  for line in re.findall(r"COUNTERS (?:start|end) (hypervisor=.*)", text)]
        counted = {}
        for (name, units), before, after in zip(re.findall(r"COUNTED \S+ (\S+) n=(\d+)", text), stamps[::2], stamps[1::2]):
            counted.setdefault(name, []).append({place: (after[place] - before[place]) / int(units) for place in after})
        return {name: min(times, key=lambda time: time["hypervisor"] + time["kernel"] + time["user"]) for name, times in counted.items()}

    def between(self, first, last, key="tsc"):
        """Ticks (or another counter) between two marks, in millions; None where one is missing."""
        try:
            return (self.marks[last][key] - (self.marks[first][key] if first else 0)) / 1e6
        except KeyError:
            return None

    def idle_rate(self, *names):
        """How much the plugin's counters of these names, added up, grow in a second of the idle time."""
        seconds = self.between("idle-start", "idle-end")
        if not seconds or not {"start", "end"} <= self.counters.keys():
            return None
        # A tick is a nanosecond, busy or idle.
        return sum(self.counters["end"][name] - self.counters["start"][name] for name in names) * 1000 / seconds

    def pages_kept(self):
        """Pages that neither dom0 nor anyone else can have: the hypervisor's."""
        mark = self.marks.get("dom0-tools")
        if not mark or "free_pages" not in mark or "pages0" not in mark:
            return None
        return mark["total_pages"] - mark["pages0"] - mark["free_pages"]


def cell(value, digits=0):
    """A number, or a dash where it is missing."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(torii, xen):
    """Torii's part of Xen's figure, in bold where it is above the limit."""
    if torii is None or xen is None or xen <= 0:
        return "-"
    value = torii / xen
    return f"**{value:.2f}**" if value > LIMIT else f"{value:.2f}"


class Document:
    """Collects tables, and the names of the rows that are above the limit."""

    def __init__(self):
        self.lines = []
        self.above = []

    def table(self, title, heads, rows, digits=0, text=""):
        """`rows`: (name, other figures..., Xen's, Torii's)."""
        self.lines += [f"## {title}", "", *([text, ""] if text else []), "| | " + " | ".join([*heads, "Xen 4.17", "Torii", "Torii / Xen"]) + " |",
                       "|---" * (len(heads) + 4) + "|"]
        for name, *others, xen, torii in rows:
            figures = " | ".join(cell(value, digits) for value in (*others, xen, torii))
            self.lines.append(f"| {name} | {figures} | {ratio(torii, xen)} |")
            if torii is not None and xen and torii / xen > LIMIT:
                self.above.append((title, name))
        self.lines.append("")

    def notes(self):
        """The rows above the limit, each with where its instructions go."""
        self.lines += ["## Rows above the limit", ""]
        if not self.above:
            self.lines.append("None.")
        for title, name in self.above:
            self.lines.append(f"- {title}, {name}: {NOTES.get(name, 'not yet looked into')}")
        self.lines.append("")


def boot_rows(xen, torii):
    """Milestones with unpacked kernels, and with Debian's images as they are."""
    steps = (("reset to dom0's init", None, "dom0-init", "tsc"),
             ("dom0's init to tools up", "dom0-init", "dom0-tools", "tsc"),
             ("create, start to return", "create-start", "create-end", "tsc"),
             ("of which dom0's processor time", "create-start", "create-end", "d0"),
             ("create returned to the guest's init", "create-end", "guest-init", "tsc"),
             ("create to the guest's init", "create-start", "guest-init", "tsc"))
    for form, suffix in (("unpacked kernels", "create"), ("kernels as shipped", "create-image")):
        for name, first, last, key in steps:
            yield (f"{name} ({form})", xen[suffix].between(first, last, key), torii[suffix].between(first, last, key))


PAIR_TEXT = """\
Two small guests of the same program (tools/study/guest/pair.cpp), or two vCPUs of one of them (`ipi_round_trip`), on one
processor. `block_wake`: a timer is set, the vCPU blocks and is woken, without the time asleep. `timer_slack`: nanoseconds by
which a vCPU runs late that sleeps until a timer of 1 ms, or of 100 us; an instruction takes one."""

IDLE_TEXT = """\
dom0 with its tools, and eight guests of 128 MiB with the same kernel whose first program sleeps: counted for 60 s by a plugin
of QEMU (tools/study/plugin/count.c). A wake-up is an executed `hlt`."""


def idle_rows(xen, torii):
    """What an idle machine does in a second."""
    for name, counters in (("instructions", ("hypervisor", "kernel", "user")), ("of which the hypervisor's", ("hypervisor",)),
                           ("of which the kernels'", ("kernel",)), ("of which programs'", ("user",)), ("wake-ups", ("halts",))):
        yield name, xen.idle_rate(*counters), torii.idle_rate(*counters)


def document(folder, release):
    """The whole document."""
    names = ("dom0", "guest", "create", "create-image", "memory-1024", "memory-4096", "pair", "idle", "devices", "split")
    xen = {name: Run(folder, f"xen-{name}") for name in names}
    torii = {name: Run(folder, f"torii-{name}") for name in names}
    bare = Run(folder, "bare")
    result = Document()
    result.table("Boot and create, million instructions", [], boot_rows(xen, torii), digits=1)
    for title, name in (("dom0, instructions per operation", "dom0"), ("Guest, instructions per operation", "guest")):
        keys = list(xen[name].bench) or list(torii[name].bench)
        result.table(title, ["bare machine"],
                     [(key, bare.bench.get(key), xen[name].bench.get(key), torii[name].bench.get(key)) for key in keys])
    keys = [key for key in (xen["dom0"].calls or torii["dom0"].calls) if key != "ioctl_bad"]
    result.table("Hypercalls from dom0, instructions without the way to the driver and back", [],
                 [(key, xen["dom0"].calls.get(key, (0, None))[1], torii["dom0"].calls.get(key, (0, None))[1]) for key in keys])
    different = [key for key in keys if key in torii["dom0"].calls and key in xen["dom0"].calls
                 and torii["dom0"].calls[key][0] != xen["dom0"].calls[key][0]]
    if different:
        result.lines += ["Results that differ: " + ", ".join(
            f"{key} ({xen['dom0'].calls[key][0]} under Xen, {torii['dom0'].calls[key][0]} under Torii)" for key in different), ""]
    result.table("Two domains, instructions per operation", [],
                 [(key, xen["pair"].bench.get(key), torii["pair"].bench.get(key)) for key in xen["pair"].bench or torii["pair"].bench],
                 text=PAIR_TEXT)
    result.table("The machine's devices, instructions per operation", ["bare machine"],
                 list(devices.rows(Run(folder, "bare-devices"), xen["devices"], torii["devices"])), text=devices.TEXT)
    result.table("A guest's disks and network, instructions per operation", [], list(split.rows(xen["split"], torii["split"])), text=split.TEXT)
    result.lines += split.lines(xen["split"], torii["split"])
    result.lines += curve.lines(folder)
    result.table("Idle, eight guests, per second", [], idle_rows(xen["idle"], torii["idle"]), text=IDLE_TEXT, digits=1)
    result.table("Memory kept from dom0 and guests, pages of 4 KiB", [],
                 [(f"machine of {memory} MiB", xen[name].pages_kept(), torii[name].pages_kept())
                  for memory, name in ((1024, "memory-1024"), (2048, "create"), (4096, "memory-4096"))])
    result.notes()
    return HEAD.format(release=release, limit=LIMIT) + "\n".join(result.lines)
