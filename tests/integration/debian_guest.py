"""An installed Debian as a guest: systemd from a disk of ours, its network behind a NAT, ssh into it, kills of toriid meanwhile.

    debian_guest.py [--kills 3]

`torii image build` makes the disk, once, with fio in it. Shows: it boots to `running` with no failed unit; it has its address by
DHCP, resolves names, reaches dom0, and apt's mirror if there is one; `fio` writes, verifies, discards and flushes without an error,
while toriid is killed; the ssh connection that runs it survives; what was written is there after a reboot of the guest.
"""

import argparse
import subprocess
import sys
import time

from findings import run_machine
from images import free_port, torii
from split_drivers import SERVER
from toolstack import BUILD, MachineFailure, boot, only_one, time_factor

FOLDER = BUILD / "long/guest"
NAME = "debian"
# Random writes of many sizes, 32 at a time, each verified, with flushes between; a trim of what is free, which is a discard, besides.
FIO = ("sudo fio --name=t --filename=/var/tmp/t --size=64M --rw=randwrite --bsrange=4k-1M --iodepth=32 --ioengine=libaio --direct=1 "
       "--fsync=16 --verify=crc32c --verify_backlog=64 --time_based --runtime={seconds} --output-format=terse 2>&1 | tail -2; code=${{PIPESTATUS[0]}}; sudo fstrim / || code=trim; echo code $code")


def disk_with_image():
    """A disk for dom0 that holds the image, both made once."""
    disk = FOLDER / "disk.raw"
    with only_one("images"):
        if not (FOLDER / "images" / NAME / "image.toml").exists():
            (FOLDER / "images").mkdir(parents=True, exist_ok=True)
            torii("image", "build", "debian", NAME, "--directory", FOLDER / "images", "--size", "2G", "--packages", "fio,wget")
        subprocess.run(["truncate", "-s", "4G", disk], check=True)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", FOLDER / "images", disk], check=True)
    return disk


class Guest:
    """The guest, by ssh through QEMU's network, dom0 and the NAT."""

    def __init__(self, port):
        self.words = ["ssh", "-i", str(FOLDER / "images" / NAME / "id_ed25519"), "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o",
                      "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "torii@127.0.0.1"]

    def start(self, command):
        """A command that goes on."""
        return subprocess.Popen([*self.words, command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, command, time_limit=60):
        """What it says."""
        process = self.start(command)
        try:
            return process.communicate(timeout=time_limit * time_factor())[0]
        except subprocess.TimeoutExpired as late:
            process.kill()
            raise MachineFailure(f"{command} in the guest did not end within {time_limit * time_factor()} s") from late


def wait_for_login(toolstack):
    """Until the console shows it."""
    for _ in range(int(60 * time_factor())):
        if "login:" in toolstack.shell.run(f"tail -c 200 /var/log/torii/{NAME}.log"):
            return
        time.sleep(3)
    raise MachineFailure(f"no login: {toolstack.shell.run(f'tail -c 500 /var/log/torii/{NAME}.log')}")


def check_system(findings, guest):
    """Units and network."""
    state = guest.run("systemctl is-system-running --wait; systemctl --failed --no-legend", 200).split()
    findings.check(state == ["running"], f"systemd: {state}")
    findings.check("10.0.2.15" in guest.run("ip -4 addr show eth0"), "it has its address by DHCP")
    findings.check("hello" in guest.run(f"wget -q -O - http://{SERVER}/file"), "it reaches dom0")
    if guest.run("getent hosts deb.debian.org").strip():
        updated = guest.run("sudo apt-get update 2>&1 | tail -1", 300).strip()
        findings.check("Reading package lists" in updated and "Err" not in updated, f"apt-get update: {updated}")


def check_kills(findings, toolstack, guest, kills):
    """fio, through one ssh connection."""
    fio = guest.start(FIO.format(seconds=20 + 5 * kills))
    time.sleep(5)
    for _ in range(kills):
        toolstack.shell.run("kill -9 $(pidof toriid | tr ' ' '\\n' | tail -1); sleep 4")
    said = fio.communicate(timeout=600 * time_factor())[0].strip().splitlines()
    findings.check(said and said[-1] == "code 0", f"fio verified what it wrote, through {kills} kills of toriid, by one ssh connection: {said[-2:]}"[:300])
    errors = guest.run("sudo dmesg | grep -ciE 'I/O error|blkfront.*(error|fail)|EXT4-fs error' || true").strip()
    findings.check(errors == "0", f"its kernel tells of {errors} errors of a disk")


def main():
    """Exit code 0: all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    port = free_port()
    devices = ("-drive", f"file={disk_with_image()},format=raw,if=none,id=images", "-device", "virtio-blk-pci,drive=images",
               "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:2222", "-device", "virtio-net-pci,netdev=net")
    machine, side = boot("torii", name="debian-guest", guests=(), time_limit=1500, memory="2048", kernel_arguments="torii.devices", devices=devices)

    def steps(findings, toolstack):
        toolstack.shell.run(f"ip addr add {SERVER}/32 dev lo; mkdir -p /tmp/www; echo hello >/tmp/www/file; httpd -h /tmp/www")
        toolstack.shell.run(f"torii --quiet create /var/lib/torii/disk/{NAME}/guest.toml", 200)
        wait_for_login(toolstack)
        findings.check(True, f"a login prompt after {machine.seconds():.0f} s")
        guest = Guest(port)
        check_system(findings, guest)
        check_kills(findings, toolstack, guest, options.kills)
        guest.run("sudo sh -c 'echo kept >/var/tmp/kept; sync'; sudo reboot; true")
        time.sleep(15)
        wait_for_login(toolstack)
        findings.check("kept" in guest.run("sudo cat /var/tmp/kept", 100), "after its reboot the file is there")

    return run_machine(machine, side, steps)


if __name__ == "__main__":
    sys.exit(main())
