"""Chooses between KVM and QEMU's own translator.

That /dev/kvm opens proves nothing: on some hosts supervisor code under it crawls. So a small paravirtual guest (probe.S) is
booted on the very hypervisor, under a time limit; if it does not come through, the software CPU is used.
"""

import os

from commands.steps import BUILD, TOOLS, run, say
from emulator.qemu import Configuration, Machine, MachineFailure

PROBE_LIMIT = 12
KVM = "/dev/kvm"


def build_probe():
    """The probe guest's ELF file, built if it is older than its source."""
    source, target = TOOLS / "emulator/probe.S", BUILD / "images/probe.elf"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        run(["gcc", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,--omagic",
             "-Wl,-Ttext=0xffffffff80100000", "-Wl,--section-start=.note.Xen=0xffffffff80101000", "-o", target, source], quiet=True)
    return target


def probe(accel, cpu, hypervisor):
    """Seconds that the probe took under an accelerator, or None if it did not come through."""
    configuration = Configuration(hypervisor=hypervisor, hypervisor_arguments="console=com1 com1=115200",
                                  kernel=build_probe(), memory="512", cpu=cpu, accel=accel)
    try:
        with Machine(configuration, time_limit=PROBE_LIMIT, name=f"probe under {accel}",
                     log_path=BUILD / "log" / f"probe-{accel}.log") as machine:
            machine.expect("torii probe: done", time_limit=PROBE_LIMIT, fail_on=("KVM internal error", "[Pp]anic"))
            return machine.seconds()
    except MachineFailure:
        return None


def choose(wanted, cpu, hypervisor):
    """The accelerator to use for `--accel auto|tcg|kvm`."""
    if wanted != "auto":
        return wanted
    if not os.access(KVM, os.R_OK | os.W_OK):
        say("No usable /dev/kvm: the processor is emulated (tcg)")
        return "tcg"
    say(f"Probing {KVM} (at most {PROBE_LIMIT} s)")
    seconds = probe("kvm", cpu, hypervisor)
    if seconds is None:
        say(f"{KVM} did not bring the probe through in time: the processor is emulated (tcg)")
        return "tcg"
    say(f"The probe came through in {seconds:.1f} s: using KVM")
    return "kvm"
