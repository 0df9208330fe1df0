"""One way to drive dom0 whether it is Torii's or Xen 4.17's, so that each test can be held against real Xen."""

import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

# pylint: disable=wrong-import-position
from commands.steps import BUILD, ROOT, only_one, run  # noqa: E402
from emulator.accelerator import build_probe  # noqa: E402
from emulator.qemu import Configuration, Machine, MachineFailure, time_factor  # noqa: E402
from emulator.shell import Shell  # noqa: E402
from image import build as torii_image  # noqa: E402
from image import peer  # noqa: E402
from kernels.fetch import fetch, unpack_kernel  # noqa: E402

BAD_SIGNS = (r"Kernel panic - not syncing", r"Panic on CPU", r"KVM internal error", r"BUG: unable to handle")
GUEST_DEADLINE = 90
# Hypervisor and tools of a machine: Torii's both, Xen's both, or Torii's tools on Xen (which shows on which side a fault lies).
SIDES = ("torii", "xen", "mixed")
# In-guest programs: name to source, compiled static and put into dom0's image and into each guest's.
PROGRAMS = {
    "mark": "tools/study/guest/mark.c",
    "xenstore_load": "tests/integration/programs/xenstore_load.c",
    "hold": "tests/integration/programs/hold.c",
    "stalls": "tests/integration/programs/stalls.c",
    "clock_order": "tests/integration/programs/clock_order.c",
    "torture": "tests/integration/programs/torture.c",
}
# Small guests that the build makes, by the names that they have in dom0.
NEIGHBOUR = "/var/lib/torii/images/neighbour.elf"
SMALL_GUESTS = ("neighbour", "conformance", "cheat", "disk", "network")


def unpacked(description):
    """Where a description's kernel is in dom0 as an ELF file: unpacking xz takes an emulated processor some ten seconds."""
    return f"/var/lib/torii/images/{description}/vmlinux"


class Toolstack:
    """A booted dom0. Subclasses know the command line of their side."""

    name = "?"
    list_command = "?"
    guest_log = "?"  # of a guest's console, in dom0

    def __init__(self, machine):
        self.machine = machine
        self.shell = Shell(machine)

    def begin(self):
        """Wait for dom0's shell."""
        # Emulated CPUs share those of the host, and all take part in the boot.
        self.machine.expect(r"dom0:~# ", time_limit=120 + 30 * (self.machine.configuration.cpus - 1), fail_on=BAD_SIGNS)
        self.shell.begin()

    def create(self, name, description=None, arguments="", memory=None, vcpus=None):
        """Start a guest from the description of that name, with the kernel as the distribution packs it; from another's, for
        tests of which the kernel is not the point, with that kernel unpacked already. `memory` in MiB and `vcpus` in place of what it
        says."""
        raise NotImplementedError

    def names(self):
        """Names of the domains that are listed, dom0 left out."""
        raise NotImplementedError

    def console(self, name):
        """The guest's shell, through its console, as a context."""
        raise NotImplementedError

    def wait_gone(self, name, time_limit=30):
        """Wait until a domain is no longer listed."""
        deadline = time.monotonic() + time_limit * 3
        while name in self.names():
            if time.monotonic() > deadline:
                raise MachineFailure(f"{name} is still listed {time_limit * 3} s after it was told to end")
            time.sleep(0.3)

    def kernel_messages(self, shell):
        """Kernel messages at level warning and above, through a shell of dom0 or of a guest."""
        return shell.run("dmesg -r | grep '^<[0-4]>' || true").strip().splitlines()

    def figures(self):
        """Domain pages and free pages, asked of the hypervisor itself (not of the toolstack, which may be down)."""
        line = self.shell.run("mark figures")
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def free_pages(self):
        """Pages that are free, those still to be scrubbed included."""
        return self.figures()["free_pages"]

    def wait_free(self, pages, time_limit=20):
        """Wait until that many pages are free again; returns how many are in the end."""
        deadline = time.monotonic() + time_limit * 3
        while self.free_pages() != pages and time.monotonic() < deadline:
            time.sleep(0.5)
        return self.free_pages()

    def power_off(self):
        """End the machine in good order."""
        self.machine.send("poweroff\n")
        code = self.machine.wait_end(time_limit=60)
        if code != 0:
            raise MachineFailure(f"QEMU ended with code {code}")


