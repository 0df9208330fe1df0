"""The installed Debian on Torii boots from each kind of disk, and drives all devices of the machine under fio and iperf3.

    installed_hardware.py [--machine q35|pc] [--firmware bios|uefi] [--seconds 60] [--only-board]

Its root is on the disk of the board (AHCI on q35, IDE on pc), on NVMe, virtio-blk and virtio-scsi in turn, started by GRUB; the other
disks and the cards e1000e, RTL8139 and virtio-net, USB keyboard and tablet are there each time. With the root on the board's disk all
of them work at once: fio writes what it reads again and compares, iperf3 sends both ways through each card, by messages (MSI, MSI-X)
and, with pci=nomsi, by lines. An interrupt that got lost would be a request that times out, which the kernel tells.
"""

import argparse
import json
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass

from toolstack import BUILD, MachineFailure, only_one

from commands import packages
from emulator import accelerator, debian
from findings import Findings
from hardware import CARDS, LOST, interrupts
from image import disk as disks
from kernel_messages import complaints

SCRATCH_MIB = 64


@dataclass(frozen=True)
class Disk:
    """A kind of disk: QEMU's words for it, the driver of its controller, what /proc/interrupts calls that, and the kind of interrupt."""

    name: str
    words: tuple
    driver: str
    interrupt: str
    kind: str


@dataclass(frozen=True)
class Network:
    """A card of the machine: its network, and the port at which this host's iperf3 listens."""

    model: str
    driver: str
    net: str
    port: int


def kinds_of_disks(machine_type):
    """The board's own first."""
    board = (Disk("AHCI", ("-device", "ide-hd,drive={id},bus=ide.0{boot}"), "ahci", r"ahci", "msi") if machine_type == "q35" else
             Disk("IDE", ("-device", "ide-hd,drive={id},bus=ide.0{boot}"), "ata_piix", r"ata_piix", "ioapic-edge"))
    return (board,
            Disk("NVMe", ("-device", "nvme,drive={id},serial={id}{boot}"), "nvme", r"nvme\d", "msi-x"),
            Disk("virtio-blk", ("-device", "virtio-blk-pci,drive={id}{boot}"), "virtio_blk", r"virtio\d-req\.", "msi-x"),
            Disk("virtio-scsi", ("-device", "virtio-scsi-pci,id=scsi0", "-device", "scsi-hd,drive={id},bus=scsi0.0{boot}"), "virtio_scsi",
                 r"virtio\d-request", "msi-x"))


