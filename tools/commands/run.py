"""./tools/run: builds Torii and boots it with a stock Debian kernel as dom0, or with an installed Debian."""

import argparse
import os
from pathlib import Path

from commands import demo, packages
from commands.steps import BUILD, ROOT, Failure, main_guard, only_one, run, say
from emulator import accelerator, debian
from emulator.qemu import Configuration, Machine
from image import disk
from image.build import build_dom0
from kernels.fetch import fetch

HELP = """\
Installs what is missing of Debian's packages, builds Torii, fetches a stock Debian kernel (unpacked, not installed), builds
dom0's image, boots all of it in QEMU and leaves you in a shell in dom0. Can be run again at any time.

  ./tools/run                              2 GiB of memory, Debian's 6.1 as dom0
  ./tools/run --memory 4G --kernel 6.12    Debian's 6.12 as dom0, on a larger machine
  ./tools/run --hypervisor-args "loglvl=all guest_loglvl=all"
  ./tools/run --no-guest-disk              without the Debian that is installed on a disk, which takes minutes the first time
  ./tools/run --demo                       unattended: guests from memory and from a disk, used, shut down, destroyed
  ./tools/run --disk                       an installed Debian 12 with Torii's package, started by GRUB
  ./tools/run --disk --firmware uefi       the same under UEFI

With --disk the first time takes some minutes; what changes on the disk stays until another package is built. GRUB's menu, which
waits for three seconds, also has plain Debian. ssh -i build/disk/id_ed25519 -p 2222 root@127.0.0.1 works once it is up.

The machine has a disk for images, on /var/lib/torii/disk in dom0, which keeps what is written there (build/images/disk.raw), and a
network card behind QEMU's user network. In it `poweroff` ends it; Ctrl-a x ends QEMU at once, Ctrl-a c is QEMU's monitor. On that disk
is a Debian with systemd for a guest to boot from, unless it was made without: remove it to have it made anew.
"""


def parse(arguments):
    """The options."""
    parser = argparse.ArgumentParser(prog="./tools/run", description=HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="2G", help="the machine's memory, as 2G or 3072M (default: %(default)s)")
    parser.add_argument("--dom0-memory", default="768M", help="dom0's share of it (default: %(default)s)")
    parser.add_argument("--cpus", type=int, default=1, help="processors of the machine (default: %(default)s)")
    parser.add_argument("--cpu", default="qemu64", help="QEMU's processor model (default: %(default)s)")
    parser.add_argument("--kernel", default="6.1", help="dom0's kernel: 6.1, 6.12, or the path of a kernel image")
    parser.add_argument("--guest-kernel", default="6.1", help="the kernel of the ready guest: 6.1, 6.12, cloud, or a path")
    parser.add_argument("--kernel-args", default="quiet", help="dom0's kernel arguments after console=hvc0 (default: %(default)s)")
    parser.add_argument("--hypervisor-args", default="", help="more of the hypervisor's command line")
    parser.add_argument("--accel", default="auto", choices=("auto", "tcg", "kvm"),
                        help="auto uses KVM only if a probe guest boots under it in time")
    parser.add_argument("--hypervisor", metavar="PATH", help="boot this image in Torii's place (Xen's, to compare)")
    parser.add_argument("--guest-disk", action=argparse.BooleanOptionalAction, default=os.geteuid() == 0,
                        help="have a Debian installed on the disk for images, for a guest that boots from it; takes root")
    parser.add_argument("--demo", action="store_true", help="run the demonstration and exit 0 only if all of it happened")
    add_disk_options(parser)
    options = parser.parse_args(arguments)
    check_disk_options(parser, options)
    if options.cpus < 1:
        parser.error("--cpus must be at least 1")
    options.memory_mib = mebibytes(parser, "--memory", options.memory)
    dom0_mib = mebibytes(parser, "--dom0-memory", options.dom0_memory)
    if dom0_mib + 128 > options.memory_mib:
        parser.error(f"--dom0-memory {options.dom0_memory} leaves nothing of --memory {options.memory} for the hypervisor and guests")
    return options


def add_disk_options(parser):
    """Those of the installed Debian."""
    disk_options = parser.add_argument_group("an installed Debian")
    disk_options.add_argument("--disk", action="store_true", help="boot a disk on which Torii's package is installed")
    disk_options.add_argument("--firmware", choices=("bios", "uefi"), default="bios", help="of that machine (default: %(default)s)")
    disk_options.add_argument("--ssh-port", type=int, default=2222, metavar="PORT",
                              help="of this host, which leads to that machine's ssh; 0: none (default: %(default)s)")


