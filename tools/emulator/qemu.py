"""Boots one machine under QEMU, listens to its serial console and talks to it.

A Machine is started with a hypervisor and its modules (or with a bare kernel), has a time limit for its whole life, and is
always ended: by itself, by stop(), when its time is up, or by the kernel when this program dies. Everything that it prints
is kept with the host's time at which each line was complete.
"""

import ctypes
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
# What QEMU keeps of translated code in a machine that may be reset. Code of a page is translated anew for each address at which a
# process has it, so after thousands of processes a page of the C library has as many translations. QEMU keeps them over a reset, and
# walks through all of a page's whenever that page is written to, as firmware and boot loader do then: with its usual 1 GiB that takes
# them many minutes. When this much is full, all are forgotten.
TRANSLATED_MIB = 128


class MachineFailure(Exception):
    """The machine did not do what was waited for; carries the end of its console."""


def time_factor():
    """How many times its usual time a machine gets: CI sets 3, because its processors are shared."""
    return float(os.environ.get("TORII_TIME_FACTOR", "1"))


@dataclass
class Configuration:
    """What to boot and on which machine. `kernel` without `hypervisor` boots on the bare machine; without either the firmware boots
    what `extra` gives it."""

    hypervisor: Path | None = None
    hypervisor_arguments: str = ""
    kernel: Path | None = None
    kernel_arguments: str = ""
    initrd: Path | None = None
    machine: str = "q35"
    memory: str = "2048"
    cpus: int = 1
    cpu: str = "qemu64"
    accel: str = "tcg"
    icount: bool = False
    terminal: bool = False  # the serial line is this terminal, with QEMU's monitor behind Ctrl-a c
    reboots: bool = False  # a reboot is one, and not the end
    extra: list = field(default_factory=list)


class ConsoleLog:
    """The console's bytes, and its complete lines with the second at which each was complete."""

    def __init__(self):
        self.text = ""
        self.lines = []
        self._partial = ""

    def add(self, data, second):
        """Take what the machine has just printed."""
        text = data.decode("utf-8", errors="replace")
        self.text += text
        *complete, self._partial = (self._partial + text).split("\n")
        self.lines.extend((second, line.rstrip("\r")) for line in complete)

    def stamped(self):
        """All lines, each with its time in front."""
        rows = [f"[{second:9.3f}] {line}" for second, line in self.lines]
        if self._partial:
            rows.append(f"[      ...] {self._partial}")
        return "\n".join(rows) + "\n"


