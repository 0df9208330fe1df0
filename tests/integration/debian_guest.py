"""Installed Debians as guests: systemd from disks of ours, networks behind NATs and through a switch, ssh, kills of toriid meanwhile.

    debian_guest.py [--suite bookworm] [--kills 3] [--seconds 40]

`torii image build` makes the disk, once for each suite. Shows: two such guests boot to `running` with no failed unit; they have their
addresses by DHCP, resolve names, reach dom0, each other, and apt's mirror if there is one. Then, in one of them and all at once, for
the given time, while toriid is killed: `fio` writes 4 KiB to 1 MiB, 32 at a time, verifies, flushes, and file systems are trimmed;
`iperf3` sends both ways to dom0 and to the other guest; files are fetched from both and compared. Every byte is right, no connection
is lost (those of ssh too), no kernel tells of an error. What was written is there after a reboot of the guest.
"""

import argparse
import json
import subprocess
import sys
import time

from findings import run_machine
from image.disk import guest_image
from images import free_port
from split_drivers import SERVER
from toolstack import BUILD, MachineFailure, boot, only_one, time_factor

FOLDER = BUILD / "long/guest"
GUESTS = ("debian0", "debian1")
# Of the guests' switch.
INNER = ("10.1.0.1", "10.1.0.2")
PACKAGES = "fio,wget,iperf3,python3"
IMAGE_MIB = 2048
# Random writes of many sizes, 32 at a time, each verified, with flushes between.
FIO = ("sudo fio --name=t --filename=/var/tmp/t --size=64M --rw=randwrite --bsrange=4k-1M --iodepth=32 --ioengine=libaio --direct=1 "
       "--fsync=16 --verify=crc32c --verify_backlog=64 --time_based --runtime={seconds} --output-format=terse 2>&1 | tail -2; echo code ${{PIPESTATUS[0]}}")
# A file comes and goes, and what is free is discarded.
TRIM = ("end=$((SECONDS+{seconds})); while [ $SECONDS -lt $end ]; do dd if=/dev/urandom of=/var/tmp/gone bs=1M count=8 status=none && sync && "
        "rm /var/tmp/gone && sudo fstrim / || exit 1; sleep 2; done; echo code $?")
# What ended by a signal says nothing over ssh, so its code is told.
IPERF = "iperf3 --client {server} --bidir --time {seconds} --json; code=$?; [ $code = 0 ] || echo iperf3 ended with code $code"
FETCH = ("end=$((SECONDS+{seconds})); n=0; while [ $SECONDS -lt $end ]; do wget -q -O - http://{server}/file | md5sum | grep -q {sum} || exit 1; n=$((n+1)); done; "
         "echo code 0 after $n")


def disk_with_image(suite="bookworm", copies=2):
    """A disk for dom0 that holds the image, made once, and has room for copies."""
    disk, images = FOLDER / f"{suite}.raw", FOLDER / suite
    with only_one("images"):
        guest_image(images, "debian", "--size", f"{IMAGE_MIB}M", "--packages", PACKAGES, "--suite", suite)
        disk.unlink(missing_ok=True)
        subprocess.run(["truncate", "-s", f"{IMAGE_MIB * (copies + 1) + 1024}M", disk], check=True)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", images, disk], check=True)
    return disk


def create(toolstack, name, port):
    """A guest from a copy of the image; `port` of dom0 leads to its ssh."""
    folder = f"/var/lib/torii/disk/{name}"
    toolstack.shell.run(f"cp -r /var/lib/torii/disk/debian {folder} && sed -i 's|^name = .*|name = \"{name}\"|; s|tcp:[0-9]*:22|tcp:{port}:22|' {folder}/guest.toml && "
                        f"torii --quiet create {folder}/guest.toml", 600)


