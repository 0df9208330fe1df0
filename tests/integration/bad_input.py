"""Each wrong request gets a sentence and a non-zero exit, and leaves nothing behind.

    bad_input.py [--hypervisor mixed]
"""

import argparse
import sys

from findings import run_machine
from toolstack import boot

IMAGE = "/var/lib/torii/images/debian-6.1"
PREPARE = (
    "dd if=/dev/urandom of=/tmp/noise bs=1k count=64",
    f"dd if={IMAGE}/vmlinuz of=/tmp/truncated bs=1k count=3000",
    f"cp {IMAGE}/vmlinuz /tmp/corrupt; dd if=/dev/zero of=/tmp/corrupt bs=1k seek=4000 count=64 conv=notrunc",
    "cp /bin/busybox /tmp/no-pv-entry",
    "printf 'name = \"x\"\\nmemroy = \"64M\"\\n' > /tmp/unknown-key.toml",
    "printf 'name = \"x\\n' > /tmp/broken.toml",
)
# What is asked, and words of which at least one must be in the answer.
CASES = (
    ("torii create --name x --memory 256M --kernel /tmp/noise", ("kernel",)),
    ("torii create --name x --memory 256M --kernel /tmp/truncated", ("kernel", "truncated", "short")),
    ("torii create --name x --memory 256M --kernel /tmp/corrupt", ("corrupt", "decompress", "damaged", "kernel")),
    ("torii create --name x --memory 256M --kernel /tmp/no-pv-entry", ("paravirtual", "PV", "note")),
    ("torii create --name x --memory 256M --kernel /nowhere", ("/nowhere",)),
    (f"torii create --name x --kernel {IMAGE}/vmlinux --memory 256M --ramdisk /nowhere", ("/nowhere",)),
    (f"torii create --name x --kernel {IMAGE}/vmlinux --memory 8M", ("memory", "small", "MiB")),
    (f"torii create --name x --kernel {IMAGE}/vmlinux --memory 900G", ("memory", "free")),
    (f"torii create --name x --kernel {IMAGE}/vmlinux --memory 256M --vcpus 0", ("vcpus", "CPU")),
    (f"torii create --name x --kernel {IMAGE}/vmlinux --memory 256M --vcpus 10000", ("vcpus", "CPU")),
    ("torii create /etc/torii/guests/debian-6.1.toml --name taken", ("taken", "exists", "already")),
    ("torii create /tmp/unknown-key.toml", ("unknown-key.toml:2", "memroy")),
    ("torii create /tmp/broken.toml", ("broken.toml:1",)),
    ("torii create /tmp/absent.toml", ("absent.toml",)),
    ("torii info nobody", ("nobody",)),
    ("torii destroy nobody", ("nobody",)),
    ("torii console nobody", ("nobody",)),
    ("torii mem-set taken 900G", ("memory", "most", "more")),
    ("su nobody -s /bin/sh -c 'torii list'", ("permission", "group")),
    ("torii --socket /run/absent list", ("running", "/run/absent")),
)


def steps(findings, toolstack):
    """All cases, then that nothing is left."""
    shell = toolstack.shell
    for command in PREPARE:
        shell.run(f"({command}) 2>/dev/null")
    toolstack.create("taken", description="debian-6.1", memory=160)
    with toolstack.console("taken"):
        pass
    free, nodes = toolstack.free_pages(), shell.run("xenstore-ls / | wc -l").split()[0]
    for command, words in CASES:
        code, told = shell.attempt(command, time_limit=60)
        told = told.strip()
        good = code not in (0, 127, 134, 139) and any(word.lower() in told.lower() for word in words) and len(told) > 20
        findings.check(good, f"`{command}`: code {code}, {told!r}")
    findings.check(toolstack.names() == ["taken"], f"no domain is left behind: {toolstack.names()}")
    findings.check(toolstack.wait_free(free) == free, "no page is left behind")
    after = shell.run("xenstore-ls / | wc -l").split()[0]
    findings.check(after == nodes, f"no xenstore node is left behind ({nodes} before, {after} after)")
    toolstack.verb("destroy", "taken")
    toolstack.wait_gone("taken")
    code, told = shell.attempt("torii console taken")
    findings.check(code != 0, f"the console of a guest that is gone: code {code}, {told.strip()!r}")


def main(arguments):
    """One machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    options = parser.parse_args(arguments)
    machine, side = boot(options.hypervisor, name=f"bad-input-{options.hypervisor}", guests=["6.1"], time_limit=400)
    return run_machine(machine, side, steps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