def _die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """One QEMU process. Use as a context manager: leaving the block ends it."""

    def __init__(self, configuration, *, time_limit, log_path=None, name="machine", mirror=None):
        self.configuration = configuration
        self.name = name
        self.time_limit = time_limit * time_factor()
        self.log_path = Path(log_path) if log_path else None
        self.console = ConsoleLog()
        self.position = 0
        self._mirror = mirror
        self._process = None
        self._folder = None
        self._started = 0.0
        self._changed = threading.Condition()
        self._ended = False
        self._timed_out = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.stop()

    def command_line(self):
        """QEMU's arguments. Module files are linked into a folder of our own: QEMU's multiboot loader splits at commas
        and spaces, so neither may be in a path."""
        wanted = self.configuration
        accel = f"tcg,tb-size={TRANSLATED_MIB}" if wanted.accel == "tcg" and wanted.reboots else wanted.accel
        line = ["qemu-system-x86_64", "-M", wanted.machine, "-accel", accel, "-cpu", wanted.cpu, "-m", str(wanted.memory),
                "-smp", str(wanted.cpus), "-display", "none",
                *(["-serial", "mon:stdio"] if wanted.terminal else ["-serial", "stdio", "-monitor", "none"]), *([] if wanted.reboots else ["-no-reboot"]), "-nic", "none", "-seed", "1", *wanted.extra]
        if wanted.icount:
            line += ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm"]
        kernel = self._link(wanted.kernel, "kernel")
        initrd = self._link(wanted.initrd, "initrd")
        if not wanted.hypervisor and not kernel:
            return line
        if not wanted.hypervisor:
            line += ["-kernel", kernel, "-append", wanted.kernel_arguments]
            return line + (["-initrd", initrd] if initrd else [])
        line += ["-kernel", self._link(wanted.hypervisor, "hypervisor"), "-append", wanted.hypervisor_arguments]
        if kernel:
            first = f"{kernel} {wanted.kernel_arguments}".rstrip().replace(",", ",,")
            line += ["-initrd", f"{first},{initrd}" if initrd else first]
        return line

    def _link(self, path, name):
        if path is None:
            return None
        path = Path(path).absolute()
        if not path.is_file():
            raise MachineFailure(f"{self.name}: {path} is not there, so it can't be booted.")
        link = Path(self._folder) / name
        if not link.exists():
            link.symlink_to(path)
        return str(link)

    def start(self):
        """Start QEMU and the thread that listens to it."""
        self._folder = tempfile.mkdtemp(prefix="torii-machine-")
        try:
            line = self.command_line()
            self._started = time.monotonic()
            self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                             bufsize=0, preexec_fn=_die_with_parent)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        threading.Thread(target=self._listen, daemon=True).start()

    def run_on_terminal(self):
        """Give the machine this terminal until it powers off; returns QEMU's exit code."""
        self._folder = tempfile.mkdtemp(prefix="torii-machine-")
        try:
            return subprocess.run(self.command_line(), check=False, preexec_fn=_die_with_parent).returncode
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def seconds(self):
        """Seconds since QEMU was started."""
        return time.monotonic() - self._started

    def _listen(self):
        """Collect output until QEMU ends or its time is up."""
        output = self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                left = self.time_limit - self.seconds()
                if left <= 0:
                    self._timed_out = True
                    self._process.kill()
                    break
                if not selector.select(min(left, 1.0)):
                    continue
                data = output.read(65536)
                if not data:
                    break
                with self._changed:
                    self.console.add(data, self.seconds())
                    self._changed.notify_all()
                if self._mirror:
                    self._mirror(data)
        self._process.wait()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def expect(self, *patterns, time_limit=60, fail_on=()):
        """Wait until one of the regular expressions appears after the last match; return (its index, the match).

        Raises MachineFailure when the time is up, the machine ends, or a pattern of `fail_on` comes first.
        """
        limit = time_limit * time_factor()
        deadline = time.monotonic() + limit
        wanted = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
        bad = [re.compile(pattern, re.MULTILINE) for pattern in fail_on]
        with self._changed:
            while True:
                found = self._earliest(wanted)
                failed = self._earliest(bad)
                if failed and (not found or failed[1].start() < found[1].start()):
                    raise MachineFailure(self._tell(f"printed {failed[1].group(0)!r}"))
                if found:
                    self.position = found[1].end()
                    return found
                if self._ended:
                    why = "ran out of its time" if self._timed_out else f"ended (code {self._process.returncode})"
                    raise MachineFailure(self._tell(f"{why} before printing {' or '.join(patterns)}"))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MachineFailure(self._tell(f"did not print {' or '.join(patterns)} within {limit:.0f} s"))
                self._changed.wait(left)

    def _earliest(self, patterns):
        best = None
        for index, pattern in enumerate(patterns):
            match = pattern.search(self.console.text, self.position)
            if match and (best is None or match.start() < best[1].start()):
                best = (index, match)
        return best

    def _tell(self, what):
        tail = "\n".join("    | " + line for line in self.console.text.replace("\r", "").splitlines()[-25:])
        kept = f" Whole console: {self.log_path}." if self.log_path else ""
        return f"{self.name} {what}.{kept} The end of its console:\n{tail}"

    def send(self, text):
        """Type `text` on the serial line, in pieces that a 16-byte receive queue and a busy guest can keep up with."""
        data = text.encode()
        for start in range(0, len(data), 64):
            try:
                self._process.stdin.write(data[start:start + 64])
            except (BrokenPipeError, ValueError) as error:
                raise MachineFailure(self._tell("ended while being typed to")) from error
            if len(data) > 64:
                time.sleep(0.02)

    def wait_end(self, time_limit=60):
        """Wait until the machine powers itself off; returns QEMU's exit code."""
        deadline = time.monotonic() + time_limit * time_factor()
        with self._changed:
            while not self._ended:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MachineFailure(self._tell("did not power off"))
                self._changed.wait(left)
        if self._timed_out:
            raise MachineFailure(self._tell("ran out of its time"))
        return self._process.returncode

    def running(self):
        """Whether QEMU is still there."""
        return not self._ended

    def stop(self):
        """End QEMU if it has not ended, write the log, remove the links."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process:
            self._process.stdin.close()
        if self.log_path:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            with self._changed:
                self.log_path.write_text(self.console.stamped())
        shutil.rmtree(self._folder, ignore_errors=True)
