"""Runs commands in a shell at the other end of a machine's serial line."""

import base64
import contextlib
import gzip
import itertools
import json
import re
import time
import zlib

from emulator.qemu import MachineFailure

LEAVE_CONSOLE = "\x1d"  # Ctrl-]
_numbers = itertools.count(1)


class Shell:
    """A shell on the console, in dom0 or (through `torii console`) in a guest.

    After each command the shell prints a mark with the exit code; the echo of what was typed can't be taken for it, because
    there the code is still a variable.
    """

    def __init__(self, machine, what="dom0"):
        self.machine = machine
        self.what = what

    def begin(self, time_limit=30):
        """Wake the shell and make its terminal wide enough that long lines are not folded."""
        for _ in range(3):
            try:
                self.machine.send("\n")
                self.machine.send("stty cols 1000; PS1='@''ready@ '\n")
                self.machine.expect("@ready@ ", time_limit=time_limit / 3)
                self.run("true", time_limit=time_limit / 3)
                return
            except MachineFailure:
                if not self.machine.running():
                    raise
        raise MachineFailure(f"The shell of {self.what} does not answer on {self.machine.name}.")

    def attempt(self, command, time_limit=60):
        """Run a command; returns (exit code, output)."""
        number = next(_numbers)
        self.machine.send(f"{command}; echo \"@{number}@$?@\"\n")
        start = self.machine.position
        _, match = self.machine.expect(rf"@{number}@(\d+)@", time_limit=time_limit)
        output = self.machine.console.text[start:match.start()].replace("\r", "")
        self.machine.expect("@ready@ ", time_limit=time_limit)  # what is typed before the prompt would be echoed twice
        # What was typed comes back first, up to the end of its line.
        echo = re.search(rf"@{number}@\$\?@\"[^\n]*\n", output)
        return int(match.group(1)), output[echo.end():] if echo else output

    def run(self, command, time_limit=60):
        """Run a command that must succeed; returns its output."""
        code, output = self.attempt(command, time_limit)
        if code != 0:
            raise MachineFailure(f"In {self.what}, `{command}` ended with code {code} and said: {output.strip()}")
        return output

    def answer(self, command, time_limit=60):
        """What a command that only asks says in JSON."""
        text = self.text(command, time_limit)
        try:
            return json.loads(text)
        except ValueError as error:
            raise MachineFailure(f"In {self.what}, `{command}` answered no JSON: {text.strip()}") from error

    def text(self, command, time_limit=60):
        """What a command that only asks says. Kernel and hypervisor write to the same serial line, at any time: so the answer comes in
        one word with a checksum, and is asked for again when something got into that."""
        said = ""
        for _ in range(3):
            said = self.run(f"{command} | gzip | base64 -w 0; echo", time_limit)
            for word in said.split():
                with contextlib.suppress(ValueError, OSError, EOFError, zlib.error):
                    return gzip.decompress(base64.b64decode(word, validate=True)).decode(errors="replace")
        raise MachineFailure(f"In {self.what}, `{command}` answered nothing that can be read: {said.strip()[-2000:]}")

    @contextlib.contextmanager
    def console(self, command, name, time_limit=60):
        """Enter a guest's console by a command of this shell; gives the guest's shell, and leaves by Ctrl-] at the end."""
        self.machine.send(f"{command}\n")
        guest = Shell(self.machine, name)
        guest.begin(time_limit)
        yield guest
        self.leave_console()

    def leave_console(self):
        """Be in this shell again. What is typed before its prompt is there may go to the guest, or get lost when the client gives the
        terminal back."""
        for _ in range(3):
            # Alone: a client may look for it only as a whole piece of input.
            time.sleep(0.3)
            self.machine.send(LEAVE_CONSOLE)
            with contextlib.suppress(MachineFailure):
                self.machine.expect("@ready@ ", time_limit=10)
                break
        self.begin()
