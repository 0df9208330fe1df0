"""The tests that take an hour, or many cycles: too long for CI, run by name, resumable, with their results kept.

A long test is a number of portions. After each portion its row in docs/long-tests.md is written, so that an interrupted test goes
on where it was, here or in another checkout that has the row.
"""

import datetime
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from commands.builds import MACHINE_TARGETS, configure_and_build
from commands.steps import ROOT, Failure, only_one, run, say

RESULTS = ROOT / "docs" / "long-tests.md"
HEADER = """\
# Long tests: the last result of each

Written by `./tools/test --long NAME`; `./tools/test --long` lists what there is. "Point" is the point of the "Shows" of the
first issue, or of the one that is named, that the test shows.

| test | point | result | portions | minutes | date | commit |
|---|---|---|---|---|---|---|
"""


UNFINISHED = "good so far"


@dataclass(frozen=True)
class LongTest:
    """`command` may name {portion}, {build} and {root}; it runs once per portion and must end with code 0."""

    name: str
    point: int | str
    text: str
    portions: int
    command: tuple
    preset: str = "release"
    targets: tuple = MACHINE_TARGETS


_MACHINE = "{root}/tests/integration"
# Where each fuzz target lies; an hour of each, in portions of ten minutes that share what they have found.
_FUZZ_FOLDERS = {"unpack": "boot", "image": "guest_abi", "decoder": "decoder", "xenstore_wire": "xenstore",
                 "xenstore_ring": "xenstore", "console_ring": "console", "hypercalls": "hypercalls",
                 "page_tables": "hypercalls", **dict.fromkeys(("block_request", "block_front", "block_back", "net_request", "net_offload",
                                                               "net_front", "net_ring"), "backends")}
_FUZZ = ("mkdir -p {{root}}/build/long/corpus-{name} && nice {{build}}/tests/fuzz/{folder}/{name}_fuzz "
         "{{root}}/build/long/corpus-{name} -artifact_prefix={{root}}/build/long/ -max_total_time=600 -max_len=4000 "
         "-len_control=0 -timeout=120 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0")
_FAULT_TESTS = ("random_calls_test", "page_type_test", "core_call_test", "core_event_test", "core_grant_test",
                "core_grant_calls_test")