class ToriiToolstack(Toolstack):
    """toriid and torii."""

    name = "torii"
    guest_log = "/var/log/torii/{}.log"

    def create(self, name, description=None, arguments="", memory=None, vcpus=None):
        extra = f" --cmdline 'console=hvc0 quiet {arguments}'" if arguments else ""
        extra += f" --memory {memory}M" if memory else ""
        extra += f" --vcpus {vcpus}" if vcpus else ""
        extra += f" --kernel {unpacked(description)}" if description else ""
        self.shell.run(f"torii create /etc/torii/guests/{description or name}.toml --name {name}{extra}", GUEST_DEADLINE)

    def names(self):
        return [row["name"] for row in self.rows("list --active") if row["domid"] != 0]

    def rows(self, command):
        """What a command that only asks answers with --json."""
        return self.shell.answer(f"torii --json {command}", GUEST_DEADLINE)

    def console(self, name):
        return self.shell.console(f"torii console {name}", name, GUEST_DEADLINE)

    def verb(self, verb, name, *rest):
        """Any other verb of the command line."""
        return self.shell.run(f"torii {verb} {name} {' '.join(rest)}".rstrip(), GUEST_DEADLINE)


class XenToolstack(Toolstack):
    """Xen's own daemons and xl."""

    name = "xen"
    guest_log = "/var/log/xen/guest-{}.log"

    def create(self, name, description=None, arguments="", memory=None, vcpus=None):
        extra = f" 'extra=\"console=hvc0 quiet {arguments}\"'" if arguments else ""
        extra += f" 'memory={memory}'" if memory else ""
        extra += f" 'vcpus={vcpus}'" if vcpus else ""
        self.shell.run(f"xl create /var/lib/guests/{description or name}.cfg 'name=\"{name}\"'{extra}", GUEST_DEADLINE)

    def names(self):
        # xl now and then aborts in its own locking (libxl_fork.c) on -cpu max; that is not what is tested.
        return [line.split()[0] for line in self.shell.run("xl list || xl list || xl list").splitlines()[1:]
                if re.match(r"\S+ +\d+ ", line) and not line.startswith("Domain-0")]

    def console(self, name):
        return self.shell.console(f"xl console {name}", name, GUEST_DEADLINE)

    def verb(self, verb, name, *rest):
        """Any other verb of the command line."""
        return self.shell.run(f"xl {verb} {name} {' '.join(rest)}".rstrip(), GUEST_DEADLINE)


def compile_programs():
    """The in-guest programs, static; returns name to path."""
    folder = BUILD / "images" / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in PROGRAMS.items():
        source, target = ROOT / source, folder / name
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            run(["gcc", "-O2", "-static", "-o", target, source], quiet=True)
    return {name: folder / name for name in PROGRAMS}


def dom0_image(side, name, kernel, guest_kernels, binaries, programs, drivers):
    """dom0's image for a test, with the in-guest programs, those of the test, small guests, and kernel modules for devices."""
    programs = compile_programs() | (programs or {})
    if side == "xen":
        archive = peer.archive(kernel, guest_kernels, programs)
    else:
        archive = torii_image.dom0_archive(kernel, guest_kernels, binaries, programs, drivers)
        if "debian-6.1" in guest_kernels:
            archive.add_file(unpacked("debian-6.1").lstrip("/"), unpack_kernel(guest_kernels["debian-6.1"].image))
    # A guest of some dozen instructions, for cycles in which the guest is not what is tested.
    archive.add_copy("var/lib/torii/images/micro.elf", build_probe(), 0o644)
    for guest in SMALL_GUESTS:
        archive.add_copy(f"var/lib/torii/images/{guest}.elf", binaries / "guests" / f"{guest}.elf", 0o644)
    path = BUILD / "images" / f"test-{name}.cpio"
    archive.write(path)
    return path


def boot(side, *, name, dom0="6.1", guests=(), cpu="qemu64", cpus=1, memory="2048", dom0_memory="768M", time_limit=300,
         hypervisor_arguments="", kernel_arguments="", hypervisor=None, binaries=BUILD, programs=None, drivers=(), machine_type="q35",
         devices=()):
    """A machine (not yet started) and the class that drives it. `side` is one of SIDES; `guests` are kernels' names; `programs` (see
    image/parts.py) are put into dom0 and guests; `drivers` are kernel modules of dom0, `devices` QEMU's words for what they drive."""
    with only_one("images"):
        kernel = fetch(dom0)
        image = dom0_image(side, name, kernel, {f"debian-{guest}": fetch(guest) for guest in guests}, binaries, programs, drivers)
        hypervisor = hypervisor or (BUILD / "torii.elf" if side == "torii" else peer.hypervisor())
    configuration = Configuration(
        hypervisor=hypervisor, initrd=image, kernel=kernel.image, kernel_arguments=f"console=hvc0 quiet {kernel_arguments}".strip(), cpu=cpu, cpus=cpus,
        memory=memory, machine=machine_type, extra=list(devices),
        hypervisor_arguments=f"console=com1 com1=115200 dom0_mem={dom0_memory},max:{dom0_memory} {hypervisor_arguments}".strip())
    machine = Machine(configuration, time_limit=time_limit, name=name, log_path=BUILD / "log" / f"{name}.log")
    return machine, (XenToolstack if side == "xen" else ToriiToolstack)