def check_disk_options(parser, options):
    """The rest is GRUB's business there."""
    if not options.disk:
        if options.firmware != "bios" or options.ssh_port != parser.get_default("ssh_port"):
            parser.error("--firmware and --ssh-port belong to --disk")
        return
    for name in ("kernel", "guest_kernel", "kernel_args", "hypervisor_args", "hypervisor", "demo", "dom0_memory", "guest_disk"):
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} is not possible with --disk: there GRUB's menu says what is booted, by "
                         "/etc/default/grub.d in the machine")


def mebibytes(parser, name, text):
    """A size such as 2G or 768M in MiB."""
    units = {"M": 1, "G": 1024}
    number, unit = (text[:-1], text[-1].upper()) if text and text[-1].isalpha() else (text, "M")
    if not number.isdecimal() or unit not in units or int(number) == 0:
        parser.error(f"{name} takes a size such as 2G or 768M, not {text!r}")
    return int(number) * units[unit]


def build(with_hypervisor):
    """Build the release preset: hypervisor, daemon, command line."""
    say("Building the hypervisor, toriid and torii" if with_hypervisor else "Building toriid and torii")
    run(["cmake", "--preset", "release", "-S", ROOT], quiet=True, cwd=ROOT, time_limit=600)
    targets = ["toriid", "torii", "torii-nat", *(["torii_elf"] if with_hypervisor else [])]
    run(["cmake", "--build", BUILD, "--target", *targets], quiet=True, time_limit=3600)


def prepare(options):
    """Everything up to the boot; returns the machine's configuration."""
    packages.install({"run"})
    build(with_hypervisor=options.hypervisor is None)
    hypervisor = Path(options.hypervisor) if options.hypervisor else BUILD / "torii.elf"
    if not hypervisor.is_file():
        raise Failure(f"There is no hypervisor image at {hypervisor}.")
    kernel, guest_kernel = fetch(options.kernel), fetch(options.guest_kernel)
    say(f"Building dom0's image: kernel {kernel.release}, the ready guest's {guest_kernel.release}")
    images = installed_guest(options)
    image = build_dom0(BUILD / "images" / f"dom0-{kernel.release}.cpio", kernel, {"debian": guest_kernel}, BUILD, options.guest_disk)
    accel = accelerator.choose(options.accel, options.cpu, hypervisor)
    return Configuration(
        hypervisor=hypervisor,
        hypervisor_arguments=f"console=com1 com1=115200 dom0_mem={options.dom0_memory},max:{options.dom0_memory} "
                             f"{options.hypervisor_args}".strip(),
        kernel=kernel.image, kernel_arguments=f"console=hvc0 torii.devices {options.kernel_args}".strip(), initrd=image,
        memory=str(options.memory_mib), cpus=options.cpus, cpu=options.cpu, accel=accel, terminal=not options.demo,
        extra=[*debian.drive(images, "raw"), *debian.network()])


def installed_guest(options):
    """The disk for images, with a Debian for a guest to boot from."""
    if not options.guest_disk:
        return disk.image_disk("demo-disk" if options.demo else "disk")
    packages.install({"run", "disk"})
    folder = BUILD / "images/guests"
    disk.guest_image(folder, demo.INSTALLED, "--size", "2G", "--packages", "wget", password=demo.PASSWORD)
    if not options.demo:
        return disk.image_disk("disk", folder)
    (BUILD / "images/demo-disk.raw").unlink(missing_ok=True)
    return disk.image_disk("demo-disk", folder)


def run_disk(options):
    """Build and boot the installed Debian on this terminal; returns QEMU's exit code."""
    with only_one("images"):
        packages.install({"run", "disk"})
        build(with_hypervisor=True)
        accel = accelerator.choose(options.accel, options.cpu, BUILD / "torii.elf")
        image = disk.installed(disk.build_package(), accel)
    configuration = Configuration(
        memory=str(options.memory_mib), cpus=options.cpus, cpu=options.cpu, accel=accel, terminal=True, reboots=True,
        extra=[*debian.firmware(options.firmware), *debian.drive(image, "qcow2"), *debian.network(options.ssh_port)])
    say("Booting from the disk; GRUB's menu waits three seconds (Ctrl-a x ends QEMU)")
    return Machine(configuration, time_limit=0).run_on_terminal()


def main(arguments):
    """Build, boot, and hand over the terminal or run the demonstration."""
    options = parse(arguments)
    if options.disk:
        return run_disk(options)
    with only_one("images"):
        configuration = prepare(options)
    if options.demo:
        return demo.run_demo(configuration, options.guest_disk)
    say("Booting; dom0's shell comes in some seconds (Ctrl-a x ends QEMU)")
    return Machine(configuration, time_limit=0).run_on_terminal()


if __name__ == "__main__":
    raise SystemExit(main_guard(main))