REGISTRY = (
    LongTest("cycles", 4, "200 create and destroy cycles leave nothing behind", 1,
             ("{python}", f"{_MACHINE}/cycles.py", "--micro", "190", "--debian", "10")),
    LongTest("kills", 5, "kill -9 of toriid 50 times", 1, ("{python}", f"{_MACHINE}/restarts.py", "--kills", "50")),
    LongTest("fail-points", 5, "toriid killed at each of its named steps", 1,
             ("{python}", f"{_MACHINE}/restarts.py", "--kills", "1", "--fail-points", "all")),
    *(LongTest(f"boots-{dom0}-max", 2, f"{dom0} as dom0 and {guests} as domU on -cpu max,-smap", 1,
               ("{python}", f"{_MACHINE}/boots.py", "--dom0", dom0, "--guests", guests, "--cpu", "max,-smap"))
      for dom0, guests in (("6.1", "6.1,cloud"), ("6.12", "6.12"))),
    LongTest("vcpu-set", 3, "vcpu-set up and down 200 times under load", 1,
             ("{python}", f"{_MACHINE}/vcpus.py", "--changes", "200")),
    LongTest("clocks", "many CPUs 5", "an hour of reading all vCPUs' clocks in turn", 1,
             ("{python}", f"{_MACHINE}/clocks.py", "--seconds", "3600", "--cpus", "4")),
    LongTest("shares", "many CPUs 2", "time by weights and caps on one CPU", 1, ("{python}", f"{_MACHINE}/sharing.py")),
    LongTest("pools", "many CPUs 3", "affinity and pools changed under load", 1,
             ("{python}", f"{_MACHINE}/sharing.py", "--cpus", "4", "--changes", "50")),
    LongTest("demo-max", 1, "the demonstration on -cpu max,-smap", 1,
             ("{root}/tools/run", "--demo", "--accel", "tcg", "--cpu", "max,-smap")),
    LongTest("xenstore", 6, "10,000 operations with concurrent transactions", 1,
             ("{python}", f"{_MACHINE}/xenstore_clients.py", "--rounds", "170")),
    *(LongTest(f"stress-{cpus}", "3.1", f"dom0 and four guests of four vCPUs, all busy for {minutes} minutes on a machine of CPUs: {cpus}", 1,
               ("{python}", f"{_MACHINE}/stress.py", "--cpus", str(cpus), "--minutes", str(minutes)))
      for cpus, minutes in ((1, 5), (2, 20), (4, 5), (8, 20))),
    *(LongTest(f"installation-{firmware}", "third", f"the Debian package installed, upgraded and purged, beside plain Debian and on Torii, under {firmware}", 1,
               ("{python}", f"{_MACHINE}/installation.py", "--firmware", firmware))
      for firmware in ("bios", "uefi")),
    *(LongTest(f"run-disk-{firmware}", "third", f"./tools/run --disk, its console, ssh and a reboot, under {firmware}", 1,
               ("{python}", f"{_MACHINE}/run_disk.py", "--firmware", firmware))
      for firmware in ("bios", "uefi")),
    *(LongTest(f"installed-hardware-{machine}", "third 1", f"an installed Debian on each kind of disk of a {machine}; all devices under fio and iperf3", 1,
               ("{python}", f"{_MACHINE}/installed_hardware.py", "--machine", machine))
      for machine in ("q35", "pc")),
    *(LongTest(f"installed-hardware-{machine}-uefi", "third 1", f"the same of a {machine} with UEFI, with the root on the board's own disk", 1,
               ("{python}", f"{_MACHINE}/installed_hardware.py", "--machine", machine, "--firmware", "uefi", "--only-board"))
      for machine in ("q35", "pc")),
    *(LongTest(f"hardware-{machine}-{kind}", "third 1", f"dom0 drives the devices of a {machine} by {kind}, under load for a minute", 1,
               ("{python}", f"{_MACHINE}/hardware.py", "--machine", machine, "--seconds", "60", *words))
      for machine in ("q35", "pc") for kind, words in (("messages", ()), ("lines", ("--kernel-arguments", "pci=nomsi")))),
    LongTest("split-drivers", "fourth 3, 5", "two guests' disks and networks through 50 kills of toriid", 1,
             ("{python}", f"{_MACHINE}/split_drivers.py", "--kills", "50"), targets=(*MACHINE_TARGETS, "neighbour")),
    LongTest("attach-detach", "fourth 5", "500 times a disk and a card attached and detached; nothing is left", 1,
             ("{python}", f"{_MACHINE}/split_drivers.py", "--kills", "1", "--attaches", "500"), targets=(*MACHINE_TARGETS, "neighbour")),
    *(LongTest(f"debian-guest{tail}", "fourth 1, 2, 3", f"two Debians ({suite}) on disks of ours: fio, iperf3 and files for {minutes} minutes, {kills} kills of toriid", 1,
               ("{python}", f"{_MACHINE}/debian_guest.py", "--suite", suite, "--kills", str(kills), "--seconds", str(60 * minutes)),
               targets=(*MACHINE_TARGETS, "neighbour"))
      for tail, suite, minutes, kills in (("", "bookworm", 10, 50), ("-trixie", "trixie", 2, 5))),
    LongTest("cheating", "fourth 6", "guests that cheat the back ends of their devices in each way, and flood them, beside one that does not", 1,
             ("{python}", f"{_MACHINE}/cheating.py")),
    LongTest("power-cuts", "fourth 4", "100 cuts of a guest's power while it writes: nothing that it was told is durable is lost", 1,
             ("{python}", f"{_MACHINE}/power_cuts.py", "--cuts", "100"), targets=(*MACHINE_TARGETS, "neighbour")),
    LongTest("many-guests", "fourth 5", "twenty guests at once with disks and networks, two of them with systemd", 1,
             ("{python}", f"{_MACHINE}/many_guests.py"), targets=(*MACHINE_TARGETS, "neighbour")),
    *(LongTest(f"image-build{tail}", "images", f"torii image build debian, interrupted, built, looked into, booted, grown: {suite}", 1,
               ("{python}", f"{_MACHINE}/images.py", "--suite", suite, "--kernel", kernel), targets=("torii",))
      for tail, suite, kernel in (("", "bookworm", "standard"), ("-trixie", "trixie", "cloud"))),
    # A busy host starves CPUs into looking as if they hung: not in CI.
    LongTest("crash", "many CPUs", "each CPU's backtrace at the end, and the watchdog", 1, ("{python}", f"{_MACHINE}/crash.py")),
    LongTest("random-calls", 8, "a million random calls, with a recount after each", 10,
             ("env", "TORII_RANDOM_CALLS=100000", "TORII_RANDOM_SEED=1{portion}", "{build}/tests/model/random_calls_test"),
             "asan", ("random_calls_test",)),
    LongTest("planted-faults", 8, "each planted fault is caught", 1,
             ("{python}", "{root}/tests/model/planted_faults.py", "{build}"), "asan", _FAULT_TESTS),
    LongTest("threads", "many CPUs 4", "four million operations on real threads, with recounts", 10,
             ("env", "TORII_THREADS_OPERATIONS=400000", "TORII_THREADS_SEED=1{portion}", "{build}/tests/threads/threads_test"),
             "tsan", ("threads_test",)),
    LongTest("planted-thread-faults", "many CPUs 4", "each lock left out or given back too early is caught", 1,
             ("{python}", "{root}/tests/model/planted_faults.py", "{build}"), "tsan", ("threads_test",)),
    *(LongTest(f"fuzz-{name.replace('_', '-')}", "fourth 6" if folder == "backends" else 8, f"an hour of fuzzing: {name}", 6,
               ("sh", "-c", _FUZZ.format(name=name, folder=folder)), "fuzz", (f"{name}_fuzz",))
      for name, folder in _FUZZ_FOLDERS.items()),
)


