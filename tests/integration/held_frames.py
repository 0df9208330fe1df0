"""A domain that is destroyed while others hold its memory stays listed as dying, until the last of them lets go.

    held_frames.py [--hypervisor mixed]

The holders: dom0 by a grant (/dev/xen/gntdev) and by frame (/dev/xen/privcmd), another domain by a grant that it has mapped.
That one also copies by grant, and is bound to a port of the domain. Then: how long dom0 stands still while a large domain dies.
"""

import argparse
import re
import sys
import time

from findings import run_machine
from toolstack import NEIGHBOUR, MachineFailure, boot

SMALL_MIB = 16
LARGE_MIB = 1024
PORT_UNBOUND, PORT_INTERDOMAIN = 1, 2
GRANT_OKAY, GRANT_BAD_DOMAIN = 0, -2
# While a domain of a gibibyte dies, dom0 may stand still for this share of the time.
STALL_SHARE = 0.25


class Neighbour:
    """A domain of neighbour.cpp."""

    def __init__(self, toolstack, name, memory=SMALL_MIB):
        self.toolstack, self.name = toolstack, name
        toolstack.shell.run(f"torii create --name {name} --kernel {NEIGHBOUR} --memory {memory}M")
        toolstack.shell.run(f"torii console {name} --expect 'neighbour: ready' --timeout 60 > /dev/null")
        self.domid = toolstack.rows(f"info {name}")["domid"]

    def order(self, text):
        """Have it do something; returns the numbers of its answer."""
        told = self.toolstack.shell.run(f"torii console {self.name} --send '{text}\\n' --expect ' done' --timeout 60")
        verb = text.split()[0]
        return [int(number) for number in re.search(rf"{verb}((?: -?\d+)+) done", told).group(1).split()]


class Holder:
    """The program `hold` in dom0, in the background; `descriptor` is one of the shell's, which keeps its input open."""

    def __init__(self, shell, descriptor, what):
        self.shell, self.descriptor, self.name = shell, descriptor, f"/tmp/hold{descriptor}"
        shell.run(f"mkfifo {self.name}.in; (hold {what} < {self.name}.in > {self.name}.out 2>&1 &); exec {descriptor}> {self.name}.in")

    def said(self, word, tries=40):
        """What it says behind this word; waits for it."""
        for _ in range(tries):
            found = re.search(rf"^{word} ?(.*)$", self.shell.run(f"cat {self.name}.out"), re.MULTILINE)
            if found:
                return found.group(1).strip()
            time.sleep(0.3)
        return None

    def look(self):
        """What is in the page by now."""
        self.shell.run(f"echo look >&{self.descriptor}")
        return self.said("still")

    def release(self):
        """Have it let go."""
        self.shell.run(f"exec {self.descriptor}>&-")
        return self.said("released") is not None


