"""The demonstration: two guests from memory at once, a command run in each over its console, one shut down, one destroyed, the
memory back. Then a Debian that boots from a disk: its systemd, a page from dom0 and from another guest, a file that is there after
its reboot. Each step is told with its time; only if every step happened is the exit code 0."""

import contextlib

from commands.steps import BUILD, Failure, say
from emulator.qemu import Machine, MachineFailure
from emulator.shell import LEAVE_CONSOLE, Shell

TIME_LIMIT = 600
GUESTS = ("demo-1", "demo-2")
# The guest that boots from a disk, and its user's password on the console.
INSTALLED = "bookworm"
USER = PASSWORD = "torii"
# dom0's address for guests, and the other guest's.
SERVER, NEIGHBOUR = "192.168.77.1", "10.1.0.1"
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

    def small_guests(self):
        """Two that have all in memory."""
        before = self.free_memory()
        self.step(f"toriid answers; {before // 1024} MiB are free")
        for name in GUESTS:
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

    @contextlib.contextmanager
    def installed(self, time_limit=240):
        """A shell of the guest that boots from a disk, once it shows its login prompt."""
        self.machine.send(f"torii console {INSTALLED}\n")
        self.machine.expect(f"{INSTALLED} login: ", time_limit=time_limit, fail_on=(r"Kernel panic", r"emergency mode"))
        self.step(f"{INSTALLED} shows its login prompt")
        self.machine.send(f"{USER}\n")
        self.machine.expect("Password: ")
        self.machine.send(f"{PASSWORD}\n")
        self.machine.expect(r"\$ ")
        guest = Shell(self.machine, INSTALLED)
        guest.begin()
        # Its marks would be taken for parts of answers.
        guest.run("bind 'set enable-bracketed-paste off'")
        yield guest
        self.shell.leave_console()

    def want(self, guest, what, command, answer, time_limit=60):
        """One thing that the guest must do."""
        said = guest.run(command, time_limit).strip()
        if answer not in said:
            raise MachineFailure(f"In {INSTALLED}, `{command}` said {said!r}, without {answer!r}.")
        self.step(f"{INSTALLED} {what}: {answer}")

    def installed_guest(self):
        """systemd, pages from dom0 and from another guest, a file that stays."""
        self.shell.run(f"ip addr add {SERVER}/32 dev lo; mkdir -p /tmp/www; echo a page of dom0 >/tmp/www/page; httpd -h /tmp/www")
        self.torii(f"create /var/lib/torii/images/{INSTALLED}/guest.toml", 120)
        self.torii(f"create /etc/torii/guests/debian.toml --name {GUESTS[0]}")
        for name in (INSTALLED, GUESTS[0]):
            self.torii(f"attach net {name} --attachment switch=demo")
        self.step(f"{INSTALLED} and {GUESTS[0]} are created, with a card each at one switch")
        with self.shell.console(f"torii console {GUESTS[0]}", GUESTS[0]) as guest:
            guest.run(f"mkdir -p /tmp/www; echo a page of {GUESTS[0]} >/tmp/www/page; httpd -h /tmp/www; ip addr add {NEIGHBOUR}/24 dev eth0; ip link set eth0 up")
        with self.installed() as guest:
            self.want(guest, "has no unit that failed", "systemctl is-system-running --wait; systemctl --failed --no-legend", "running", 240)
            self.want(guest, "fetches from dom0", f"wget -q -O - http://{SERVER}/page", "a page of dom0")
            guest.run("sudo ip addr add 10.1.0.2/24 dev eth1; sudo ip link set eth1 up")
            self.want(guest, f"fetches from {GUESTS[0]}", f"wget -q -O - http://{NEIGHBOUR}/page", f"a page of {GUESTS[0]}")
            guest.run("echo written before the reboot >note; sync")
            self.machine.send("sudo reboot\n")
            self.machine.expect(r"reboot: Restarting system", time_limit=120)
            self.machine.send(LEAVE_CONSOLE)
            self.machine.expect("@ready@ ")
        with self.installed() as guest:
            self.want(guest, "still has what it wrote", "cat note", "written before the reboot")
        said = self.torii(f"ssh {INSTALLED} -- cat note", 120)
        if "written before the reboot" not in said:
            raise MachineFailure(f"`torii ssh {INSTALLED} -- cat note` said {said!r}.")
        self.step(f"torii ssh leads into {INSTALLED}")
        for name in (GUESTS[0], INSTALLED):
            self.torii(f"shutdown {name}", 120)
            self.wait_gone(name, 240)
        self.step("both have shut themselves down")

    def run(self, installed):
        """All steps."""
        self.machine.expect(r"dom0:~# ", time_limit=90, fail_on=BAD_SIGNS)
        self.shell.begin()
        self.step("dom0's shell answers")
        self.small_guests()
        if installed:
            self.installed_guest()
        self.machine.send("poweroff\n")
        code = self.machine.wait_end(time_limit=30)
        if code != 0:
            raise MachineFailure(f"QEMU ended with code {code}.")
        self.step("the machine is powered off")


def run_demo(configuration, installed):
    """Boot and run the demonstration, with the guest that is installed on a disk if there is one; returns the exit code."""
    say("Booting for the demonstration")
    try:
        with Machine(configuration, time_limit=TIME_LIMIT, name="the machine", log_path=BUILD / "log/demo.log") as machine:
            Demonstration(machine).run(installed)
    except MachineFailure as failure:
        raise Failure(f"The demonstration failed: {failure}") from failure
    say("The demonstration is complete")
    return 0