def _rows():
    """The lines of the document, or those of an empty one."""
    return RESULTS.read_text().splitlines() if RESULTS.exists() else HEADER.splitlines()


def _cells(test):
    """The cells of the test's row: name, point, result, portions, minutes, date, commit. None: never run."""
    for row in _rows():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[0] == test.name:
            return cells
    return None


def _load(test):
    """How far the test got, by its row: portions and seconds. A test that ended begins anew."""
    cells = _cells(test)
    if cells is None or cells[2] != UNFINISHED:
        return {"done": 0, "seconds": 0.0}
    return {"done": int(cells[3].split()[0]), "seconds": float(cells[4]) * 60}


def left_out_of_ci():
    """What CI does not run, as lines for a person."""
    return [f"{test.name}: {test.text} (./tools/test --long {test.name})" for test in REGISTRY]


def list_all():
    """Print each test, with its last result."""
    for test in REGISTRY:
        cells = _cells(test)
        told = f"{cells[2]}, {cells[3]}, {cells[5]}" if cells else "not run yet"
        print(f"{test.name:20} point {test.point}  {told:38} {test.text}")
    return 0


def run_one(name):
    """Run or resume one test."""
    test = next((entry for entry in REGISTRY if entry.name == name), None)
    if test is None:
        raise Failure(f"There is no long test {name!r}; there are: {', '.join(entry.name for entry in REGISTRY) or 'none'}.")
    folder = configure_and_build(test.preset, test.targets)
    os.environ.setdefault("TORII_TIME_FACTOR", "3")
    state = _load(test)
    while state["done"] < test.portions:
        portion = state["done"]
        say(f"{test.name}: portion {portion + 1} of {test.portions}")
        started = time.monotonic()
        command = [word.format(portion=portion, build=folder, root=ROOT, python=sys.executable) for word in test.command]
        result = run(command, check=False, cwd=ROOT)
        state["seconds"] += time.monotonic() - started
        if result.returncode != 0:
            _record(test, f"failed in portion {portion + 1}", state)
            raise Failure(f"{test.name} failed in portion {portion + 1}; to see it again: {' '.join(command)}")
        state["done"] += 1
        _record(test, "passed" if state["done"] == test.portions else UNFINISHED, state)
    print("1 passed, 0 failed", flush=True)
    return 0


def _record(test, result, state):
    """Put the test's row into docs/long-tests.md, in place of its last one."""
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    date = datetime.date.today().isoformat()
    with only_one("long-tests"):  # several may run at once
        rows = [row for row in _rows() if not row.startswith(f"| {test.name} |")]
        rows.append(f"| {test.name} | {test.point} | {result} | {state['done']} of {test.portions} | "
                    f"{state['seconds'] / 60:.1f} | {date} | {commit} |")
        RESULTS.write_text("\n".join(rows) + "\n")
