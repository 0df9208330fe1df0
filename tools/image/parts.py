"""Pieces that the images of dom0 and of guests have in common: busybox, programs with their libraries, modules."""

import re
import subprocess
from pathlib import Path

from commands.steps import Failure
from image.cpio import Archive
from kernels.fetch import module_dependencies, package_folder, read_module

BUSYBOX = Path("/usr/bin/busybox")
# Debian's package of the stock xenstore clients, and the libraries that they need beside the host's C library.
XENSTORE_PACKAGES = ("xenstore-utils", "libxenstore4", "libxentoolcore1")
XENSTORE_CLIENTS = ("xenstore-chmod", "xenstore-exists", "xenstore-list", "xenstore-ls", "xenstore-read", "xenstore-rm",
                    "xenstore-watch", "xenstore-write")
# ext4 asks the kernel's crypto for crc32c by name.
FILE_SYSTEM_MODULES = ("crc32c_generic", "ext4")
# The kernel runs it with the name of what it needs; of file systems there is one, loaded when something is mounted.
MODPROBE = """\
#!/bin/sh
case "$*" in
    *fs-ext4) for module in $(cat /lib/modules/file-systems); do /bin/busybox insmod "/lib/modules/$module.ko" 2>/dev/null; done ;;
    *) exit 1 ;;
esac
"""
LIBRARIES = "lib/x86_64-linux-gnu"
LOADER = "/lib64/ld-linux-x86-64.so.2"


def base_archive():
    """Busybox with a name for each of its programs, the usual folders, and the nodes that init needs first."""
    archive = Archive()
    for folder in ("dev", "proc", "sys", "tmp", "run", "root", "var/log", "var/lib", "etc", "bin", "sbin", "usr/bin", "usr/sbin", "mnt"):
        archive.add_folder(folder)
    archive.entries["tmp"].mode |= 0o1777
    archive.add_link("var/run", "/run")
    archive.add_character_device("dev/console", 5, 1)
    archive.add_character_device("dev/null", 1, 3, 0o666)
    if not BUSYBOX.exists():
        raise Failure(f"{BUSYBOX} is not there; it comes with the Debian package busybox-static.")
    archive.add_copy("bin/busybox", BUSYBOX)
    applets = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            archive.add_link(f"bin/{applet}", "busybox")
    # Linux starts these two by their full names: the shutdown of a guest by its host, and the initramfs itself.
    for name in ("poweroff", "reboot"):
        archive.add_link(f"sbin/{name}", "/bin/busybox")
    archive.add_link("init", "/bin/busybox")
    return archive


def add_program(archive, target, source, search=()):
    """Add a program and every shared library it needs; `search` are folders with libraries that aren't installed."""
    archive.add_copy(target, source, 0o755)
    environment = {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in search), "PATH": "/usr/bin:/bin"}
    told = subprocess.run(["ldd", str(source)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=environment, check=False).stdout
    missing = re.findall(r"^\s*(\S+) => not found", told, re.MULTILINE)
    if missing:
        raise Failure(f"{source} needs {', '.join(missing)}, which is nowhere on this machine.")
    for name, path in re.findall(r"^\s*(\S+) => (/\S+)", told, re.MULTILINE):
        if not archive.has(f"{LIBRARIES}/{name}"):
            archive.add_copy(f"{LIBRARIES}/{name}", path, 0o755)
    if LOADER in told and not archive.has(LOADER):
        archive.add_copy(LOADER, LOADER, 0o755)


def packaged_program(path, packages):
    """A program of the first of `packages`, all of which are fetched into the cache, as add_programs takes it."""
    folders = [package_folder(package) for package in packages]
    return folders[0] / path, library_folders(folders)


def library_folders(folders):
    """Where unpacked packages have their shared libraries."""
    return [path for folder in folders for path in (folder / "usr" / LIBRARIES, folder / LIBRARIES) if path.is_dir()]


def add_programs(archive, programs):
    """Add programs by their names: each a path, or that and the folders with the libraries it needs."""
    for name, program in (programs or {}).items():
        source, search = program if isinstance(program, tuple) else (program, ())
        add_program(archive, f"usr/bin/{name}", source, search)


def add_xenstore_clients(archive):
    """Add Debian's xenstore-* programs."""
    folders = [package_folder(package) for package in XENSTORE_PACKAGES]
    search = library_folders(folders)
    for name in XENSTORE_CLIENTS:
        source = (folders[0] / "usr/bin" / name)
        add_program(archive, f"usr/bin/{name}", source.resolve(), search)


def add_modules(archive, kernel, names, listed="order"):
    """Add modules with those they depend on; /lib/modules/`listed` lists them in the order to load. Those that the kernel
    has built in, or not at all, are left out: init reports what is missing by what then fails."""
    order = []

    def add(name):
        path = kernel.module_file(name)
        if path is None or name in order:
            return
        data = read_module(path)
        for needed in module_dependencies(data):
            add(needed)
        archive.add_file(f"lib/modules/{name}.ko", data)
        order.append(name)

    for name in names:
        add(name)
    archive.add_file(f"lib/modules/{listed}", "".join(f"{name}\n" for name in order))


def add_file_systems(archive, kernel):
    """What `mount -t ext4` needs, loaded when it is asked for."""
    add_modules(archive, kernel, FILE_SYSTEM_MODULES, "file-systems")
    archive.add_file("sbin/modprobe", MODPROBE, 0o755)
