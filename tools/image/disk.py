"""Disks for machines: the installed Debian with Torii's package, one for images, and images of guests.

build/images/guests     images of guests, made by `torii image build` when they are needed first
build/disk/plain.raw    Debian with GRUB (plain_debian.py); made anew when that file, or what it installs, changes
build/disk/torii.qcow2  what differs once the package is installed; made anew when the package changes. Machines write to it
"""

import hashlib
import shutil
import tempfile

from commands.steps import BUILD, Failure, run, say
from emulator.debian import Debian, drive, machine
from image.plain_debian import FOLDER, plain

INSTALLED = FOLDER / "torii.qcow2"
IMAGES_MIB = 8192


def overlay(target, base, form):
    """A disk that holds what differs from another, which stays as it is."""
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", form, target])
    return target


def guest_image(folder, name, *options, password=None):
    """An image of a guest below `folder`, made once by `torii image build` with these options; returns its folder. `password` is
    its user's on the console."""
    if not (folder / name / "image.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        say(f"Building an image of a guest, {name} (debootstrap, some minutes)")
        words = [BUILD / "tools/cli/torii", "image", "build", "debian", name, "--directory", folder, *options]
        if password is None:
            run(words, quiet=True, time_limit=3600)
        else:
            with tempfile.NamedTemporaryFile("w") as file:
                print(password, file=file, flush=True)
                run([*words, "--password-file", file.name], quiet=True, time_limit=3600)
    return folder / name


def image_disk(name="disk", guests=None):
    """A disk for images, for a machine that has its system in memory; what is on it stays. A new one holds what is in the folder
    `guests`."""
    target = BUILD / f"images/{name}.raw"
    if not target.exists():
        partial = target.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        run(["mke2fs", "-q", "-t", "ext4", "-L", "torii-images", *(["-d", guests] if guests else []), partial, f"{IMAGES_MIB}m"], quiet=True)
        partial.rename(target)
    return target


def package_disk(packages, target):
    """A disk with packages, by which they come into a machine."""
    folder = target.with_suffix(".folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for package in packages:
        shutil.copy(package, folder)
    target.unlink(missing_ok=True)
    run(["mke2fs", "-q", "-t", "ext4", "-L", "packages", "-d", folder, target, "256m"], quiet=True)
    shutil.rmtree(folder)
    return target


def build_package():
    """The Debian package, built by cpack; its path."""
    run(["cmake", "--build", BUILD, "--target", "deb"], quiet=True, time_limit=3600)
    found = sorted(BUILD.glob("torii_*_amd64.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise Failure(f"cpack made no package in {BUILD}.")
    return found[-1]


def installed(package, accel):
    """The disk with the package installed, made if it is missing or of another package."""
    base = plain(accel)
    mark = FOLDER / "torii.package"
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    if INSTALLED.exists() and mark.exists() and mark.read_text() == digest and INSTALLED.stat().st_mtime > base.stat().st_mtime:
        say(f"The disk with {package.name}: there already")
        return INSTALLED
    say(f"Booting plain Debian to install {package.name}, as a user would")
    partial = overlay(FOLDER / "torii.partial", base, "raw")
    packages = package_disk([package], FOLDER / "packages.raw")
    with machine([*drive(partial, "qcow2"), *drive(packages, "raw")], name="disk-install", time_limit=900, accel=accel) as booted:
        debian = Debian(booted)
        debian.begin()
        debian.run("mount LABEL=packages /mnt && cp /mnt/*.deb . && umount /mnt")
        debian.run(f"apt-get install -q -y ./{package.name}", 400)
        # This machine is for Torii: so it asks for another default.
        debian.run("echo GRUB_DEFAULT=torii >>/etc/default/grub.d/zz-machine.cfg && update-grub", 200)
        debian.power_off()
    partial.rename(INSTALLED)
    mark.write_text(digest)
    return INSTALLED