class Guest:
    """The guest, by ssh through QEMU's network, dom0 and the NAT."""

    def __init__(self, port, suite="bookworm"):
        self.words = ["ssh", "-i", str(FOLDER / suite / "debian/id_ed25519"), "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o",
                      "UserKnownHostsFile=/dev/null", "-o", "LogLevel=VERBOSE", "-o", "ConnectTimeout=20", "torii@127.0.0.1"]

    def start(self, command, log="/dev/null"):
        """A command that goes on; why the connection ends, if it does, is in the log."""
        return subprocess.Popen([*self.words, "-E", log, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, command, time_limit=60):
        """What it says."""
        process = self.start(command)
        try:
            return process.communicate(timeout=time_limit * time_factor())[0]
        except subprocess.TimeoutExpired as late:
            process.kill()
            raise MachineFailure(f"{command} in the guest did not end within {time_limit * time_factor()} s") from late


def wait_for_login(toolstack, name):
    """Until the console shows it."""
    for _ in range(int(80 * time_factor())):
        if "login:" in toolstack.shell.run(f"tail -c 200 /var/log/torii/{name}.log"):
            return
        time.sleep(3)
    raise MachineFailure(f"no login: {toolstack.shell.run(f'tail -c 500 /var/log/torii/{name}.log')}")


def check_system(findings, guest):
    """Units and network."""
    state = guest.run("systemctl is-system-running --wait; systemctl --failed --no-legend", 200).split()
    findings.check(state == ["running"], f"systemd: {state}")
    findings.check("10.0.2.15" in guest.run("ip -4 addr show eth0"), "it has its address by DHCP")
    findings.check("hello" in guest.run(f"wget -q -O - http://{SERVER}/hello"), "it reaches dom0")
    if guest.run("getent hosts deb.debian.org").strip():
        updated = guest.run("sudo apt-get update 2>&1 | tail -1", 300).strip()
        findings.check("Reading package lists" in updated and "Err" not in updated, f"apt-get update: {updated}")


class Load:
    """Everything at once in the first guest, each over an ssh connection of its own, while toriid is killed."""

    def __init__(self, findings, toolstack, guests, options):
        self.findings = findings
        self.toolstack = toolstack
        self.guests = guests
        self.options = options

    def join(self):
        """A card of each at one switch, and who listens: dom0 and the second guest."""
        shell = self.toolstack.shell
        shell.run("(iperf3 --server >/dev/null 2>&1 &)")
        self.sum = shell.run("md5sum /tmp/www/file").split()[0]
        for name, guest, address in zip(GUESTS, self.guests, INNER):
            shell.run(f"torii attach net {name} --attachment switch=inner")
            guest.run(f"for i in $(seq 50); do [ -e /sys/class/net/eth1 ] && break; sleep 0.2; done; sudo ip addr add {address}/24 dev eth1; sudo ip link set eth1 up")
        self.guests[1].run(f"wget -q -O file http://{SERVER}/file; (iperf3 --server >/dev/null 2>&1 &); (sudo python3 -m http.server 80 >/dev/null 2>&1 &) ; sleep 1")
        reached = self.guests[0].run(f"sudo ping -c 2 -W 10 {INNER[1]} | tail -2")
        self.findings.check(" 0% packet loss" in reached, f"it reaches the other guest: {reached.strip().splitlines()[:1]}")

    def start(self):
        """{what: ssh that runs it}."""
        seconds = self.options.seconds
        commands = {"fio": FIO.format(seconds=seconds), "trim": TRIM.format(seconds=seconds),
                    "iperf3 with dom0": IPERF.format(server=SERVER, seconds=seconds),
                    "iperf3 with a guest": IPERF.format(server=INNER[1], seconds=seconds),
                    "files of dom0": FETCH.format(server=SERVER, seconds=seconds, sum=self.sum),
                    "files of a guest": FETCH.format(server=INNER[1], seconds=seconds, sum=self.sum)}
        return {what: self.guests[0].start(command, self.log(what)) for what, command in commands.items()}

    @staticmethod
    def log(what):
        """What ssh says of a job's connection."""
        return BUILD / "log" / f"debian-guest-{what.replace(' ', '-')}.log"

    def kill(self):
        """Again and again, as long as it is meant to take."""
        start, pause = time.monotonic(), self.options.seconds / (self.options.kills + 1)
        for kill in range(1, self.options.kills + 1):
            time.sleep(max(0, start + kill * pause - time.monotonic()))
            self.toolstack.shell.run("kill -9 $(pidof toriid | tr ' ' '\n' | tail -1); sleep 2")

    def run(self):
        """All of it."""
        self.join()
        jobs = self.start()
        self.kill()
        for what, job in jobs.items():
            said = job.communicate(timeout=(200 + self.options.seconds) * time_factor())[0].strip()
            if what.startswith("iperf3"):
                good = self.check_stream(what, said)
            else:
                last = said.splitlines()[-1] if said else ""
                good = self.findings.check(last.startswith("code 0"), f"{what}, through {self.options.kills} kills of toriid: {last}")
            if not good:
                self.explain(job, said, self.log(what))
        for name, guest in zip(GUESTS, self.guests):
            errors = guest.run("sudo dmesg | grep -iE 'I/O error|blkfront.*(error|fail)|EXT4-fs error|hung task|netfront.*(error|bad)' | head -3; true").strip()
            self.findings.check(not errors, f"{name}'s kernel tells of no error {errors}")

    def explain(self, job, said, log):
        """What there is to know about a job that failed."""
        print(f"       ssh ended with {job.returncode}; it said: {said[-600:]!r}; of the connection: {log.read_text()[-900:]}")
        for name, guest in zip(GUESTS, self.guests):
            print(f"       {name}: {guest.run('free -m; sudo dmesg | tail -4; sudo journalctl -n 60 --no-pager -o short-precise -t sshd -t systemd-logind')}", flush=True)

    def check_stream(self, what, said):
        """Both directions moved data to the end."""
        try:
            told = json.loads(said)
            moved = [told["end"][key]["bytes"] for key in ("sum_sent", "sum_sent_bidir_reverse")]
        except (ValueError, KeyError):
            return self.findings.check(False, f"{what}: {said[-300:]}")
        good = "error" not in told and all(number > 1 << 20 for number in moved)
        return self.findings.check(good, f"{what}: {[number >> 20 for number in moved]} MiB in {self.options.seconds} s, through {self.options.kills} kills {told.get('error', '')}")


def main():
    """Exit code 0: all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=40)
    options = parser.parse_args()
    ports = [free_port() for _ in GUESTS]
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{port}-:{port}" for port in ports)
    devices = ("-drive", f"file={disk_with_image(options.suite)},format=raw,if=none,id=images", "-device", "virtio-blk-pci,drive=images",
               "-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net")
    machine, side = boot("torii", name=f"debian-guest-{options.suite}", guests=(), time_limit=1800 + 3 * options.seconds, memory="2560",
                         kernel_arguments="torii.devices", devices=devices, programs={"iperf3": "/usr/bin/iperf3"})

    def steps(findings, toolstack):
        toolstack.shell.run(f"ip addr add {SERVER}/32 dev lo; mkdir -p /tmp/www; dd if=/dev/urandom of=/tmp/www/file bs=64k count=16 2>/dev/null; "
                            "echo hello >/tmp/www/hello; httpd -h /tmp/www")
        for name, port in zip(GUESTS, ports):
            create(toolstack, name, port)
        guests = [Guest(port, options.suite) for port in ports]
        for name, guest in zip(GUESTS, guests):
            wait_for_login(toolstack, name)
            findings.check(True, f"{name}: a login prompt after {machine.seconds():.0f} s")
            check_system(findings, guest)
        findings.check(True, f"its kernel: {guests[0].run('uname -r').strip()}")
        Load(findings, toolstack, guests, options).run()
        guests[0].run("sudo sh -c 'echo kept >/var/tmp/kept; sync'; sudo reboot; true")
        time.sleep(15)
        wait_for_login(toolstack, GUESTS[0])
        findings.check("kept" in guests[0].run("sudo cat /var/tmp/kept", 100), "after its reboot the file is there")

    return run_machine(machine, side, steps)


if __name__ == "__main__":
    sys.exit(main())
