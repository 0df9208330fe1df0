"""A Debian machine that boots from a disk: its devices, and a way to drive it over its serial line."""

import shutil
from pathlib import Path

from commands.steps import BUILD, Failure
from emulator.qemu import Configuration, Machine, MachineFailure
from emulator.shell import Shell

LOGIN = r"root@torii:~# "
RESET = r"reboot: (?:Restarting system|machine restart)"
BAD_SIGNS = (r"Kernel panic - not syncing", r"You are in emergency mode", r"Gave up waiting for root")


def drive(path, form):
    """QEMU's options for a disk."""
    return ["-drive", f"file={path},format={form},if=virtio,discard=unmap"]


def network(ssh_port=None):
    """QEMU's options for a network card behind QEMU's user network."""
    forward = f",hostfwd=tcp:127.0.0.1:{ssh_port}-:22" if ssh_port else ""
    return ["-netdev", f"user,id=net0{forward}", "-device", "virtio-net-pci,netdev=net0"]


def firmware(which):
    """QEMU's options for BIOS or UEFI; the variables of the latter are the disk's own."""
    if which == "bios":
        return []
    code, variables = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), BUILD / "disk/uefi-variables.fd"
    if not code.exists():
        raise Failure(f"{code} is not there; it comes with the Debian package ovmf.")
    if not variables.exists():
        variables.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", variables)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}", "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]


class Debian:
    """The machine, driven over its serial line, where root is logged in at once."""

    def __init__(self, machine):
        self.machine = machine
        self.shell = Shell(machine, "the machine")

    def begin(self, time_limit=300):
        """Wait for root's shell."""
        self.machine.expect(LOGIN, time_limit=time_limit, fail_on=BAD_SIGNS)
        self.shell.begin()
        # Its marks would be taken for parts of answers.
        self.shell.run("bind 'set enable-bracketed-paste off'")

    def run(self, command, time_limit=120):
        """Run a command that must succeed; returns its output."""
        return self.shell.run(command, time_limit)

    def ask(self, command, time_limit=120):
        """What a command, or several, print, whatever else goes to the serial line meanwhile."""
        return self.shell.text(f"({command})", time_limit).strip()

    def power_off(self):
        """Shut the machine down."""
        self.machine.send("poweroff\n")
        code = self.machine.wait_end(time_limit=180)
        if code != 0:
            raise MachineFailure(f"{self.machine.name}: QEMU ended with code {code}.")

    def reboot(self, entry=None, time_limit=300):
        """Start again, by the default or another entry of GRUB's menu, and wait for root's shell."""
        if entry:
            self.run(f"grub-reboot '{entry}'")
        self.machine.send("reboot\n")
        self.machine.expect(RESET, time_limit=300)
        self.begin(time_limit)


def machine(extra, *, name, time_limit, memory="2048", cpus=1, cpu="qemu64", accel="tcg", card=True, **configuration):
    """A machine with these devices (not started yet), and a network card unless they have one."""
    wanted = Configuration(memory=memory, cpus=cpus, cpu=cpu, accel=accel, reboots=True, extra=[*extra, *(network() if card else [])],
                           **configuration)
    return Machine(wanted, time_limit=time_limit, name=name, log_path=BUILD / "log" / f"{name}.log")
