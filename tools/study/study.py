"""Measures Torii beside Xen 4.17 on the same emulated machine, and writes docs/benchmarks.md.

    ./tools/study/benchmarks                     all runs, then the tables (about 25 minutes)
    ./tools/study/benchmarks --runs xen-dom0 torii-dom0      some runs again, then the tables
    ./tools/study/benchmarks --runs              no run: the tables from what is in build/study

Under QEMU's -icount the time stamp counter counts instructions, so the figures are the same on every machine and every day;
only a change of the programs, the kernel or the hypervisor moves them.
"""

import argparse
from pathlib import Path

from commands.packages import install
from commands.steps import BUILD, ROOT, TOOLS, Failure, main_guard, run, say
from emulator.qemu import Configuration, Machine, MachineFailure
from image import build as torii_image
from image import parts, peer
from kernels.fetch import fetch, unpack_kernel
from study import curve, devices, split, tables

GUEST = TOOLS / "study" / "guest"
OUTPUT = BUILD / "study"
PROGRAMS = {"bench": ("-O2", "bench.c"), "hypercalls": ("-O2", "hypercalls.c"), "mark": ("-O2", "mark.c"),
            "true": ("-O2", "true.c"), "nop": ("-nostdlib", "nop.S"), "idle": ("-O2", "idle.c"), "devices": ("-O2", "devices.c"), "split": ("-O2", "split.c")}
# QEMU's plugin that counts, for the runs whose counting the time stamp counter can't do.
PLUGIN = OUTPUT / "count.so"
COUNTED_RUNS = ("idle", *(f"curve-{cpus}" for cpus in curve.CPUS))
# The other one, that finds memory for which CPUs compete.
SHARE_PLUGIN = OUTPUT / "share.so"
# Runs with several CPUs; Torii's only: Xen's with four of them under -icount did not come to its end.
CPUS = {**{f"curve-{cpus}": cpus for cpus in curve.CPUS}, "shared": curve.SHARED_CPUS}
# A timer that ends QEMU's turns: it emulates its CPUs one after the other, each until the next timer. With short turns a CPU is
# often interrupted in the middle of something, as if the others went on at the same time.
SHORT_TURNS = ["-netdev", "hubport,id=turns,hubid=0", "-object", "filter-buffer,id=turn,netdev=turns,interval=20"]
# Torii with its symbols, from which the image is made.
LINKED = BUILD / "hypervisor/arch/x86/hw/torii64.elf"
SIDES = ("xen", "torii")
# Name of a run without its side: kernel of dom0 ("image" as Debian ships it, "elf" unpacked), what dom0 does, memory in MiB,
# and the guest's kernel and words.
RUNS = {
    "dom0": ("elf", "bench:hypercalls", 2048, ""),
    "guest": ("elf", "guest", 2048, "kernel=vmlinux guest=bench"),
    "create": ("elf", "guest", 2048, "kernel=vmlinux guest=none"),
    "create-image": ("image", "guest", 2048, "kernel=vmlinuz guest=none"),
    "memory-1024": ("elf", "tools", 1024, ""),
    "memory-4096": ("elf", "tools", 4096, ""),
    "pair": ("elf", "pair", 2048, ""),
    "idle": ("elf", "idle", 2560, "kernel=vmlinux"),
    "devices": ("elf", "devices", 2048, ""),
    "split": ("elf", "split", 2048, "kernel=vmlinux"),
    **{name: ("elf", "curve", 2048, f"cpus={cpus}") for name, cpus in CPUS.items()},
}
# Without a hypervisor: name of the run, what is done.
BARE = {"bare": "bench", "bare-devices": "devices"}
TIME_LIMIT = 900


