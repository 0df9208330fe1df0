"""The part of the study that is about the machine's own devices: interrupts to dom0, its disks and its network."""

import shutil

from commands.steps import TOOLS, Failure, run
from image import parts
from kernels.fetch import package_folder

SOURCES = TOOLS / "study" / "guest"
# In the order in which cards are to be found.
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_net", "e1000e", "ahci", "sd_mod", "nvme")
DISKS = (("virtio", "virtio-blk-pci,drive={},ioeventfd=off"), ("nvme", "nvme,drive={},serial=study"), ("sata", "ide-hd,drive={},bus=ide.0"))
CARDS = (("virtio-net-pci", "ioeventfd=off"), ("e1000e", None))
# What a kernel's headers are made of, for Debian 12's.
HEADERS = ("linux-headers-{release}", "linux-headers-{common}-common", "linux-kbuild-6.1", "linux-compiler-gcc-12-x86")

TEXT = """\
dom0 with the same image on both sides. `interrupt_line` and `interrupt_message` (MSI): by QEMU's device `edu`, which raises an
interrupt in the instruction that writes to its register; `handler`: until the handler in dom0's kernel, `return`: until that
instruction is behind and the interrupt ended, `idle`: until the handler when the machine slept. The others are executed
instructions, counted by a plugin of QEMU (tools/study/plugin/count.c): of a request to a disk of zeros past the page cache, of a
round trip of a byte and of a MiB of a TCP stream through two cards of a kind, wire to wire, both dom0's."""


def disk_words(name, device):
    """QEMU's words for a disk. What it holds is nowhere, so that nothing waits for the host."""
    return ["-drive", f"driver=null-co,size=1G,read-zeroes=on,if=none,id={name}", "-device", device.format(name)]


def machine_words():
    """QEMU's words for the devices."""
    words = ["-device", "edu"]
    for name, device in DISKS:
        words += disk_words(name, device)
    for hub, (model, property_) in enumerate(CARDS):
        for end in range(2):
            words += ["-netdev", f"hubport,id=net{hub}{end},hubid={hub + 1}",
                      "-device", f"{model},netdev=net{hub}{end}" + (f",{property_}" if property_ else "")]
    return words


def build_module(kernel, output):
    """The module that measures interrupts, for dom0's kernel; from headers that are unpacked, not installed."""
    common = kernel.release.removesuffix("-amd64")
    root = output / "headers"
    for name in HEADERS:
        folder = package_folder(name.format(release=kernel.release, common=common))
        run(["cp", "-a", f"{folder}/.", root], quiet=True)
    sources = output / "latency"
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(SOURCES / "latency", sources)
    run(["make", "-C", root / f"usr/src/linux-headers-{common}-common", f"O={root}/usr/src/linux-headers-{kernel.release}", f"M={sources}",
         "modules"], quiet=True)
    module = sources / "latency.ko"
    if not module.exists():
        raise Failure(f"The module {module} was not built; is there a kernel other than Debian 12's own, 6.1?")
    return module


def add_to(archive, kernel, output):
    """What measure-devices needs."""
    parts.add_modules(archive, kernel, DRIVERS, "study-devices")
    archive.add_copy("study/latency.ko", output / "latency" / "latency.ko", 0o644)
    archive.add_copy("usr/bin/devices", output / "devices", 0o755)
    archive.add_copy("usr/bin/measure-devices", SOURCES / "measure-devices", 0o755)


def rows(bare, xen, torii):
    """(name, bare machine, Xen, Torii): ticks of the interrupts, then instructions."""
    keys = [key for key in bare.bench if key.startswith("interrupt")]
    yield from ((key, bare.bench.get(key), xen.bench.get(key), torii.bench.get(key)) for key in keys)
    yield from ((key, bare.counted.get(key), xen.counted.get(key), torii.counted.get(key)) for key in bare.counted)
