"""Plain Debian 12 on a disk, by debootstrap, started by GRUB under BIOS and UEFI.

Of privileges it takes those of debootstrap, which runs Debian's own programs in a chroot: root, but no loop device and no mount.
The file systems are written by mke2fs -d and mkfs.fat into the image file, and what must run on the machine itself (grub-install,
update-grub) runs there: the image boots once under QEMU, as a user's machine would.
"""

import hashlib
import subprocess
from pathlib import Path

from commands.steps import BUILD, Failure, as_root, run, say
from emulator.debian import Debian, drive, machine

FOLDER = BUILD / "disk"
PLAIN = FOLDER / "plain.raw"
KEY = FOLDER / "id_ed25519"  # which the machine's root lets in by ssh
FILES = Path(__file__).resolve().parent / "disk"
RELEASE = "bookworm"
# What a server of Debian's installer has besides the base system; GRUB for both firmwares; what looks at devices and keeps them busy.
PACKAGES = ("linux-image-amd64", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "iputils-ping", "openssh-server", "procps", "less",
            "grub2-common", "grub-pc-bin", "grub-efi-amd64-bin", "man-db", "bash-completion", "ca-certificates",
            "fio", "iperf3", "usbutils", "pciutils")
SIZE_MIB = 6144
# sfdisk's words: GRUB's place under BIOS, the EFI system partition, the rest.
PARTITIONS = """\
label: gpt
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
start=4096, size=131072, type=uefi
start=135168, type=linux
"""
SECTOR = 512
ESP_SECTOR, ESP_SECTORS, ROOT_SECTOR = 4096, 131072, 135168
END_OF_GPT = 1 << 20  # its second table lies at the end


# --- the tree of files

def sources():
    """Where this host's apt gets Debian 12 from: (address, suite) pairs."""
    told = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Component: main"],
                          stdout=subprocess.PIPE, text=True, check=False).stdout
    found = sorted({tuple(line.split()) for line in told.splitlines() if line.split()[1:] and line.split()[1].startswith(RELEASE)})
    if not any(suite == RELEASE for _, suite in found):
        raise Failure(f"apt knows no archive of Debian 12 ({RELEASE}) here, so none can be installed from it. Is it in /etc/apt/sources.list?")
    return found


def _write(tree, name, text):
    """Write a file of the tree, which belongs to root."""
    path = tree / name
    run(as_root(["mkdir", "-p", path.parent]))
    run(as_root(["tee", path]), input=text, stdout=subprocess.DEVNULL)


def _settle(tree, archive):
    """What an installer would have asked: names, file systems, network, who may log in."""
    for source in sorted(path for path in FILES.rglob("*") if path.is_file()):
        _write(tree, source.relative_to(FILES), source.read_text())
    _write(tree, "etc/apt/sources.list", "".join(f"deb {address} {suite} main\n" for address, suite in archive))
    _write(tree, "root/.ssh/authorized_keys", KEY.with_suffix(".pub").read_text())


def _in_tree(tree, *command):
    """Run a command of the tree in it."""
    run(as_root(["chroot", tree, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *command]), quiet=True, time_limit=3600)


def make_tree(tree):
    """Debian's files, as after an installation."""
    archive = sources()
    address = next(address for address, suite in archive if suite == RELEASE)
    say("Installing Debian 12 into a folder (debootstrap, some minutes)")
    run(as_root(["rm", "-rf", tree]))
    run(as_root(["debootstrap", "--arch=amd64", "--variant=minbase", RELEASE, tree, address]), quiet=True, time_limit=3600)
    _settle(tree, archive)
    # No daemon is started in a chroot.
    _write(tree, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    run(as_root(["chmod", "755", tree / "usr/sbin/policy-rc.d"]))
    say(f"Installing into it: {' '.join(PACKAGES)}")
    _in_tree(tree, "apt-get", "update", "-q")
    _in_tree(tree, "apt-get", "upgrade", "-q", "-y")
    _in_tree(tree, "apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES)
    _in_tree(tree, "systemctl", "enable", "systemd-networkd.service")
    _in_tree(tree, "apt-get", "clean")
    run(as_root(["rm", "-f", tree / "usr/sbin/policy-rc.d"]))
    # debootstrap leaves the host's.
    _write(tree, "etc/resolv.conf", (FILES / "etc/resolv.conf").read_text())
    run(as_root(["chmod", "-R", "go=", tree / "root/.ssh"]))


# --- the disk

def write_disk(tree, disk):
    """Partitions and file systems, with the tree in the last."""
    say(f"Writing the disk ({SIZE_MIB} MiB, sparse)")
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(SIZE_MIB << 20)
    run(["sfdisk", "--quiet", disk], input=PARTITIONS, quiet=True)
    run(["mkfs.fat", "-F", "16", "-n", "TORII-ESP", "--offset", ESP_SECTOR, disk, ESP_SECTORS * SECTOR // 1024], quiet=True)
    root_kib = ((SIZE_MIB << 20) - ROOT_SECTOR * SECTOR - END_OF_GPT) >> 10
    # As root, who may read all of the tree.
    run(as_root(["mke2fs", "-q", "-t", "ext4", "-L", "torii-root", "-d", tree, "-E", f"offset={ROOT_SECTOR * SECTOR}", disk, f"{root_kib}k"]),
        quiet=True, time_limit=600)


def install_boot_loader(tree, disk, accel):
    """Boot the disk by QEMU's own loader, once, and have GRUB installed on it by its own programs."""
    say("Booting it once without GRUB, to install GRUB")
    kernel = sorted(tree.glob("boot/vmlinuz-*"))[-1]
    initrd = tree / f"boot/initrd.img-{kernel.name.removeprefix('vmlinuz-')}"
    with machine(drive(disk, "raw"), name="disk-grub", time_limit=900, accel=accel, kernel=kernel, initrd=initrd,
                 kernel_arguments="root=LABEL=torii-root console=ttyS0,115200") as booted:
        debian = Debian(booted)
        debian.begin()
        debian.run("mountpoint /boot/efi")
        debian.run("grub-install --target=i386-pc /dev/vda", 300)
        debian.run("grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram", 300)
        debian.run("update-grub", 300)
        debian.power_off()


def plain(accel):
    """The disk with plain Debian, made if it is missing or of another recipe."""
    recipe = hashlib.sha256()
    for path in sorted([Path(__file__), *(path for path in FILES.rglob("*") if path.is_file())]):
        recipe.update(path.read_bytes())
    mark = FOLDER / "plain.recipe"
    if PLAIN.exists() and mark.exists() and mark.read_text() == recipe.hexdigest():
        say("The disk with plain Debian 12: there already")
        return PLAIN
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "torii", "-f", KEY])
    tree, partial = FOLDER / "tree", FOLDER / "plain.partial"
    make_tree(tree)
    write_disk(tree, partial)
    install_boot_loader(tree, partial, accel)
    run(as_root(["rm", "-rf", tree]))
    partial.rename(PLAIN)
    mark.write_text(recipe.hexdigest())
    return PLAIN
