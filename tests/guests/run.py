#!/usr/bin/env python3
"""Runs the conformance guests as the control domain of a hypervisor, and compares with what Xen 4.17 did.

    tests/guests/run.py --hypervisor build/torii.elf --guest build/guests/conformance.elf
    tests/guests/run.py --hypervisor xen.elf --guest ... --record     (writes peer_outcomes.txt)

The ordinary tests run in one boot; if one of them ends the domain, a further boot goes on behind it. Each test that must
end its domain gets a boot of its own. Exit code 0: every outcome is the peer's, or listed in differences.txt with a reason.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peer_outcomes.txt"
DIFFERENCES = HERE / "differences.txt"
RECORDED_CPU = "qemu64"

RESULT = re.compile(r"Torii test result: (SUCCESS|SKIP|ERROR|FAILURE) (\w+)")
LISTED = re.compile(r"Torii test listed: (\w+) (ordinary|destructive) ([^\r\n]*)")
START = re.compile(r"Torii test start: (\w+) ")
# The hypervisor's own word for a control domain that it has ended.
DOMAIN_ENDED = re.compile(r"dom0 crashed|d0 killed:|dom0 has shut down \(code 3\)", re.IGNORECASE)


def boot(options, arguments, time_limit):
    """The console's text of one run; QEMU ends with the domain, or when its time is up."""
    with tempfile.TemporaryDirectory(prefix="torii-guests-") as folder:
        guest = Path(folder) / "guest.elf"
        guest.symlink_to(Path(options.guest).absolute())
        command = ["qemu-system-x86_64", "-accel", options.accel, "-M", "q35", "-cpu", options.cpu, "-m", "512", "-smp",
                   str(options.cpus),
                   "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
                   "-device", "virtio-rng-pci",
                   "-kernel", options.hypervisor,
                   "-append", f"console=com1 com1=115200 dom0_mem=128M {options.hypervisor_arguments}",
                   "-initrd", f"{guest} {arguments}"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=time_limit * options.time_factor, check=False)
            text = done.stdout
        except subprocess.TimeoutExpired as late:
            text = (late.stdout or b"") + b"\n(the machine ran out of its time)\n"
    text = text.decode("utf-8", errors="replace")
    if options.log:
        with open(options.log, "a", encoding="utf-8") as log:
            log.write(f"===== {arguments}\n{text}\n")
    return text


def run_ordinary(options, names):
    """{name: outcome}; DIED for a test that ended the domain though it must not."""
    outcomes = {}
    after = ""
    while len(outcomes) < len(names):
        text = boot(options, "tests=all" + (f" after={after}" if after else ""), 120)
        for outcome, name in RESULT.findall(text):
            if name in names:
                outcomes[name] = outcome
        if "Torii test summary:" in text:
            break
        started = START.findall(text)
        if not started or started[-1] in outcomes:
            print(f"The guest said nothing more. The end of its console:\n{text[-2000:]}", file=sys.stderr)
            break
        after = started[-1]
        outcomes[after] = "DIED"
    return outcomes


def run_destructive(options, name):
    """SUCCESS when the hypervisor ended the domain and said so."""
    text = boot(options, f"tests={name}", 30)
    reported = dict((test, outcome) for outcome, test in RESULT.findall(text))
    if name in reported:
        return reported[name]
    if "Torii test expects: domain end" not in text:
        return "ERROR"
    return "SUCCESS" if DOMAIN_ENDED.search(text.split("Torii test expects:")[1]) else "SURVIVED"


def read_table(path):
    """{name: rest of the line} of a file of lines `name rest`, comments and blanks left out."""
    rows = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                name, _, rest = line.partition(" ")
                rows[name] = rest.strip()
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", required=True)
    parser.add_argument("--guest", required=True)
    parser.add_argument("--cpu", default="qemu64")
    parser.add_argument("--accel", default="tcg")
    parser.add_argument("--cpus", type=int, default=1, help="CPUs of the machine")
    parser.add_argument("--hypervisor-arguments", default="")
    parser.add_argument("--log", help="append every console to this file")
    parser.add_argument("--time-factor", type=float, default=1.0)
    parser.add_argument("--record", action="store_true", help="write the outcomes as the peer's")
    options = parser.parse_args()

    listed = LISTED.findall(boot(options, "tests=list", 60))
    if not listed:
        sys.exit("The guest listed no tests; is the hypervisor booting it? Try --log.")
    outcomes = run_ordinary(options, [name for name, kind, _ in listed if kind == "ordinary"])
    for name, kind, _ in listed:
        if kind == "destructive":
            outcomes[name] = run_destructive(options, name)

    if options.record:
        lines = ["# What each conformance test did on Xen 4.17 as its control domain; written by run.py --record.\n"]
        lines += [f"{name} {outcomes.get(name, 'MISSING')}\n" for name, _, _ in listed]
        PEER.write_text("".join(lines), encoding="utf-8")
    peer = read_table(PEER)
    differences = read_table(DIFFERENCES)
    wrong = 0
    for name, _, description in listed:
        outcome = outcomes.get(name, "MISSING")
        expected = peer.get(name, "SUCCESS")
        listed_difference = differences.get(name, "").partition(" ")[0]
        # The peer's outcomes are of qemu64; what that CPU lacks another may have.
        offered = options.cpu != RECORDED_CPU and expected == "SKIP" and outcome == "SUCCESS"
        if outcome not in (expected, listed_difference) and not offered:
            wrong += 1
            print(f"{outcome:9} (peer: {expected}) {name}: {description}")
    counts = {outcome: list(outcomes.values()).count(outcome) for outcome in sorted(set(outcomes.values()))}
    print(f"{len(listed)} tests: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) +
          f"; {wrong} other than on the peer")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
