"""The demonstration: two guests at once, a command run in each over its console, one shut down, one destroyed, the memory back,
power off. Each step is told with its time; only if every step happened is the exit code 0."""

from commands.steps import BUILD, Failure, say
from emulator.qemu import Machine, MachineFailure
from emulator.shell import Shell

TIME_LIMIT = 170
GUESTS = ("demo-1", "demo-2")
BAD_SIGNS = (r"Kernel panic - not syncing", r"\bFATAL\b", r"Panic on CPU")


class Demonstration:
    """Drives dom0's shell from outside, as a person at the serial line would."""

    def __init__(self, machine):
        self.machine = machine
        self.shell = Shell(machine)

    def step(self, text):
        """Tell that a step has happened, with the machine's own time."""
        say(f"demo [{self.machine.seconds():6.1f} s after power-on]: {text}")

    def torii(self, arguments, time_limit=60):
        """Run the command line in dom0; returns what it printed."""
        return self.shell.run(f"torii {arguments}", time_limit)

    def answer(self, command):
        """What a command answers with --json."""
        return self.shell.answer(f"torii --json {command}")

    def free_memory(self):
        """Free memory of the machine in KiB."""
        return self.answer("host")["free_memory_kib"]

    def listed(self):
        """Names of the domains that exist."""
        return [row["name"] for row in self.answer("list --active")]

    def command_in_guest(self, name, number):
        """Run a command in a guest over its console; returns its output."""
        with self.shell.console(f"torii console {name}", name) as guest:
            return guest.run(f"echo answer-$(({number} * 1000)) from $(uname -r)").strip()

    def wait_gone(self, name, tries=60):
        """Wait until a domain is no longer listed."""
        for _ in range(tries):
            if name not in self.listed():
                return
            self.shell.run("sleep 0.5")
        raise MachineFailure(f"{name} is still listed {tries // 2} s after it was told to end.")

    def run(self):
        """All steps."""
        self.machine.expect(r"dom0:~# ", time_limit=90, fail_on=BAD_SIGNS)
        self.shell.begin()
        self.step("dom0's shell answers")
        before = self.free_memory()
        self.step(f"toriid answers; {before // 1024} MiB are free")
        for number, name in enumerate(GUESTS, start=1):
            self.torii(f"create /etc/torii/guests/debian.toml --name {name}")
            self.step(f"{name} is created")
        names = self.listed()
        if not all(name in names for name in GUESTS):
            raise MachineFailure(f"Not both guests are listed: {names}")
        self.step(f"both run at once: {', '.join(names)}")
        for number, name in enumerate(GUESTS, start=1):
            answer = self.command_in_guest(name, number)
            if f"answer-{number}000" not in answer:
                raise MachineFailure(f"{name} answered {answer!r} on its console.")
            self.step(f"{name} answers on its console: {answer}")
        self.torii(f"shutdown {GUESTS[0]}")
        self.wait_gone(GUESTS[0])
        self.step(f"{GUESTS[0]} has shut itself down")
        self.torii(f"destroy {GUESTS[1]}")
        self.wait_gone(GUESTS[1])
        self.step(f"{GUESTS[1]} is destroyed")
        after = self.free_memory()
        if after != before:
            raise MachineFailure(f"{before} KiB were free before the guests, {after} are after them.")
        self.step(f"all memory is back: {after // 1024} MiB are free")
        self.machine.send("poweroff\n")
        code = self.machine.wait_end(time_limit=30)
        if code != 0:
            raise MachineFailure(f"QEMU ended with code {code}.")
        self.step("the machine is powered off")


def run_demo(configuration):
    """Boot and run the demonstration; returns the exit code."""
    say("Booting for the demonstration")
    try:
        with Machine(configuration, time_limit=TIME_LIMIT, name="the machine", log_path=BUILD / "log/demo.log") as machine:
            Demonstration(machine).run()
    except MachineFailure as failure:
        raise Failure(f"The demonstration failed: {failure}") from failure
    say("The demonstration is complete")
    return 0