def compile_programs():
    """The in-guest programs, static; the small guest, by the build that has made Torii; QEMU's plugin."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, (mode, source) in PROGRAMS.items():
        run(["gcc", mode, "-static", "-o", OUTPUT / name, GUEST / source], quiet=True)
    for plugin in (PLUGIN, SHARE_PLUGIN):
        run(["gcc", "-O2", "-shared", "-fPIC", "-o", plugin, TOOLS / "study" / "plugin" / f"{plugin.stem}.c"], quiet=True)
    run(["gcc", "-O2", "-static", "-o", OUTPUT / "credit-random-pool", TOOLS / "image/peer/credit_random_pool.c"], quiet=True)
    run(["cmake", "--build", BUILD, "--target", "pair", "curve"], quiet=True)


def add_programs(archive):
    """Put the programs where bench expects them."""
    for name in ("bench", "hypercalls", "mark", "idle", "credit-random-pool"):
        archive.add_copy(f"usr/bin/{name}", OUTPUT / name, 0o755)
    for name in ("nop", "true"):
        archive.add_copy(f"bench/{name}", OUTPUT / name, 0o755)


def build_images(kernel, sides):
    """The guest's initramfs (also the bare machine's) and one of dom0 for each side."""
    guest = parts.base_archive()
    add_programs(guest)
    guest.add_copy("init", GUEST / "guest-init", 0o755)
    devices.build_module(kernel, OUTPUT)
    devices.add_to(guest, kernel, OUTPUT)
    split.add_to(guest, kernel, OUTPUT)
    guest.write(OUTPUT / "guest.cpio")
    vmlinux = OUTPUT / "vmlinux"
    vmlinux.write_bytes(unpack_kernel(kernel.image))
    for side in sides:
        archive = peer.archive(kernel, {}) if side == "xen" else torii_image.dom0_archive(kernel, {}, BUILD)
        add_programs(archive)
        archive.add_copy("init", GUEST / "dom0-init", 0o755)
        archive.add_copy("etc/study-toolstack", GUEST / f"toolstack-{side}", 0o644)
        devices.add_to(archive, kernel, OUTPUT)
        split.add_to(archive, kernel, OUTPUT, side)
        archive.add_copy("study/vmlinux", vmlinux, 0o644)
        archive.add_copy("study/vmlinuz", kernel.image, 0o644)
        for name in ("pair.elf", "curve.elf"):
            archive.add_copy(f"study/{name}", BUILD / "guests" / name, 0o644)
        archive.add_copy("study/initrd.cpio", OUTPUT / "guest.cpio", 0o644)
        archive.write(OUTPUT / f"dom0-{side}.cpio")


def device_words(what):
    """QEMU's words for the machine of a run about devices, and nothing for others."""
    words = {"devices": devices.machine_words, "split": split.machine_words}
    return ["-plugin", PLUGIN, *words[what]()] if what in words else []


def configuration(name, kernel, hypervisors):
    """The machine of a run."""
    if name in BARE:
        return Configuration(kernel=kernel.image, kernel_arguments=f"console=ttyS0 panic=-1 quiet study={BARE[name]}",
                             initrd=OUTPUT / "guest.cpio", memory="2048", icount=True, extra=device_words(BARE[name]))
    side, what = name.split("-", 1)
    form, work, memory, guest = RUNS[what]
    extra = ["-plugin", PLUGIN] if what in COUNTED_RUNS else ["-plugin", SHARE_PLUGIN] if what == "shared" else []
    return Configuration(
        hypervisor=hypervisors[side], hypervisor_arguments="console=com1 com1=115200 dom0_mem=768M,max:768M"
        + (f" dom0_max_vcpus=1 maxcpus={CPUS[what]}" if what in CPUS else ""), cpus=CPUS.get(what, 1),
        kernel=OUTPUT / "vmlinux" if form == "elf" else kernel.image,
        kernel_arguments=f"console=hvc0 panic=-1 quiet study={work} {guest}".strip(),
        initrd=OUTPUT / f"dom0-{side}.cpio", memory=str(memory), icount=True,
        extra=extra + device_words(what) + (SHORT_TURNS if what in CPUS else []))


def measure(name, kernel, hypervisors):
    """One run; its console goes to build/study/NAME.log."""
    done = "MARK guest-done" if name in BARE else "MARK study-done"
    log = OUTPUT / f"{name}.log"
    try:
        with Machine(configuration(name, kernel, hypervisors), time_limit=TIME_LIMIT, name=name, log_path=log) as machine:
            machine.expect(done, time_limit=TIME_LIMIT, fail_on=("Kernel panic", "Panic on CPU"))
            machine.wait_end(time_limit=60)
            say(f"{name}: {machine.seconds():.0f} s")
    except MachineFailure as failure:
        say(f"{name} failed, its rows will be missing: {failure}")


def main(arguments):
    """Run what is wanted, then write the document."""
    parser = argparse.ArgumentParser(prog="./tools/study/benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="*", metavar="RUN", help=f"only these runs (none: only the tables): {', '.join(BARE)}, "
                        + ", ".join(f"{side}-{name}" for side in SIDES for name in RUNS) + " (those on several CPUs: Torii's only)")
    parser.add_argument("--hypervisor", type=Path, default=BUILD / "torii.elf", help="Torii's image (default: build/torii.elf)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args(arguments)
    every = [*BARE] + [f"{side}-{name}" for name in RUNS for side in SIDES if side == "torii" or name not in CPUS]
    chosen = every if options.runs is None else options.runs
    unknown = [name for name in chosen if name not in every]
    if unknown:
        raise Failure(f"No such run: {', '.join(unknown)}; there are {', '.join(every)}.")
    kernel = fetch("6.1")
    if chosen:
        install({"run"})
        sides = [side for side in SIDES if any(name.startswith(side) for name in chosen)]
        compile_programs()
        build_images(kernel, sides)
        hypervisors = {"xen": peer.hypervisor(), "torii": options.hypervisor}
        if "torii-shared" in chosen:
            curve.write_symbols(OUTPUT, LINKED)
        for name in chosen:
            measure(name, kernel, hypervisors)
    options.output.write_text(tables.document(OUTPUT, kernel.release))
    say(f"Written: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main_guard(main))
