"""`./tools/run --disk` as a person uses it: on a terminal, from the build to the login, by ssh, through a reboot, to the power-off.

    run_disk.py [--firmware bios|uefi]
"""

import argparse
import os
import pty
import re
import selectors
import subprocess
import sys
import time

from toolstack import BUILD, ROOT, MachineFailure, time_factor

from findings import Findings
from installed_hardware import free_port

LOGIN = r"root@torii:~# "


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command):
        self.master, end = pty.openpty()
        self.process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        self.text = ""
        self.position = 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.master, selectors.EVENT_READ)

    def read(self, seconds):
        """Take what comes within some time; False: the program has ended."""
        if not self.selector.select(seconds):
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, time_limit):
        """Wait for a regular expression behind the last one."""
        deadline = time.monotonic() + time_limit * time_factor()
        while True:
            found = re.search(pattern, self.text[self.position:])
            if found:
                self.position += found.end()
                return found
            if time.monotonic() > deadline or not self.read(1.0):
                raise MachineFailure(f"tools/run did not show {pattern}; it ended with: {self.text[-2500:]}")

    def type(self, text):
        """As a person would."""
        os.write(self.master, text.encode())

    def end(self, time_limit):
        """Wait until it has ended; its exit code."""
        deadline = time.monotonic() + time_limit * time_factor()
        while self.read(1.0) and time.monotonic() < deadline:
            pass
        return self.process.wait(max(1.0, deadline - time.monotonic()))

    def close(self):
        """End it, if it has not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        log = BUILD / "log" / "run-disk.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(self.text)
        os.close(self.master)


def ssh(port, command, time_limit=60):
    """Run a command in the machine by ssh, as the help of tools/run has it; its output."""
    words = ["ssh", "-i", BUILD / "disk/id_ed25519", "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "ConnectTimeout=20", "root@127.0.0.1", command]
    last = None
    for _ in range(5):  # sshd may start after the login is there
        last = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=time_limit * time_factor())
        if last.returncode == 0:
            return last.stdout
        time.sleep(5)
    return f"ssh ended with code {last.returncode}: {last.stderr[-300:]}"


def use(findings, terminal, port):
    """What somebody does with the machine."""
    terminal.expect(LOGIN, 2400)
    terminal.type("cat /sys/hypervisor/version/extra; torii list\n")
    listed = terminal.expect(r"(?s)-torii.*Domain-0[^\n]*\n", 60)
    findings.check(True, f"GRUB started Torii, and its terminal is the machine's: {listed.group(0).split()[-6:]}")
    told = ssh(port, "systemctl is-system-running --wait; torii list; systemctl is-active toriid")
    findings.check("running" in told and "Domain-0" in told and "active" in told.split(), f"ssh leads into it: {told.split()}")
    ssh(port, "echo kept >/var/tmp/kept; sync")
    terminal.type("reboot\n")
    terminal.expect("Restarting system", 240)
    terminal.expect("GRUB", 240)
    terminal.expect(LOGIN, 600)
    findings.check(True, "reboot leads through GRUB to the login again, in the same QEMU")
    told = ssh(port, "cat /var/tmp/kept /sys/hypervisor/version/extra; rm /var/tmp/kept")
    findings.check("kept" in told and "-torii" in told, "on Torii again, and what was written is there")
    terminal.type("poweroff\n")
    code = terminal.end(240)
    findings.check(code == 0, f"poweroff ends it, with code {code}")


def main():
    """Exit code 0: all of it happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firmware", choices=("bios", "uefi"), default="bios")
    options = parser.parse_args()
    findings = Findings()
    port = free_port()
    terminal = Terminal([str(ROOT / "tools/run"), "--disk", "--firmware", options.firmware, "--ssh-port", str(port)])
    try:
        use(findings, terminal, port)
    except (MachineFailure, subprocess.TimeoutExpired) as failure:
        findings.check(False, str(failure))
    finally:
        terminal.close()
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