class HeldFrames:
    """One dying domain with its holders."""

    def __init__(self, findings, toolstack):
        self.findings, self.toolstack, self.shell = findings, toolstack, toolstack.shell
        self.granter = self.mapper = self.by_grant = self.by_frame = None
        self.frames = []
        self.refs = []

    def row(self):
        """The granter's row in the list, or None."""
        return next((row for row in self.toolstack.rows("list") if row["name"] == "granter"), None)

    def pages_held(self):
        """Pages that the granter still has, by the hypervisor's accounts; None if it does not know it."""
        return self.toolstack.figures().get(f"pages{self.granter.domid}")

    def set_up(self):
        """Everybody holds a page of the granter, and sees the pattern in it."""
        self.mapper = Neighbour(self.toolstack, "mapper")
        self.granter = Neighbour(self.toolstack, "granter")
        for to in (self.mapper.domid, self.mapper.domid, 0):
            ref, frame = self.granter.order(f"grant {to}")
            self.refs.append(ref)
            self.frames.append(frame)
        self.frames += self.granter.order("page")
        port = self.granter.order(f"port {self.mapper.domid}")[0]
        check, domid = self.findings.check, self.granter.domid
        check(self.mapper.order(f"map {domid} {self.refs[0]}") == [GRANT_OKAY, 1], "another domain maps a grant and sees the pattern")
        check(self.mapper.order(f"copy {domid} {self.refs[1]}") == [GRANT_OKAY, 1], "it copies another grant, pattern and all")
        check(self.mapper.order(f"bind {domid} {port}")[0] > 0, "it is bound to a port of the granter")
        check(self.mapper.order("look") == [1, PORT_INTERDOMAIN], "its port is an interdomain port")
        self.by_grant = Holder(self.shell, 5, f"gntdev {domid} {self.refs[2]}")
        self.by_frame = Holder(self.shell, 6, f"privcmd {domid} {self.frames[3]}")
        for holder, how in ((self.by_grant, "gntdev"), (self.by_frame, "privcmd")):
            told = holder.said("holds")
            check(told == "pattern", f"dom0 maps a page by {how}: {told}")

    def destroy(self):
        """Destroyed, it stays; who holds a page keeps what was in it."""
        check, domid = self.findings.check, self.granter.domid
        code, told = self.shell.attempt("torii destroy granter", time_limit=60)
        check(code == 0 or "dying" in told, f"destroy: code {code}, {told.strip()!r}")
        row = self.row()
        check(row is not None and row["dying"] and row["domid"] == domid, f"it is listed as dying under its id: {row and row['explanation']}")
        # Granted to the mapper, granted to dom0, mapped by number; the one that is only copied is held by nobody.
        check(self.pages_held() == 3, f"the hypervisor keeps {self.pages_held()} pages of it")
        check(self.mapper.order("look") == [1, PORT_UNBOUND], "its peer still sees the pattern, and its peer's port is unbound")
        status = self.mapper.order(f"copy {domid} {self.refs[1]}")[0]
        check(status == GRANT_BAD_DOMAIN, f"it can't be copied from any more (status {status})")

    def check_nothing_is_reused(self):
        """Others come and go: they get neither the id nor the frames."""
        check = self.findings.check
        for number in range(3):
            other = Neighbour(self.toolstack, "other", memory=200)
            owned = [frame for frame in (self.frames[0], self.frames[2], self.frames[3]) if other.order(f"owns {frame}")[0]]
            check(other.domid != self.granter.domid and not owned,
                  f"another domain, number {number + 1}, has an id of its own and none of the held frames")
            self.toolstack.verb("destroy", "other")
            self.toolstack.wait_gone("other")
        check(self.by_grant.look() == "pattern" and self.by_frame.look() == "pattern", "dom0 still sees the pattern")

    def let_go(self):
        """One after the other; the last one ends it."""
        check = self.findings.check
        check(self.by_frame.release() and self.pages_held() == 2, "dom0 unmaps the frame: two pages are left")
        check(self.by_grant.release() and self.pages_held() == 1, "dom0 unmaps the grant: one page is left")
        check(self.row() is not None, "it is listed still")
        check(self.mapper.order("unmap") == [GRANT_OKAY], "the other domain unmaps its grant")
        self.toolstack.wait_gone("granter")
        check(self.row() is None, "with the last mapping it has gone from the list")

    def check_scrubbed(self, free):
        """A domain that gets nearly all memory finds nothing of the pattern in those frames."""
        largest = free // 256 - 64
        everybody = Neighbour(self.toolstack, "everybody", memory=largest)
        answers = [everybody.order(f"owns {frame}") for frame in self.frames]
        owned = sum(owns for owns, _ in answers)
        self.findings.check(owned >= 3, f"a domain of {largest} MiB owns {owned} of the {len(answers)} frames by now")
        self.findings.check(all(words == 0 for _, words in answers), f"and they are scrubbed: {[words for _, words in answers]}")
        self.toolstack.verb("destroy", "everybody")
        self.toolstack.wait_gone("everybody")


def warm_up(toolstack):
    """dom0 maps a grant and lets go again."""
    granter = Neighbour(toolstack, "first")
    holder = Holder(toolstack.shell, 7, f"gntdev {granter.domid} {granter.order('grant 0')[0]}")
    if holder.said("holds") != "pattern" or not holder.release():
        raise MachineFailure("dom0 can't map a grant")
    toolstack.verb("destroy", "first")
    toolstack.wait_gone("first")


def check_preemption(findings, toolstack):
    """dom0 goes on while a large domain dies."""
    Neighbour(toolstack, "large", memory=LARGE_MIB)
    told = toolstack.shell.run("stalls torii destroy large", time_limit=120)
    took, stall = (float(number) for number in re.search(r"took ([\d.]+) ms, longest stall ([\d.]+) ms", told).groups())
    findings.check(stall < took * STALL_SHARE, f"{LARGE_MIB} MiB are destroyed in {took:.0f} ms, in which dom0 stood still for at most {stall:.0f} ms")
    toolstack.wait_gone("large")


def steps(findings, toolstack):
    """All of it. First once without looking at the free pages: dom0's first grant gets it a page for its handles, for good."""
    warm_up(toolstack)
    before = toolstack.free_pages()
    held = HeldFrames(findings, toolstack)
    held.set_up()
    held.destroy()
    held.check_nothing_is_reused()
    held.let_go()
    toolstack.verb("destroy", "mapper")
    toolstack.wait_gone("mapper")
    after = toolstack.wait_free(before)
    findings.check(after == before, f"{before} pages were free before, {after} are now")
    held.check_scrubbed(after)
    check_preemption(findings, toolstack)
    after = toolstack.wait_free(before)
    findings.check(after == before, f"{before} pages were free before, {after} are at the end")


def main(arguments):
    """One machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hypervisor", default="torii", choices=("torii", "mixed"))
    options = parser.parse_args(arguments)
    machine, side = boot(options.hypervisor, name=f"held-{options.hypervisor}", memory="3072", time_limit=500)
    return run_machine(machine, side, steps)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
