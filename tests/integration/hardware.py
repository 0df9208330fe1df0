"""dom0 drives the machine's devices: disks, network cards, USB, each by the kind of interrupt that it should have.

    hardware.py [--machine q35] [--cpus 2] [--kernel-arguments pci=nomsi] [--seconds 20]

Shows: AHCI, NVMe, virtio-blk and virtio-scsi disks give what is on them and keep what is written; e1000e, RTL8139 and virtio-net cards
fetch a file by TFTP, whose every packet waits for an interrupt; USB keyboard and tablet are found. Then all of them work at
once for some time: no request times out, and no kernel message says that an interrupt was lost or that nobody cared. /proc/interrupts
tells which kind each had: messages (MSI, MSI-X), or lines where a device has nothing else or dom0 is told not to use them.
"""

import argparse
import hashlib
import random
import re
import sys
from dataclasses import dataclass

from findings import run_machine
from kernel_messages import complaints
from toolstack import BUILD, boot

MEBIBYTES = 8
DRIVERS = ("ahci", "sd_mod", "nvme", "virtio_pci", "virtio_blk", "virtio_scsi", "e1000e", "8139cp", "virtio_net", "xhci_pci", "usbhid",
           "hid_generic")
# Of a driver whose request was answered too late, or never.
LOST = r"timeout|timed out|nobody cared|hung|lost interrupt|NETDEV WATCHDOG|\bstalled"


@dataclass(frozen=True)
class Disk:
    """A disk: its device in dom0, QEMU's words for it, and what /proc/interrupts calls what drives it."""

    node: str
    words: tuple
    driver: str
    interrupt: str


@dataclass(frozen=True)
class Card:
    """A network card, by the driver that takes it."""

    driver: str
    model: str
    interrupt: str


DISKS = (
    Disk("sda", ("-device", "ahci,id=ahci0", "-device", "ide-hd,drive={id},bus=ahci0.0"), r"ahci", "msi"),
    Disk("nvme0n1", ("-device", "nvme,drive={id},serial=torii"), r"nvme", "msi-x"),
    Disk("vda", ("-device", "virtio-blk-pci,drive={id}"), r"virtio\d-req", "msi-x"),
    Disk("sdb", ("-device", "virtio-scsi-pci,id=scsi0", "-device", "scsi-hd,drive={id},bus=scsi0.0"), r"virtio\d-request", "msi-x"),
)
CARDS = (
    Card("e1000e", "e1000e", "msi-x"),
    Card("8139cp", "rtl8139", "ioapic-level"),
    Card("virtio_net", "virtio-net-pci", "msi-x"),
)


def contents():
    """Files for the disks and one for TFTP, the same each time; returns the folder and the checksum of each."""
    folder = BUILD / "images" / "hardware"
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for name, size in [*((disk.node, MEBIBYTES << 20) for disk in DISKS), ("file", 256 << 10)]:
        data = random.Random(name).randbytes(size)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    return folder, sums


def machine_words(folder):
    """QEMU's words for all devices."""
    words = []
    for disk in DISKS:
        words += ["-drive", f"file={folder / disk.node},format=raw,if=none,id={disk.node}"]
        words += [word.format(id=disk.node) for word in disk.words]
    for number, card in enumerate(CARDS):
        words += ["-netdev", f"user,id=net{number},net=10.0.{number + 2}.0/24,tftp={folder}", "-device", f"{card.model},netdev=net{number}"]
    return [*words, "-device", "qemu-xhci", "-device", "usb-kbd", "-device", "usb-tablet"]


def check_disks(findings, shell, sums):
    """What is there, and what is written."""
    for disk in DISKS:
        read = shell.run(f"md5sum /dev/{disk.node}", 60).split()[0]
        findings.check(read == sums[disk.node], f"{disk.node} ({disk.driver}) gives what is on it")
        shell.run("dd if=/dev/urandom of=/tmp/data bs=1M count=2 2>/dev/null")
        shell.run(f"dd if=/tmp/data of=/dev/{disk.node} bs=64k seek=16 conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches", 60)
        written = shell.run(f"dd if=/dev/{disk.node} bs=64k skip=16 count=32 2>/dev/null | cmp - /tmp/data && echo same", 60)
        findings.check("same" in written, f"{disk.node} keeps what is written to it")


