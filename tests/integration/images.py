#!/usr/bin/env python3
"""`torii image` for real: Debian is installed on a disk, the disk looked into from outside, and booted; a build that is interrupted
or killed leaves nothing behind. As root, with a mirror of Debian in reach.

    images.py [--suite bookworm] [--kernel standard] [--parts build,boot,...]

The machine that boots it is QEMU's, with virtio devices and no hypervisor: what is shown is the image, not paravirtual devices.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from toolstack import BUILD, Configuration, Machine, MachineFailure, time_factor

from commands import packages
from findings import Findings

TORII = BUILD / "tools/cli/torii"
FOLDER = BUILD / "long/images"
NAME = "probe"
PASSWORD = "only-for:this test"
USER = "torii"
KEYS = f"/home/{USER}/.ssh"
GROWN = 3 << 30
BUILD_SECONDS = 900


def torii(*words, code=0, **options):
    """Run the command line; returns (standard output, standard error)."""
    done = subprocess.run([TORII, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          timeout=BUILD_SECONDS * time_factor(), **options)
    if done.returncode != code:
        raise MachineFailure(f"torii {' '.join(map(str, words))} ended with code {done.returncode} in place of {code} and said: "
                             f"{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def image(*words, **options):
    """A verb of `torii image` on the test's folder."""
    return torii("image", *words, "--directory", FOLDER, **options)


def free_port():
    """A port of this host's that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_processes():
    """Command lines of processes that work in the test's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            root = os.readlink(entry / "root")
        except OSError:
            continue
        if root.startswith(str(FOLDER)) or (b"debootstrap" in b" ".join(words) and str(FOLDER).encode() in b" ".join(words)):
            found.append(b" ".join(words).decode(errors="replace"))
    return found


