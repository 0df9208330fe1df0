"""The devices that `tools/run` gives dom0: what is written on its disk is there at the next boot, and the network answers.

    devices.py [--hypervisor none|torii]

"none" boots dom0's image on the bare machine, which shows that the image has the modules that it needs.
"""

import argparse
import sys

from findings import Findings
from toolstack import BUILD, MachineFailure, only_one

from emulator.debian import drive, network
from emulator.qemu import Configuration, Machine
from emulator.shell import Shell
from image import disk
from image.build import FILES, dom0_archive
from kernels.fetch import fetch


def configuration(side, image_disk):
    """The machine; on the bare one the serial line is the kernel's."""
    console = "ttyS0" if side == "none" else "hvc0"
    with only_one("images"):
        kernel = fetch("6.1")
        archive = dom0_archive(kernel, {}, BUILD)
        archive.add_file("etc/inittab", (FILES / "dom0/inittab").read_text().replace("hvc0", console))
        image = BUILD / "images/test-devices.cpio"
        archive.write(image)
    hypervisor = {} if side == "none" else {"hypervisor": BUILD / "torii.elf",
                                            "hypervisor_arguments": "console=com1 com1=115200 dom0_mem=512M,max:512M"}
    return Configuration(kernel=kernel.image, kernel_arguments=f"console={console} quiet torii.devices", initrd=image, memory="1024",
                         extra=[*drive(image_disk, "qcow2"), *network()], **hypervisor)


def boot(wanted, findings, number):
    """One boot: look at what the last one wrote, write."""
    with Machine(wanted, time_limit=300, name=f"devices-{number}", log_path=BUILD / f"log/devices-{number}.log") as machine:
        machine.expect(r"dom0:~# ", time_limit=200, fail_on=(r"Kernel panic", r"could not be (loaded|mounted|set up)"))
        shell = Shell(machine)
        shell.begin()
        found = shell.attempt("cat /var/lib/torii/disk/boots")[1].split()
        expected = [str(boot) for boot in range(1, number)]
        findings.check(found == expected if number > 1 else "No such file" in " ".join(found), f"boot {number} finds what was written: {found}")
        shell.run(f"grep -q ' /var/lib/torii/disk ext4 ' /proc/mounts && echo {number} >>/var/lib/torii/disk/boots && sync")
        findings.check("1 packets received" in shell.run("ping -c 1 10.0.2.2"), "the network answers")
        machine.send("poweroff\n")
        findings.check(machine.wait_end(time_limit=60) == 0, "powered off")


def main():
    """Exit code 0: the devices work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", choices=("none", "torii"), default="torii")
    side = parser.parse_args().hypervisor
    findings = Findings()
    try:
        work = disk.overlay(BUILD / "images/test-devices.qcow2", disk.image_disk("test-disk"), "raw")
        wanted = configuration(side, work)
        for number in (1, 2):
            boot(wanted, findings, number)
    except MachineFailure as failure:
        findings.check(False, str(failure))
    return findings.exit_code()


if __name__ == "__main__":
    sys.exit(main())