def check_cards(findings, shell, sums):
    """One file by each."""
    found = dict(line.split() for line in shell.run(
        "for card in /sys/class/net/*; do [ -e $card/device ] && echo $(basename $(readlink $card/device/driver)) $(basename $card); done; true").splitlines())
    for number, card in enumerate(CARDS):
        name = found.get(card.driver)
        if not findings.check(name is not None, f"{card.driver} has its card: {name}"):
            continue
        shell.run(f"ip link set {name} up; ip address add 10.0.{number + 2}.15/24 dev {name}")
        shell.attempt(f"for try in $(seq 50); do [ $(cat /sys/class/net/{name}/carrier) = 1 ] && break; usleep 100000; done", 30)
        got = shell.run(f"cd /tmp && tftp -g -r file -l file{number} 10.0.{number + 2}.2 && md5sum file{number}; cd", 90)
        findings.check(sums["file"] in got, f"{card.driver} fetches a file")


def interrupts(shell):
    """Kind and count of each of dom0's device interrupts, by name."""
    rows = re.findall(r"^\s*\d+:((?:\s+\d+)+)\s+xen-pirq\s+-(\S+)\s+(\S.*)$", shell.run("cat /proc/interrupts"), re.MULTILINE)
    return [(name.strip(), kind, sum(map(int, counts.split()))) for counts, kind, name in rows]


def check_kinds(findings, shell, no_messages):
    """Each driver has interrupts, of the right kind."""
    rows = interrupts(shell)
    wanted = [(disk.driver, disk.interrupt) for disk in DISKS] + [("eth", None), ("xhci", "msi-x")]
    for driver, kind in wanted:
        # With one line for all of a device, its name is the device's alone.
        mine = [row for row in rows if re.search(driver.split("-")[0] if no_messages else driver, row[0])]
        kinds = {row[1] for row in mine if row[2]}
        right = kinds == {"ioapic-level"} if no_messages else kind is None or kinds == {kind}
        findings.check(mine and kinds and right, f"{driver}: {sum(row[2] for row in mine)} interrupts, kind {', '.join(sorted(kinds))}")


def check_load(findings, shell, seconds):
    """Everything at once; a lost interrupt would be a request that times out."""
    before = {name: count for name, _, count in interrupts(shell)}
    reads = "; ".join(f"(while [ -e /tmp/go ]; do dd if=/dev/{disk.node} of=/dev/null bs=16k iflag=direct 2>/dev/null || echo {disk.node} >>/tmp/failed; done) &"
                      for disk in DISKS)
    fetches = "; ".join(f"(while [ -e /tmp/go ]; do tftp -g -r file -l /tmp/load{number} 10.0.{number + 2}.2 || echo card {number} >>/tmp/failed; done) &"
                        for number in range(len(CARDS)))
    shell.run(f"touch /tmp/go; {{ {reads} {fetches} }} >/dev/null 2>&1".replace("&;", "&"))
    shell.run(f"sleep {seconds}", seconds * 6 + 60)
    shell.run("rm /tmp/go; wait", 120)
    failed = shell.run("cat /tmp/failed 2>/dev/null; true").split()
    after = {name: count for name, _, count in interrupts(shell)}
    busy = sum(after[name] - before.get(name, 0) for name in after)
    findings.check(not failed, f"{busy} interrupts in {seconds} s of load on all devices, {len(failed)} failed requests {failed[:3]}")
    lost = [line for line in shell.run("dmesg", 30).splitlines() if re.search(LOST, line)]
    findings.check(not lost, f"{len(lost)} messages of lost interrupts {lost[:2]}")
    found = complaints(shell.run("dmesg", 30))
    findings.check(not found, f"{len(found)} complaints of the kernel {found[:2]}")


def steps(findings, toolstack, options, sums):
    """All of it."""
    shell = toolstack.shell
    check_disks(findings, shell, sums)
    check_cards(findings, shell, sums)
    told = shell.run("dmesg | grep 'input:' ; true")
    findings.check("USB Keyboard" in told and "USB Tablet" in told, "USB keyboard and tablet are there")
    check_kinds(findings, shell, "nomsi" in options.kernel_arguments)
    check_load(findings, shell, options.seconds)


def main(arguments):
    """One machine, all checks; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    parser.add_argument("--machine", default="q35", help="QEMU's machine: q35 or pc")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--kernel-arguments", default="")
    parser.add_argument("--seconds", type=int, default=15, help="of load on all devices")
    options = parser.parse_args(arguments)
    folder, sums = contents()
    name = f"hardware-{options.machine}-{'lines' if options.kernel_arguments else 'messages'}"
    machine, side = boot(options.hypervisor, name=name, cpus=options.cpus, kernel_arguments=options.kernel_arguments, drivers=DRIVERS,
                         machine_type=options.machine, devices=machine_words(folder))
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options, sums))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