class Images:
    """The parts of the test, which share one image."""

    def __init__(self, findings, options):
        self.findings = findings
        self.options = options
        self.folder = FOLDER / NAME

    def check(self, good, text):
        """Note what was found."""
        return self.findings.check(good, text)

    # --- builds that do not end

    def begun(self, name):
        """A build that has begun to fill its folder."""
        process = subprocess.Popen([TORII, "image", "build", "debian", name, "--directory", FOLDER], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120 * time_factor()
        while not list(FOLDER.glob(f".unfinished-{name}.*/tree/debootstrap")):
            if time.monotonic() > deadline or process.poll() is not None:
                process.kill()
                raise MachineFailure(f"the build of {name} did not begin: {process.communicate()[1]}")
            time.sleep(0.2)
        return process

    def interrupted(self):
        """Ctrl-C: undone at once. kill -9: no process goes on, and the next build takes away what is left."""
        process = self.begun("interrupted")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60 * time_factor())[1]
        self.check(process.returncode == 130 and "interrupted" in said, f"an interrupted build ends with {process.returncode}")
        self.check(not list(FOLDER.iterdir()), f"it leaves {[path.name for path in FOLDER.iterdir()]}")
        process = self.begun("killed")
        process.kill()
        process.communicate()
        time.sleep(2 * time_factor())
        self.check(not own_processes(), f"a killed build leaves these processes: {own_processes()}")
        self.check(str(FOLDER) not in Path("/proc/mounts").read_text(), "nothing is mounted there")
        self.check(image("list")[0].count("\n") == 1, "a killed build is no image")

    # --- what is built

    def build(self):
        """An image, with all that can be asked for."""
        port = free_port()
        began = time.monotonic()
        told, steps = image("build", "debian", NAME, "--size", "2G", "--suite", self.options.suite, "--kernel", self.options.kernel,
                            "--packages", "tree", "--password-file", "-", "--ssh-port", str(port), input=PASSWORD + "\n")
        self.check(True, f"built after {time.monotonic() - began:.0f} s: {told.splitlines()[0]}")
        self.check("Installing the kernel" in steps, "each step is told")
        self.check([path.name for path in FOLDER.iterdir()] == [NAME], "nothing else is left in the folder, of the killed one neither")
        image("build", "debian", NAME, code=7)

    def look_from_outside(self):
        """The files beside the disk, and those in it."""
        listed = json.loads(torii("--json", "image", "list", "--directory", FOLDER)[0])
        self.check([(one["name"], one["suite"], one["size_bytes"]) for one in listed] == [(NAME, self.options.suite, 2 << 30)],
                   f"listed: {listed}")
        self.check(listed[0]["allocated_bytes"] < 1 << 30, f"the disk takes {listed[0]['allocated_bytes'] >> 20} MiB")
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in self.folder.iterdir()}
        self.check(modes == {"disk.raw": "0o600", "vmlinuz": "0o644", "initrd.img": "0o644", "id_ed25519": "0o600", "id_ed25519.pub": "0o644",
                             "known_hosts": "0o644", "guest.toml": "0o644", "image.toml": "0o644"}, f"its files: {modes}")
        checked = subprocess.run(["e2fsck", "-fn", self.folder / "disk.raw"], capture_output=True, text=True, check=False, timeout=300)
        self.check(checked.returncode == 0, f"e2fsck: {checked.stdout[-300:]}")
        self.look_into()

    def debugfs(self, request):
        """What debugfs says of the disk."""
        return subprocess.run(["debugfs", "-R", request, self.folder / "disk.raw"], capture_output=True, text=True, check=True,
                              timeout=60).stdout

    def look_into(self):
        """Files in the disk, without mounting it."""
        for path, wanted in {
                "/etc/hostname": NAME, "/etc/fstab": "x-systemd.growfs", "/etc/sudoers.d/torii": "torii ALL=(ALL:ALL) NOPASSWD: ALL",
                "/etc/apt/sources.list": f"{self.options.suite}-security", "/root/.ssh/authorized_keys": "ssh-ed25519",
                f"{KEYS}/authorized_keys": "ssh-ed25519", "/etc/ssh/sshd_config.d/torii.conf": "PasswordAuthentication no"}.items():
            self.check(wanted in self.debugfs(f"cat {path}"), f"{path} says: {wanted}")
        self.check(self.debugfs("cat /etc/machine-id") == "", "it has no machine id yet")
        shadow = dict(line.split(":")[:2] for line in self.debugfs("cat /etc/shadow").splitlines())
        self.check(shadow["torii"].startswith("$") and PASSWORD not in shadow["torii"], "the user's password is hashed")
        self.check(shadow["root"] in ("*", "!"), f"root has no password: {shadow['root']}")
        for path, mode, owner in (("/root/.ssh", "0700", 0), ("/root/.ssh/authorized_keys", "0600", 0), (KEYS, "0700", 1000),
                                  (f"{KEYS}/authorized_keys", "0600", 1000), ("/etc/sudoers.d/torii", "0440", 0),
                                  ("/usr/bin/sudo", "04755", 0)):
            told = self.debugfs(f"stat {path}")
            self.check(f"Mode:  {mode}" in told and re.search(rf"User:\s+{owner}\s", told) is not None, f"{path} is {mode} and of user {owner}")
        for path in ("/usr/sbin/policy-rc.d", "/etc/dpkg/dpkg.cfg.d/torii-build", "/etc/.resolv.conf.systemd-resolved.bak", "/debootstrap",
                     "/var/log/bootstrap.log"):
            self.check("Inode:" not in self.debugfs(f"stat {path}"), f"{path} is gone")

    # --- what boots

    def ssh(self, command, user="torii"):
        """A command in the guest, through `torii ssh`."""
        return torii("ssh", NAME, "--directory", FOLDER, "--user", user, "--", command)[0].strip()

    def machine(self, log):
        """The image's machine."""
        facts = json.loads(torii("--json", "image", "info", NAME, "--directory", FOLDER)[0])
        extra = ["-drive", f"file={self.folder / 'disk.raw'},format=raw,if=virtio,discard=unmap", "-netdev",
                 f"user,id=net0,hostfwd=tcp:127.0.0.1:{facts['ssh_port']}-:22", "-device", "virtio-net-pci,netdev=net0"]
        wanted = Configuration(kernel=self.folder / "vmlinuz", initrd=self.folder / "initrd.img", memory="512", extra=extra, reboots=True,
                               # A busy host starves the emulated timer that the kernel would try out.
                               kernel_arguments="root=/dev/vda ro console=ttyS0 net.ifnames=0 no_timer_check")
        return Machine(wanted, time_limit=1200, name=log, log_path=BUILD / "log" / f"{log}.log")

    def log_in_at_the_console(self, machine):
        """With the password that was given."""
        machine.send("torii\n")
        machine.expect("Password: ", time_limit=60)
        machine.send(PASSWORD + "\n")
        machine.expect(rf"torii@{NAME}:~\$ ", time_limit=60)
        machine.send("exit\n")
        self.check(True, "the user logs in at the console by password")

    def boot(self):
        """The first time: to the login prompt, no unit fails, ssh and sudo, the network."""
        with self.machine("image-first") as machine:
            machine.expect(rf"{NAME} login: ", time_limit=400, fail_on=(r"Kernel panic", r"emergency mode"))
            self.check(True, f"login prompt after {machine.seconds():.0f} s")
            self.log_in_at_the_console(machine)
            state = self.ssh("systemctl is-system-running --wait; systemctl --failed --plain --no-legend").split("\n")
            self.check(state == ["running"], f"systemd says: {state}")
            self.check(self.ssh("sudo id -un") == "root", "the user has sudo without a password")
            self.check(self.ssh("id -un", user="root") == "root", "root logs in with the key")
            self.check("10.0.2.15" in self.ssh("ip -4 addr show eth0"), "eth0 has its address by DHCP")
            self.check(self.ssh("hostname") == NAME and len(self.ssh("cat /etc/machine-id")) == 32, "it has its name and an id")
            self.check("tree" in self.ssh("command -v tree"), "the package that was asked for is there")
            self.check(self.ssh("locale 2>&1 | grep -c C.UTF-8") != "0", "its locale is C.UTF-8")
            self.check("enabled" in self.ssh("systemctl is-enabled fstrim.timer"), "fstrim.timer is enabled")
            used = self.ssh("free -m | awk '/^Mem/ { print $3 }'; systemd-analyze | head -1")
            self.check(True, f"memory used in MiB, and time: {used.split(chr(10))}")
            refused = subprocess.run(["ssh", "-p", str(json.loads(torii('--json', 'image', 'info', NAME, '--directory', FOLDER)[0])["ssh_port"]),
                                      "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                                      "-o", "IdentityFile=/dev/null", "torii@127.0.0.1", "true"], capture_output=True, text=True, check=False,
                                     timeout=120)
            self.check("Permission denied (publickey)" in refused.stderr, f"ssh takes keys only: {refused.stderr.strip()}")
            self.power_off(machine)

    def power_off(self, machine):
        """By ssh, as its user would."""
        subprocess.run([TORII, "ssh", NAME, "--directory", FOLDER, "--", "sudo poweroff"], stdin=subprocess.DEVNULL, capture_output=True,
                       check=False, timeout=120)
        machine.wait_end(time_limit=200)

    def boot_larger(self):
        """After the disk has grown the file system does."""
        os.truncate(self.folder / "disk.raw", GROWN)
        with self.machine("image-grown") as machine:
            machine.expect(rf"{NAME} login: ", time_limit=400, fail_on=(r"Kernel panic", r"emergency mode"))
            self.check(self.ssh("systemctl is-system-running --wait") == "running", "systemd runs after the second boot")
            size = int(self.ssh("df -B1 --output=size / | tail -1"))
            self.check(size > 0.9 * GROWN, f"the file system has {size >> 20} MiB")
            self.power_off(machine)

    def remove(self):
        """And it is gone."""
        image("rm", NAME)
        self.check(not list(FOLDER.iterdir()), "nothing is left after rm")


def main():
    """Exit code 0: all was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--kernel", default="standard")
    parser.add_argument("--parts", default="interrupted,build,look_from_outside,boot,boot_larger,remove", help="of the test, with commas")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("Images are made by root only.", file=sys.stderr)
        return 1
    packages.install({"disk"})
    FOLDER.mkdir(parents=True, exist_ok=True)
    findings = Findings()
    parts = Images(findings, options)
    try:
        for part in options.parts.split(","):
            getattr(parts, part)()
    except (MachineFailure, subprocess.TimeoutExpired) as failure:
        findings.check(False, str(failure))
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
