"""Installs the Debian packages of tools/packages.txt that are missing."""

import shutil
import subprocess

from commands.steps import TOOLS, Failure, as_root, run, say


def wanted(purposes):
    """Package names of tools/packages.txt for the given purposes ("run", "test")."""
    names = []
    for line in (TOOLS / "packages.txt").read_text().splitlines():
        words = line.split("#")[0].split()
        if len(words) == 2 and words[1] in purposes:
            names.append(words[0])
    return names


def missing(names):
    """Those of `names` that are not installed."""
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
    ).stdout
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def update_lists():
    """Refresh apt's package lists."""
    run(as_root(["apt-get", "update", "-q"]), quiet=True, time_limit=600)


def install(purposes):
    """Install what is missing for the given purposes; says so, and does nothing when nothing is missing."""
    if shutil.which("apt-get") is None:
        raise Failure("apt-get is not here: the commands in tools/ install their packages on Debian 12. "
                      "Elsewhere, install what tools/packages.txt lists and build with CMake.")
    names = missing(wanted(purposes))
    if not names:
        say("Debian packages: all there")
        return
    say(f"Installing {len(names)} Debian packages: {' '.join(names)}")
    update_lists()
    run(as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q", "-y",
                 "--no-install-recommends", *names]), quiet=True, time_limit=1800)
