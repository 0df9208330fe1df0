"""What every command of tools/ shares: saying each step with its time, running programs, and failing with a sentence."""

import contextlib
import fcntl
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
BUILD = Path(os.environ.get("TORII_BUILD", ROOT / "build")).absolute()
CACHE = BUILD / "cache"

_started = time.monotonic()


class Failure(Exception):
    """An error a person can act on: what was tried, what was found, what to do."""


def elapsed():
    """Seconds since the command started."""
    return time.monotonic() - _started


def say(text):
    """Print one step, with the time since the command started."""
    print(f"==> [{elapsed():6.1f} s] {text}", flush=True)


def run(arguments, *, quiet=False, check=True, time_limit=None, **options):
    """Run a program. With `quiet` its output is kept and shown only when it fails."""
    arguments = [str(argument) for argument in arguments]
    if quiet:
        options.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        result = subprocess.run(arguments, timeout=time_limit, text=True, errors="replace", **options)
    except FileNotFoundError as error:
        raise Failure(f"The program {arguments[0]} is not installed; tools/packages.txt should name its package.") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{shlex.join(arguments)} did not end within {time_limit} seconds.") from error
    if check and result.returncode != 0:
        if quiet and result.stdout:
            sys.stdout.write(result.stdout)
        raise Failure(f"{shlex.join(arguments)} ended with code {result.returncode}.")
    return result


@contextlib.contextmanager
def only_one(what):
    """While the block runs, no other process is in one of the same name: for what is written below build/."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f".{what}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def as_root(arguments):
    """The same command line, through sudo where this is not root."""
    if os.geteuid() == 0:
        return list(arguments)
    return ["sudo", *arguments]


def main_guard(main):
    """Run `main(argv)` and turn failures into one sentence and a non-zero exit."""
    try:
        return main(sys.argv[1:]) or 0
    except Failure as failure:
        print(f"\nError: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
