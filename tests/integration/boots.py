"""Boots one stock kernel as dom0, and from it stock kernels as guests; looks at each from inside.

    boots.py --hypervisor torii --dom0 6.1 --guests 6.1,6.12,cloud --cpu qemu64
    boots.py --hypervisor xen --write-reference ...      the same on Xen 4.17; keeps its kernel messages as the reference

Shows for each kernel and role: user space is reached, /sys/hypervisor is right, the console answers with the guest's own nonce,
and kernel messages at level warning and above are those of the same kernel under Xen.
"""

import argparse
import secrets
import sys

from findings import run_machine
from kernel_messages import differences, write_reference
from toolstack import SIDES, boot, fetch

SYS_HYPERVISOR = "cd /sys/hypervisor && cat type guest_type version/major version/minor uuid && ls properties && cd /"
ZERO_UUID = "00000000-0000-0000-0000-000000000000"


def check_sys_hypervisor(findings, shell, role):
    """/sys/hypervisor names Xen's ABI, version 4.17, a PV guest, and the domain's own UUID."""
    lines = shell.run(SYS_HYPERVISOR).split()
    findings.check(lines[:4] == ["xen", "PV", "4", "17"], f"{role}: /sys/hypervisor says {' '.join(lines[:4])}")
    is_zero = lines[4] == ZERO_UUID
    findings.check(is_zero == (role == "dom0"), f"{role}: UUID {lines[4]}")
    wanted = {"buildid", "capabilities", "changeset", "features", "pagesize", "virtual_start"}
    findings.check(set(lines[5:]) == wanted, f"{role}: /sys/hypervisor/properties holds {' '.join(lines[5:])}")


def check_ports(findings, shell, name):
    """A guest without port permissions reads ones: keyboard controller, speaker, real-time clock, serial line, PCI."""
    if shell.attempt("test -c /dev/port")[0] != 0:
        return  # this kernel has no way to ask
    read = shell.run("for port in 96 97 100 112 1016 3324; do dd if=/dev/port bs=1 skip=$port count=1 2>/dev/null | hexdump -e '1/1 \"%02x \"'; done")
    findings.check(read.split() == ["ff"] * 6, f"{name}: I/O ports read {read.strip()}")


def check_messages(findings, options, kernel, role, messages):
    """Hold the messages against the reference, or keep them as such."""
    if options.write_reference:
        write_reference(kernel, role, options.cpu, fetch(kernel).release, messages)
        return
    different = differences(kernel, role, options.cpu, messages)
    for line in different:
        print(f"       {line}")
    findings.check(not different, f"{kernel} as {role}: {len(messages)} kernel messages at warning and above, "
                                  f"{len(different)} differences from Xen 4.17")


def check_guest(findings, options, toolstack, kernel):
    """Create one guest, talk to it, and shut it down."""
    name, nonce = f"debian-{kernel}", secrets.token_hex(6)
    toolstack.create(name, arguments=f"nonce={nonce}")
    with toolstack.console(name) as guest:
        told = guest.run("cat /proc/cmdline; uname -r")
        findings.check(nonce in told and fetch(kernel).release in told, f"{name}: its console answers with its own nonce")
        check_sys_hypervisor(findings, guest, name)
        check_ports(findings, guest, name)
        messages = toolstack.kernel_messages(guest)
    check_messages(findings, options, kernel, "domU", messages)
    toolstack.verb("shutdown", name)
    toolstack.wait_gone(name)
    findings.check(True, f"{name}: has shut itself down")


def steps(findings, toolstack, options):
    """dom0 first, then each guest."""
    check_sys_hypervisor(findings, toolstack.shell, "dom0")
    check_messages(findings, options, options.dom0, "dom0", toolstack.kernel_messages(toolstack.shell))
    for guest in options.guests:
        check_guest(findings, options, toolstack, guest)


def parse(arguments):
    """The options; `guests` becomes a list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=SIDES)
    parser.add_argument("--dom0", default="6.1")
    parser.add_argument("--guests", default="6.1", help="comma-separated; none: an empty text")
    parser.add_argument("--cpu", default="qemu64")
    parser.add_argument("--write-reference", action="store_true")
    options = parser.parse_args(arguments)
    options.guests = [guest for guest in options.guests.split(",") if guest]
    return options


def main(arguments):
    """One machine, all checks; exit code 1 if one failed."""
    options = parse(arguments)
    machine, side = boot(options.hypervisor, name=f"boots-{options.hypervisor}-{options.dom0}-{options.cpu.split(',')[0]}",
                         dom0=options.dom0, guests=options.guests, cpu=options.cpu)
    return run_machine(machine, side, lambda findings, toolstack: steps(findings, toolstack, options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
