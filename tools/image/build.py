"""Builds the initramfs of dom0 and that of the guest that comes with it.

    python3 -m image.build dom0 --kernel 6.1 --binaries build --output build/images/dom0.cpio
    python3 -m image.build guest --kernel 6.1 --output build/images/guest.cpio
"""

import argparse
from pathlib import Path

from commands.steps import BUILD, TOOLS, Failure, main_guard
from image import parts
from kernels.fetch import fetch

FILES = TOOLS / "image"
IMAGES = BUILD / "images"
DOM0_MODULES = ("xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs")
# For the devices that `tools/run` gives the machine.
DEVICE_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", *parts.FILE_SYSTEM_MODULES)
GUEST_MODULES = ("xen-blkfront", "xen-netfront", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs")
ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUPS = "root:x:0:\ntorii:x:900:\nnogroup:x:65534:\n"
GUEST_DESCRIPTION = """\
# A stock Debian kernel as a paravirtual guest, with the initramfs that comes with Torii.
#   torii create /etc/torii/guests/{name}.toml
name = "{name}"
memory = "256M"
vcpus = 1
kernel = "/{folder}/vmlinuz"
ramdisk = "/{folder}/initrd.cpio"
command-line = "console=hvc0 quiet"
"""


def guest_archive(kernel, programs=None):
    """The guest's initramfs: busybox, frontends, the stock xenstore clients, a shell on hvc0; `programs` too (see parts)."""
    archive = parts.base_archive()
    parts.add_programs(archive, programs)
    parts.add_modules(archive, kernel, GUEST_MODULES)
    parts.add_file_systems(archive, kernel)
    parts.add_xenstore_clients(archive)
    archive.add_copy("etc/inittab", FILES / "guest/inittab")
    archive.add_copy("etc/init.d/start", FILES / "guest/start", 0o755)
    archive.add_copy("etc/profile", FILES / "guest/profile")
    archive.add_file("etc/passwd", ACCOUNTS)
    archive.add_file("etc/group", GROUPS)
    return archive


def add_guest(archive, name, kernel, programs=None):
    """Add a guest's kernel, its initramfs, and the description to create it from."""
    folder = f"var/lib/torii/images/{name}"
    initrd = IMAGES / f"guest-{kernel.release}.cpio"
    guest_archive(kernel, programs).write(initrd)
    archive.add_copy(f"{folder}/vmlinuz", kernel.image, 0o644)
    archive.add_copy(f"{folder}/initrd.cpio", initrd, 0o644)
    archive.add_file(f"etc/torii/guests/{name}.toml", GUEST_DESCRIPTION.format(name=name, folder=folder))


def dom0_archive(kernel, guests, binaries, programs=None, drivers=()):
    """dom0's initramfs: busybox, modules, toriid and its init, torii, and guests (name to kernel) ready to be created.
    `programs` (see parts.add_programs) go into it and into the guests'; `drivers` are more of its modules."""
    archive = parts.base_archive()
    parts.add_programs(archive, programs)
    parts.add_modules(archive, kernel, (*DOM0_MODULES, *drivers))
    parts.add_modules(archive, kernel, DEVICE_MODULES, "devices")
    parts.add_file_systems(archive, kernel)
    parts.add_xenstore_clients(archive)
    parts.add_program(archive, "usr/sbin/toriid", find_program(binaries, "toriid"))
    parts.add_program(archive, "usr/bin/torii", find_program(binaries, "torii"))
    parts.add_program(archive, "usr/sbin/torii-nat", find_program(binaries, "torii-nat"))
    for target, source, mode in (
        ("etc/inittab", "dom0/inittab", 0o644), ("etc/init.d/start", "dom0/start", 0o755),
        ("etc/init.d/stop", "dom0/stop", 0o755), ("etc/profile", "dom0/profile", 0o644),
        ("etc/motd", "dom0/motd", 0o644), ("usr/sbin/supervise", "dom0/supervise", 0o755),
    ):
        archive.add_copy(target, FILES / source, mode)
    archive.add_file("etc/passwd", ACCOUNTS)
    archive.add_file("etc/group", GROUPS)
    archive.add_file("etc/hosts", "127.0.0.1 localhost dom0\n")
    for name, guest_kernel in guests.items():
        add_guest(archive, name, guest_kernel, programs)
    return archive


def build_dom0(output, kernel, guests, binaries, with_ssh=False):
    """Write dom0's initramfs, with what `torii ssh` runs if that is wanted; returns its path."""
    archive = dom0_archive(kernel, guests, binaries)
    if with_ssh:
        parts.add_program(archive, "usr/bin/ssh", "/usr/bin/ssh")
    archive.write(output)
    return output


def find_program(binaries, name):
    """The built program, at the top of the build or in the folder of its part."""
    for candidate in (f"dom0/{name}", f"tools/cli/{name}", f"backends/net/{name}", name):
        path = Path(binaries) / candidate
        if path.is_file():
            return path
    raise Failure(f"{name} is not in {binaries}: build it first (./tools/run does).")


def main(arguments):
    """The command line, for building an image by hand."""
    parser = argparse.ArgumentParser(prog="python3 -m image.build", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("dom0", "guest"))
    parser.add_argument("--kernel", default="6.1", help="6.1, 6.12, cloud, or the path of a kernel")
    parser.add_argument("--guest-kernel", default="6.1", help="the kernel of the guest inside dom0's image")
    parser.add_argument("--binaries", default="build", help="the build folder with toriid and torii")
    parser.add_argument("--output", required=True)
    options = parser.parse_args(arguments)
    kernel = fetch(options.kernel)
    if options.what == "guest":
        guest_archive(kernel).write(options.output)
    else:
        build_dom0(Path(options.output), kernel, {"debian": fetch(options.guest_kernel)}, options.binaries)
    print(options.output)


if __name__ == "__main__":
    raise SystemExit(main_guard(main))
