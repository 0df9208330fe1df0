"""The xenstore service with Debian's own clients: each program of xenstore-utils, many at once, and a killed service.

usage: stock_clients.py STANDALONE [STRESS]   (exit code 77: xenstore-utils is not installed)
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SKIPPED = 77
STRESS_CLIENTS, STRESS_TRANSACTIONS = 4, 420  # six requests each: more than 10,000 operations


class Store:
    """A running service; its clients are told where it is by the environment."""

    def __init__(self, program, directory):
        self.program, self.directory = program, Path(directory)
        self.process = None
        os.environ["XENSTORED_PATH"] = str(self.directory / "socket")
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, self.directory, self.directory / "state"])
        for _ in range(100):
            if run("xenstore-exists", "/").returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit("the service does not answer")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def expect(output, *command, code=0):
    """Run a client; its output and exit code must be these."""
    result = run(*command)
    if (result.stdout, result.returncode) != (output, code):
        raise SystemExit(f"{' '.join(command)}: exit code {result.returncode}, output {result.stdout!r} "
                         f"{result.stderr!r}; expected {code}, {output!r}")


def each_client():
    expect("", "xenstore-write", "/a/b", "hello", "/a/c", "world")
    expect("hello\nworld\n", "xenstore-read", "/a/b", "/a/c")
    expect("b\nc\n", "xenstore-list", "/a")
    expect("", "xenstore-exists", "/a/b")
    expect("", "xenstore-exists", "/nothing", code=1)
    expect("", "xenstore-read", "/nothing", code=1)
    expect("", "xenstore-chmod", "/a/b", "n0", "r5")
    expect('/a = ""   (n0)\n/a/b = "hello"   (n0,r5)\n/a/c = "world"   (n0)\n', "xenstore-ls", "-f", "-p")
    expect("", "xenstore-chmod", "-r", "/a", "r0")
    expect('/a/b = "hello"   (r0)\n/a/c = "world"   (r0)\n', "xenstore-ls", "-f", "-p", "/a")
    expect("", "xenstore-rm", "/a/b")
    expect('c = "world"\n', "xenstore-ls", "/a")
    expect("", "xenstore-write", "relative", "1")
    expect("1\n", "xenstore", "read", "/local/domain/0/relative")


def long_directory():
    names = [f"/long/child-number-{number}" for number in range(700)]
    for start in range(0, len(names), 100):
        arguments = [word for name in names[start:start + 100] for word in (name, "v")]
        expect("", "xenstore-write", *arguments)
    listed = run("xenstore-list", "/long").stdout.split()
    if sorted(listed) != sorted(name.removeprefix("/long/") for name in names):
        raise SystemExit(f"/long lists {len(listed)} of {len(names)} children")


def watching():
    watch = subprocess.Popen(["xenstore-watch", "-n", "3", "/w"], stdout=subprocess.PIPE, text=True)
    first = watch.stdout.readline()
    expect("", "xenstore-write", "/w/x", "1")
    expect("", "xenstore-rm", "/w/x")
    rest, _ = watch.communicate(timeout=10)
    if (first, rest) != ("/w\n", "/w/x\n/w/x\n"):
        raise SystemExit(f"xenstore-watch saw {first!r} {rest!r}")


def many_at_once():
    def client(number):
        for step in range(40):
            expect("", "xenstore-write", f"/many/{number}/a", str(step), f"/many/{number}/b", str(step))
            expect(f"{step}\n{step}\n", "xenstore-read", f"/many/{number}/a", f"/many/{number}/b")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(client, range(4)))


def stress(program):
    begin = time.monotonic()
    result = run(program, str(STRESS_CLIENTS), str(STRESS_TRANSACTIONS))
    print(result.stdout, end="")
    if result.returncode != 0:
        raise SystemExit(f"transactions were lost: {result.stderr}")
    print(f"{STRESS_CLIENTS * STRESS_TRANSACTIONS * 6} operations in {time.monotonic() - begin:.1f} s")


def killed(store):
    for number in range(5):
        expect("", "xenstore-write", f"/killed/{number}", str(number))
        store.kill()
        store.start()
    for number in range(5):
        expect(f"{number}\n", "xenstore-read", f"/killed/{number}")


def main():
    if shutil.which("xenstore-ls") is None:
        print("xenstore-utils is not installed")
        return SKIPPED
    with tempfile.TemporaryDirectory() as directory:
        store = Store(sys.argv[1], directory)
        try:
            each_client()
            long_directory()
            watching()
            many_at_once()
            if len(sys.argv) > 2:
                stress(sys.argv[2])
            killed(store)
        finally:
            store.kill()
    print("all as expected")
    return 0


sys.exit(main())