def free_port():
    """A TCP port of this host that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Rig:
    """What all machines of a run share."""

    def __init__(self, options, accel, base):
        self.options = options
        self.accel = accel
        self.disks = kinds_of_disks(options.machine)
        self.networks = [Network(card.model, card.driver, f"10.0.{number + 3}", free_port()) for number, card in enumerate(CARDS)]
        self.root = disks.overlay(BUILD / f"disk/hardware-{options.machine}.qcow2", base, "qcow2")

    def scratch(self, kind):
        """A small disk of zeros that a kind of disk has when the root is elsewhere."""
        path = BUILD / f"disk/scratch-{self.options.machine}-{kind.name}.raw"
        with path.open("wb") as file:
            file.truncate(SCRATCH_MIB << 20)
        return path

    def machine(self, root_kind):
        """A machine whose root is on a disk of this kind."""
        words = ["-boot", "menu=off", *debian.firmware(self.options.firmware)]
        for number, kind in enumerate(self.disks):
            name = "root" if kind is root_kind else f"scratch{number}"
            path, form = (self.root, "qcow2") if kind is root_kind else (self.scratch(kind), "raw")
            words += ["-drive", f"file={path},format={form},if=none,id={name}"]
            words += [word.format(id=name, boot=",bootindex=0" if kind is root_kind else "") for word in kind.words]
        for number, network in enumerate(self.networks):
            words += ["-netdev", f"user,id=card{number},net={network.net}.0/24", "-device", f"{network.model},netdev=card{number}"]
        words += ["-device", "qemu-xhci", "-device", "usb-kbd", "-device", "usb-tablet"]
        name = f"installed-{self.options.machine}-{self.options.firmware}-{root_kind.name}"
        return debian.machine(words, name=name, time_limit=1200, accel=self.accel, cpus=2, card=False, machine=self.options.machine)


class Boot:
    """One boot of it."""

    def __init__(self, findings, rig, booted, root_kind, lines):
        self.findings = findings
        self.rig = rig
        self.debian = booted
        self.root_kind = root_kind
        self.lines = lines

    def check(self, good, text):
        """Note what was found."""
        how = "by lines" if self.lines else "by messages"
        return self.findings.check(good, f"{self.rig.options.machine}, {self.rig.options.firmware}, root on {self.root_kind.name}, {how}: {text}")

    def nodes(self):
        """{driver of the controller: the disk's node}."""
        told = self.debian.ask("for disk in /sys/block/sd* /sys/block/nvme* /sys/block/vd*; do [ -e $disk/device ] && echo ${disk##*/} $(readlink -f $disk/device); done; true")
        drivers = dict(line.split() for line in self.debian.ask(
            "for device in /sys/bus/pci/devices/* /sys/bus/virtio/devices/*; do [ -e $device/driver ] && "
            "echo $(readlink -f $device) $(basename $(readlink $device/driver)); done; true").splitlines())
        found = {}
        for line in told.splitlines():
            node, place = line.split()
            above = [path for path in drivers if place == path or place.startswith(path + "/")]
            if above:
                found[drivers[max(above, key=len)]] = node
        return found

    def cards(self):
        """{driver: the interface's name}."""
        return dict(line.split() for line in self.debian.ask(
            "for card in /sys/class/net/*; do [ -e $card/device ] && echo $(basename $(readlink $card/device/driver)) ${card##*/}; done; true"
        ).splitlines())

    def devices(self):
        """All of them are there; returns the disks' nodes and the cards' names."""
        nodes, cards = self.nodes(), self.cards()
        for kind in self.rig.disks:
            self.check(kind.driver in nodes, f"{kind.name} has a disk: {nodes.get(kind.driver)}")
        for network in self.rig.networks:
            self.check(network.driver in cards, f"{network.driver} has a card: {cards.get(network.driver)}")
        root = self.debian.ask("lsblk -n -o PKNAME $(findmnt -n -o SOURCE /)")
        self.check(root == nodes.get(self.root_kind.driver), f"the root is on {root}, by {self.root_kind.driver}")
        told = self.debian.ask("cat /proc/bus/input/devices")
        self.check("USB Keyboard" in told and "USB Tablet" in told, "USB keyboard and tablet are there")
        return nodes, cards

    def check_kinds(self, cards):
        """Each has interrupts of the right kind."""
        rows = interrupts(self.debian.shell)
        wanted = [(kind.driver, kind.interrupt, kind.kind) for kind in self.rig.disks]
        wanted += [(card.driver, "virtio\\d-input" if card.driver == "virtio_net" else re.escape(cards.get(card.driver, card.driver)), card.interrupt)
                   for card in CARDS]
        wanted.append(("xhci_hcd", "xhci", "msi-x"))
        for driver, pattern, kind in wanted:
            # With one line for all of a device's queues, it is called by the device alone; a line has a device's name among others.
            pattern = re.sub(r"-(?:req|input).*", "", pattern) if self.lines else pattern
            kind = "ioapic-level" if self.lines and kind.startswith("msi") else kind
            mine = [row for row in rows if re.search(pattern, row[0]) and row[2]]
            self.check(mine and {row[1] for row in mine} == {kind}, f"{driver}: {sum(row[2] for row in mine)} interrupts, "
                       f"kind {', '.join(sorted({row[1] for row in mine}))}")

    def load(self, nodes, cards, seconds):
        """fio on each disk, iperf3 through each card, all at once."""
        before = sum(row[2] for row in interrupts(self.debian.shell))
        jobs = {}
        for kind in self.rig.disks:
            target = "/var/tmp/fio.data" if kind is self.root_kind else f"/dev/{nodes[kind.driver]}"
            jobs[f"fio-{kind.name}"] = (
                f"fio --name={kind.name} --filename={target} --size=48M --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite "
                f"--bsrange=4k-64k --verify=crc32c --verify_fatal=1 --verify_backlog=64 --time_based --runtime={seconds} --output-format=json")
        for network in self.rig.networks if cards else ():
            jobs[f"iperf-{network.driver}"] = (f"iperf3 --client {network.net}.2 --bind-dev {cards[network.driver]} --port {network.port} "
                                               f"--time {seconds} --bidir --json")
        started = " ".join(f"({{ {job}; }} >/var/tmp/{name}.json 2>/var/tmp/{name}.err; echo $? >/var/tmp/{name}.code) &" for name, job in jobs.items())
        with ExitStack() as servers:
            for network in self.rig.networks if cards else ():
                server = servers.enter_context(subprocess.Popen(["iperf3", "--server", "--bind", "127.0.0.1", "--port", str(network.port)],
                                                                stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL))
                servers.callback(server.kill)
            self.debian.run(f"{started} wait", seconds * 4 + 120)
        for name in jobs:
            self.judge(name)
        busy = sum(row[2] for row in interrupts(self.debian.shell)) - before
        self.check(busy > 0, f"{busy} interrupts in {seconds} s of load")

    def judge(self, name):
        """What one of the programs says of itself."""
        code = self.debian.ask(f"cat /var/tmp/{name}.code")
        said = self.debian.ask(f"cat /var/tmp/{name}.err; tail -c 300 /var/tmp/{name}.json") if code != "0" else ""
        told = ""
        if code == "0" and name.startswith("fio"):
            job = json.loads(self.debian.ask(f"sed -n '/^{{/,$p' /var/tmp/{name}.json"))["jobs"][0]
            told = f"{job['write']['io_kbytes'] >> 10} MiB written, {job['read']['io_kbytes'] >> 10} MiB compared, {job['error']} errors"
            self.check(job["error"] == 0 and job["read"]["io_kbytes"] > 0 and job["write"]["io_kbytes"] > 0, f"{name}: {told}")
        elif code == "0":
            ends = json.loads(self.debian.ask(f"cat /var/tmp/{name}.json"))["end"]
            sent, got = ends["sum_sent"]["bytes"] >> 20, ends["sum_received_bidir_reverse"]["bytes"] >> 20
            self.check(sent > 0 and got > 0, f"{name}: {sent} MiB sent, {got} MiB received")
        else:
            self.check(False, f"{name} ended with code {code}: {said[-600:]}")

    def no_complaints(self):
        """Nothing in the kernel's messages says that an interrupt was lost."""
        told = self.debian.ask("dmesg")
        lost = [line for line in told.splitlines() if re.search(LOST, line)]
        self.check(not lost, f"{len(lost)} messages of lost interrupts {lost[:2]}")
        self.check(not complaints(told), f"{len(complaints(told))} complaints of the kernel {complaints(told)[:2]}")


def run_boot(findings, rig, root_kind, *, full, lines=False, next_lines=False):
    """Start it, look at its devices, keep them busy, switch it off. `next_lines`: the next start is with pci=nomsi."""
    with rig.machine(root_kind) as machine:
        booted = debian.Debian(machine)
        booted.begin(400)
        boot = Boot(findings, rig, booted, root_kind, lines)
        boot.check("-torii" in booted.ask("cat /sys/hypervisor/version/extra"), f"on Torii after {machine.seconds():.0f} s")
        boot.check(lines == ("pci=nomsi" in booted.ask("cat /proc/cmdline")), "with the arguments that it should have")
        nodes, cards = boot.devices()
        boot.load(nodes, cards if full else {}, rig.options.seconds if full else max(10, rig.options.seconds // 4))
        boot.check_kinds(cards)
        boot.no_complaints()
        if next_lines:
            booted.run("sed -i 's/console=hvc0/console=hvc0 pci=nomsi/' /boot/grub/grub.cfg")
        booted.power_off()


def main():
    """Exit code 0: all devices work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", choices=("q35", "pc"), default="q35")
    parser.add_argument("--firmware", choices=("bios", "uefi"), default="bios")
    parser.add_argument("--seconds", type=int, default=60, help="of load on all devices; on the disks alone a quarter of it")
    parser.add_argument("--only-board", action="store_true", help="have the root on the board's own disk alone")
    options = parser.parse_args()
    findings = Findings()
    try:
        with only_one("images"):
            packages.install({"run", "disk"})
            accel = accelerator.choose("auto", "qemu64", BUILD / "torii.elf")
            rig = Rig(options, accel, disks.installed(disks.build_package(), accel))
        board, *others = rig.disks
        for kind in others if not options.only_board else ():
            run_boot(findings, rig, kind, full=False)
        run_boot(findings, rig, board, full=True, next_lines=True)
        run_boot(findings, rig, board, full=True, lines=True)
    except MachineFailure as failure:
        findings.check(False, str(failure))
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
