"""Fetches stock Debian kernel packages and unpacks them into build/cache: nothing is installed.

    fetch("6.1")     linux-image-amd64, whatever version it depends on today
    fetch("6.12")    linux-image-6.12-amd64
    fetch("cloud")   linux-image-cloud-amd64

A package is downloaded once; the folder appears under its final name only when it is complete. Kept are the boot image, and
of the modules those that a paravirtual guest or its control domain can use.
"""

import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from commands.packages import update_lists
from commands.steps import CACHE, Failure, run, say

META_PACKAGES = {
    "6.1": "linux-image-amd64",
    "6.12": "linux-image-6.12-amd64",
    "cloud": "linux-image-cloud-amd64",
}
# Frontends and what the control domain's programs need; bridges and taps; then what drives the devices of QEMU's machines.
KEPT_MODULES = ("/kernel/drivers/xen/", "/kernel/drivers/block/", "/kernel/drivers/net/xen-", "/kernel/fs/",
                "/kernel/drivers/net/tun", "/kernel/net/bridge/", "/kernel/net/802/", "/kernel/net/llc/",
                "/kernel/drivers/virtio/", "/kernel/drivers/ata/", "/kernel/drivers/nvme/", "/kernel/drivers/scsi/", "/kernel/drivers/net/virtio",
                "/kernel/drivers/net/net_failover", "/kernel/net/core/", "/kernel/drivers/net/mii", "/kernel/drivers/net/ethernet/intel/e1000",
                "/kernel/drivers/net/ethernet/realtek/8139", "/kernel/drivers/ptp/", "/kernel/drivers/pps/", "/kernel/drivers/usb/", "/kernel/drivers/hid/",
                "/kernel/lib/", "/kernel/crypto/", "/kernel/block/")


@dataclass
class Kernel:
    """An unpacked kernel: `image` is the bzImage as Debian ships it."""

    release: str
    image: Path
    modules: Path | None

    def module_file(self, name):
        """The path of a module by its name, or None; `-` and `_` are the same letter in module names."""
        wanted = name.replace("_", "-")
        for path in self.modules.rglob("*.ko*") if self.modules else ():
            if path.name.split(".ko")[0].replace("_", "-") == wanted:
                return path
        return None


def read_module(path):
    """A module's bytes, decompressed if the package has it compressed."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def unpack_kernel(image):
    """The ELF file inside a bzImage whose payload is xz, so that no time goes into decompression."""
    data = image.read_bytes()
    setup = ((data[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", data, 0x248)
    payload = data[setup + offset:setup + offset + length]
    if not payload.startswith(b"\xfd7zXZ\0"):
        raise Failure(f"{image} holds no xz payload; only Debian's 6.1 and cloud kernels do.")
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)


def module_dependencies(data):
    """The names in a module's `depends=` line."""
    start = data.find(b"\0depends=")
    if start < 0:
        return []
    end = data.index(b"\0", start + 1)
    return [name for name in data[start + 9:end].decode().split(",") if name]


def _apt_cache(*arguments):
    return subprocess.run(["apt-cache", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False).stdout


def resolve(meta_package):
    """The package with the image that `meta_package` depends on."""
    for attempt in range(2):
        for line in _apt_cache("depends", meta_package).splitlines():
            name = line.split(":")[-1].strip()
            if line.strip().startswith("Depends:") and name.startswith("linux-image-"):
                return name
        if attempt == 0:
            update_lists()
    raise Failure(f"apt knows no kernel image behind {meta_package}. Are Debian 12's main and security archives in "
                  "/etc/apt/sources.list?")


def download(package, folder):
    """Download a package's .deb into `folder` (one attempt more after refreshing apt's lists); returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for attempt in range(2):
        # As root apt would hand the download to a user who can't write here.
        result = run(["apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", package], cwd=folder, quiet=True,
                     check=False, time_limit=900)
        found = sorted(folder.glob(f"{package}_*.deb"), key=os.path.getmtime)
        if result.returncode == 0 and found:
            return found[-1]
        if attempt == 0:
            update_lists()
    raise Failure(f"Downloading {package} failed: {result.stdout.strip().splitlines()[-1] if result.stdout else 'no output'}")


def unpack(deb, target, keep=lambda name: True):
    """Unpack what `keep` wants of a .deb into `target`, which appears only when complete."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(partial, [member for member in archive if keep(member.name)])
    partial.rename(target)


def _wanted_of_kernel(name):
    return "/boot/vmlinuz" in name or any(part in name for part in KEPT_MODULES)


def package_folder(package, keep=lambda name: True, variant=""):
    """The folder with an unpacked package, fetched first if it is not in the cache; `variant` tells selections apart."""
    target = CACHE / "packages" / f"{package}{variant}"
    if not target.is_dir():
        say(f"Fetching {package} (unpacked into build/cache, not installed)")
        deb = download(package, CACHE / "downloads")
        unpack(deb, target, keep)
        deb.unlink()
    return target


def fetch(which):
    """The kernel named "6.1", "6.12" or "cloud", or the image at a path."""
    if which not in META_PACKAGES:
        path = Path(which)
        if not path.is_file():
            raise Failure(f"There is no kernel {which!r}: give {', '.join(META_PACKAGES)} or the path of a kernel image.")
        return Kernel(release=path.name.removeprefix("vmlinuz-"), image=path, modules=_modules_beside(path))
    package = resolve(META_PACKAGES[which])
    folder = package_folder(package, _wanted_of_kernel, f"-{zlib.crc32(' '.join(KEPT_MODULES).encode()):08x}")
    release = package.removeprefix("linux-image-")
    return Kernel(release, folder / "boot" / f"vmlinuz-{release}", folder / "lib" / "modules" / release)


def _modules_beside(path):
    """The modules that belong to /boot/vmlinuz-RELEASE, where the release has a folder."""
    release = path.name.removeprefix("vmlinuz-")
    for base in (path.parent.parent / "lib/modules", Path("/lib/modules")):
        if (base / release).is_dir():
            return base / release
    return None
