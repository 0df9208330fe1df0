"""./tools/test: checks the tree as CI does."""

import argparse
import os
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field

from commands import long_tests, packages
from commands.builds import MACHINE_TARGETS, configure_and_build
from commands.steps import ROOT, Failure, main_guard, run, say

HELP = """\
Builds the tree and runs its tests.

  ./tools/test            what CI runs: host tests under sanitizers, checks of the tree, fuzzing for seconds, QEMU boots
  ./tools/test --quick    host tests and checks alone: no QEMU
  ./tools/test --only grant       those whose name matches a regular expression
  ./tools/test --long             the hour-long tests: which there are, and how far each got
  ./tools/test --long NAME        run or resume one; the result is kept in docs/long-tests.md
"""

FAILURE_LINES = 25


@dataclass
class Totals:
    """Counts over all runs of ctest."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: dict = field(default_factory=dict)  # name: what the test printed


def ctest(totals, folder, what, selection, *, parallel, extra=()):
    """Run some of a build's tests and add what came of them to `totals`."""
    say(what)
    report = folder / "ctest-report.xml"
    report.unlink(missing_ok=True)
    run(["ctest", "--test-dir", folder, "--output-on-failure", "--no-tests=ignore", "--parallel", parallel,
         "--output-junit", report, *selection, *extra], check=False)
    if not report.exists():
        return
    for case in xml.parse(report).getroot().iter("testcase"):
        if case.get("status") == "run":
            totals.passed += 1
        elif case.get("status") == "fail":
            totals.failed += 1
            totals.failures[case.get("name")] = case.findtext("system-out") or "(nothing)"
        else:
            totals.skipped += 1


def run_tests(options):
    """The tests that the options choose; returns the exit code."""
    only = ["--tests-regex", options.only] if options.only else []
    processors = str(os.cpu_count() or 1)
    totals = Totals()
    sanitized = configure_and_build("asan")
    ctest(totals, sanitized, "Host tests (AddressSanitizer, UndefinedBehaviorSanitizer)",
          ["--label-exclude", "lint|integration|fuzz"], parallel=processors, extra=only)
    if options.quick:
        ctest(totals, sanitized, "Checks of the tree", ["--label-regex", "lint"], parallel=processors, extra=only)
        return tell(totals)
    threaded = configure_and_build("tsan", ["threads_test"])
    ctest(totals, threaded, "Hypercalls on real threads (ThreadSanitizer)", ["--label-regex", "threads"], parallel="1", extra=only)
    release = configure_and_build("release", MACHINE_TARGETS)
    ctest(totals, release, "Checks of the tree and of the image", ["--label-regex", "lint"], parallel=processors, extra=only)
    if (ROOT / "tests/fuzz/CMakeLists.txt").exists():
        fuzzing = configure_and_build("fuzz", ["fuzz_targets"])
        ctest(totals, fuzzing, "Fuzz targets, 10 s each", ["--label-regex", "fuzz"], parallel=processors, extra=only)
    os.environ.setdefault("TORII_TIME_FACTOR", "3")
    ctest(totals, release, "Boots in QEMU", ["--label-regex", "integration"], parallel=processors, extra=only)
    if not options.only:
        say("Not part of this run, because they take too long:")
        for line in long_tests.left_out_of_ci():
            print(f"    {line}")
    return tell(totals)


def tell(totals):
    """Print the outcome, with how each failed test ended: its whole output is far above. The last line is plain, for programs."""
    for name, text in totals.failures.items():
        say(f"The last lines of {name}")
        print("\n".join(text.splitlines()[-FAILURE_LINES:]))
    say("Done")
    for name in totals.failures:
        print(f"failed: {name}")
    if totals.skipped:
        print(f"{totals.skipped} skipped")
    print(f"{totals.passed} passed, {totals.failed} failed", flush=True)
    return 1 if totals.failed or not totals.passed else 0


def main(arguments):
    """Parse the options and run."""
    parser = argparse.ArgumentParser(prog="./tools/test", description=HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="host tests and checks alone")
    parser.add_argument("--only", metavar="REGEX", help="tests whose name matches")
    parser.add_argument("--long", nargs="?", const="", metavar="NAME", help="run or resume a long test; without a name, list them")
    options = parser.parse_args(arguments)
    if options.quick and options.long is not None:
        raise Failure("--quick and --long exclude each other.")
    if options.long == "":
        return long_tests.list_all()
    packages.install({"run", "test"})
    if options.long:
        return long_tests.run_one(options.long)
    return run_tests(options)


if __name__ == "__main__":
    raise SystemExit(main_guard(main))
