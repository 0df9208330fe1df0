"""The guest kit's own frontends on a machine, and guests that cheat the back ends of their devices, beside one that does not.

    cheating.py [--cpus 2] [--ways block-race,net-chain]

Shows: the kit's examples have a disk and a card; a domain (guests/cheat) sends requests, packets, indices, nodes and states that make
no sense, or too many of good ones. Each costs itself an error, or the device until its driver connects again, and `torii devices`
says what the guest did. No byte of others comes into its pages; toriid and dom0's kernel have nothing to complain of; a stock guest
beside it goes on with the right data, at a rate that is held against the one beside a domain that only computes. dom0 has
xen-blkback and xen-netback loaded, which claim nothing. At the end nothing is left.
"""

import argparse
import hashlib
import re
import sys
import time

from findings import run_machine
from split_drivers import FETCH, TORTURE
from toolstack import MachineFailure, boot, unpacked

SERVER = "192.168.77.1"
IMAGES = "/tmp/images"
SMALL = "/var/lib/torii/images/{}.elf"
BACKENDS = ("xen-blkback", "xen-netback")
# What the disk example writes to the end of its disk.
EXAMPLE = bytes((at * 7 + at // 4096) & 255 for at in range(1 << 20))
EXAMPLE_ROUNDS = 20
# The cheat's requests are for the first MiB of its disk, all of whose bytes are this.
IMAGE_MIB, IMAGE_BYTE = 8, "Z"

SERVED = "then served"


def answers(okay=0, errors=0, unsupported=0):
    """What is told when each request was answered like that, and honest ones after them were served."""
    return f"{okay} okay, {errors} errors, {unsupported} unsupported, 0 strange, 0 missing; {SERVED}"


def any_answers(count):
    """The same, of requests that changed while they were looked at: each was answered in some way."""
    return lambda told: re.fullmatch(rf"(\d+) okay, (\d+) errors, (\d+) unsupported, 0 strange, 0 missing; {SERVED}", told) and \
        sum(int(number) for number in re.findall(r"\d+", told)) == count


# Name of a way to what is told of it: of requests and packets, by what they were answered; of rings and nodes, why the device is closed.
BLOCK_REQUESTS = {
    "block-operations": answers(unsupported=4),
    "block-segments": answers(errors=6),
    "block-grants": answers(errors=11),
    "block-grants-mapped": answers(errors=11),
    "block-sectors": answers(errors=7),
    "block-places": answers(errors=21),
    "block-indirect": answers(errors=11, unsupported=4),
    "block-indirect-mapped": answers(errors=11, unsupported=4),
    "block-race": any_answers(400),
    "block-race-mapped": any_answers(400),
    "block-withdraw": any_answers(1600),
    "block-withdraw-mapped": any_answers(1600),
    "block-states": answers(),
    "block-reopen": answers(),
}
BLOCK_CLOSED = {
    "block-jump": "more requests than its ring has room for",
    "block-jump-far": "more requests than its ring has room for",
    "block-back": "more requests than its ring has room for",
    "block-ring-huge": "the first is grant 4294967295",
    "block-ring-number": 'the frontend\'s node "ring-ref" is not a number',
    "block-ring-text": 'the frontend\'s node "ring-ref" is not a number',
    "block-ring-another": "cannot map 1 granted pages",
    "block-ring-read-only": "cannot map 1 granted pages",
    "block-port-huge": "cannot bind to event channel 4294967295",
    "block-port-used": "cannot bind to event channel 1 ",
    "block-queues": 'the frontend\'s node "multi-queue-num-queues" is not a number up to',
    "block-no-queue": 'the frontend\'s node "multi-queue-num-queues" is not a number of queues',
    "block-order": 'the frontend\'s node "ring-page-order" is not a number up to',
    "block-protocol": 'the frontend\'s node "protocol" is not "x86_64-abi"',
    "block-feature": 'the frontend\'s node "feature-persistent" is not a number',
    "block-twins": "cannot bind to event channel",
}
NET_PACKETS = {
    "net-short": answers(errors=3),
    "net-page": answers(errors=6),
    "net-fragments": answers(errors=24),
    "net-grants": answers(errors=9),
    "net-segments": answers(errors=3, unsupported=2),
    "net-checksums": answers(unsupported=8),
    "net-buffers": answers(okay=2, errors=4),
    "net-control": answers(errors=7, unsupported=5),
    "net-one-ring": answers(),
    "net-states": answers(),
    "net-reopen": answers(),
}
NET_CLOSED = {
    "net-chain": "a packet of far too many fragments",
    "net-missing-fragment": "a fragment that is not there",
    "net-missing-extra": "an extra that is not there",
    "net-extras": "too many extras",
    "net-unknown-extra": "an extra of an unknown type",
    "net-jump": "its transmit ring has more requests than slots",
    "net-back": "its transmit ring has more requests than slots",
    "net-jump-receive": "its receive ring has more requests than slots",
    "net-jump-control": "its control ring is not one",
    "net-ring-huge": "the first is grant 4294967295",
    "net-ring-number": 'its node "rx-ring-ref" is missing or no number',
    "net-port-huge": "cannot bind to event channel 4294967295",
    "net-port-used": "cannot bind to event channel 1 ",
    "net-control-huge": "the first is grant 4294967295",
    "net-queues": "it wants 4294967295 queues",
    "net-no-queue": "it wants 0 queues",
    "net-no-copy": 'no "request-rx-copy"',
}
WAYS_AT_ONCE = 20
SLOW_HOST = "hrtimer: interrupt took|clocksource: Long readout interval"
CLOSED = BLOCK_CLOSED | NET_CLOSED
TOLD = BLOCK_REQUESTS | NET_PACKETS
# "flood-nothing" is a domain that only computes, which the others are held against.
FLOODS = ("flood-nothing", "flood-events", "flood-requests", "flood-reads", "flood-flushes", "flood-frames", "flood-bad-frames",
          "flood-broadcasts", "flood-control", "flood-breaks", "flood-states")
FLOOD_SECONDS = 3
# Of the rate beside a domain that only computes, what the honest guest's disk and card have at least beside a flood: dom0, which serves
# both, gets the same share of the machine as each of them.
FLOOR = 0.1


class Cheating:
    """One machine, one honest guest, one that cheats."""

    def __init__(self, findings, toolstack, ways):
        self.findings, self.toolstack, self.shell = findings, toolstack, toolstack.shell
        self.ways = ways

    # --- before

    def prepare(self):
        """Images, a file over HTTP, and what dom0 is like before."""
        self.shell.run(f"mkdir -p {IMAGES} /tmp/www && ip addr add {SERVER}/32 dev lo && "
                       f"dd if=/dev/urandom of=/tmp/www/file bs=64k count=8 2>/dev/null && httpd -h /tmp/www && "
                       f"truncate -s 16M {IMAGES}/honest && truncate -s 4M {IMAGES}/example && "
                       f"dd if=/dev/zero bs=1M count={IMAGE_MIB} 2>/dev/null | tr '\\0' {IMAGE_BYTE} >{IMAGES}/cheat", 60)
        self.sum = self.shell.run("md5sum /tmp/www/file").split()[0]
        self.pid = self.shell.run("pidof toriid").split()[-1]
        self.messages = self.warnings()

    def create(self, name, kernel, command_line, disk=None, nets=(), ramdisk=None, memory="32M"):
        """A guest with devices."""
        lines = [f'name = "{name}"', f'memory = "{memory}"', f'kernel = "{kernel}"', f'command-line = "{command_line}"']
        lines += [f'ramdisk = "{ramdisk}"'] if ramdisk else []
        lines += ["[[disk]]", f'source = "{IMAGES}/{disk}"'] if disk else []
        for net in nets:
            lines += ["[[net]]", f'attachment = "{net}"']
        words = " ".join(f"'{line}'" for line in lines)
        self.shell.run(f"printf '%s\\n' {words} >/tmp/{name}.toml && torii create /tmp/{name}.toml", 120)

    def expect(self, name, text, send="", time_limit=180):
        """Wait until a guest has written that."""
        typed = f"--send '{send}' " if send else ""
        code, _ = self.shell.attempt(f"torii console {name} {typed}--expect '{text}' --timeout {time_limit} >/dev/null", time_limit + 30)
        # It may have ended meanwhile, and then has no console.
        if code == 0 or text in (log := self.shell.text(f"torii log {name}")):
            return
        raise MachineFailure(f"{name} did not write {text!r}; it wrote: {log[-1500:]}")

    # --- the kit's examples

    def check_example_disk(self):
        """Connected, used and let go many times; what it wrote is in the image."""
        self.create("example", SMALL.format("disk"), f"write=yes rounds={EXAMPLE_ROUNDS}", disk="example")
        self.expect("example", f"{EXAMPLE_ROUNDS} rounds")
        log = self.shell.text("torii log example")
        good = log.count("what was written is read back") == log.count("let go") == EXAMPLE_ROUNDS
        self.findings.check(good, f"the disk example has its disk {EXAMPLE_ROUNDS} times: {log.strip().splitlines()[-1:]}")
        found = self.shell.run(f"tail -c {len(EXAMPLE)} {IMAGES}/example | md5sum").split()[0]
        self.findings.check(found == hashlib.md5(EXAMPLE).hexdigest(), "what it wrote is in the image")

    def check_example_network(self):
        """Answers the honest guest's pings."""
        self.create("pinged", SMALL.format("network"), "pings=3", nets=("switch=inner",))
        self.expect("pinged", "answers.")
        with self.toolstack.console("honest") as shell:
            told = shell.run("ping -c 3 -s 1400 10.1.0.9 || true", 60)
        self.findings.check("3 packets received" in told, "the network example answers ping")
        self.expect("pinged", "let go")
        log = self.shell.text("torii log pinged")
        self.findings.check("3 pings answered, the card works" in log and "let go" in log, f"it lets go of its card: {log.strip().splitlines()[-1:]}")

    # --- the honest guest

    def start_honest(self):
        """A stock guest that works on its disk and its network all the while."""
        self.create("honest", unpacked("debian-6.1"), "console=hvc0 quiet", "honest", ("nat", "switch=inner"),
                    "/var/lib/torii/images/debian-6.1/initrd.cpio", "192M")
        with self.toolstack.console("honest") as shell:
            shell.run("ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2; "
                      "ip link set eth1 up; ip addr add 10.1.0.1/24 dev eth1")
        self.check_example_network()
        with self.toolstack.console("honest") as shell:
            shell.run(f"echo {self.sum} >/tmp/expected; touch /tmp/go; ({TORTURE}) >/dev/null 2>&1 & ({FETCH}) >/dev/null 2>&1 & true")

    def progress(self):
        """What the honest guest's disk and card have moved, in bytes, and dom0's time."""
        counters = {device["device"]: device for device in self.devices("honest")}
        disk, card = counters["xvda"], counters["eth0"]
        return disk["bytes_read"] + disk["bytes_written"], card["bytes_to_guest"], float(self.shell.run("cut -d' ' -f1 /proc/uptime"))

    def rates(self, seconds):
        """Bytes a second of its disk and its card, over some time."""
        disk, card, began = self.progress()
        self.shell.run(f"sleep {seconds}", seconds + 60)
        disk_after, card_after, ended = self.progress()
        return (disk_after - disk) / (ended - began), (card_after - card) / (ended - began)

    def check_honest(self):
        """Every byte was right."""
        with self.toolstack.console("honest") as shell:
            text = shell.run("rm /tmp/go; wait; cat /tmp/rounds /tmp/fetched; cat /tmp/torture /tmp/fetches 2>/dev/null; true", 120).split()
            messages = self.toolstack.kernel_messages(shell)
        bad = [word for word in text if not word.isdigit()]
        self.findings.check(not bad and len(text) == 2, f"the honest guest: {' and '.join(text[:2])} rounds of disk and network, all right {bad[:3]}")
        errors = [line for line in messages if line[1] in "0123" and "No target domain found" not in line]
        self.findings.check(not errors, f"its kernel has no errors to tell {errors[:2]}")

    # --- the cheat

    def devices(self, name):
        """What `torii devices` says of a guest's."""
        return next(domain["devices"] for domain in self.shell.answer("torii --json devices") if domain["name"] == name)

    def cheat(self, name, ways):
        """A domain that cheats in these ways."""
        self.create(name, SMALL.format("cheat"), f"ways={':'.join(ways)}", "cheat", ("nat", "switch=inner"))

    def outcome(self, name, way):
        """What the domain said of a way."""
        found = re.search(rf"^{way}: (.*?)\r?$", self.shell.text(f"torii log {name}"), re.MULTILINE)
        return found.group(1) if found else "nothing"

    def check_ways(self):
        """All but floods, one after the other, some in each domain: dom0's shell takes lines of 1023 characters."""
        ways = [way for way in (*TOLD, *CLOSED) if way in self.ways]
        for first in range(0, len(ways), WAYS_AT_ONCE):
            self.check_some_ways(ways[first:first + WAYS_AT_ONCE])

    def check_some_ways(self, ways):
        """In one domain."""
        self.cheat("cheat", ways)
        for number, way in enumerate(ways):
            self.expect("cheat", f"{way} done", "\\n" if number else "")
            if way in CLOSED:
                self.check_told_closed(way)
        log = self.shell.text("torii log cheat --size 64K")
        for way in ways:
            found = re.search(rf"^{way}: (.*?)\r?$", log, re.MULTILINE)
            told = found.group(1) if found else "nothing"
            if way in CLOSED:
                good = told.startswith("closed: ") and CLOSED[way] in told
            else:
                good = TOLD[way](told) if callable(TOLD[way]) else told == TOLD[way]
            self.findings.check(good, f"{way}: {told}")
        self.check_devices("cheat")
        self.toolstack.verb("destroy", "cheat")
        self.toolstack.wait_gone("cheat")

    def check_told_closed(self, way):
        """An administrator reads what the guest did."""
        device = next(device for device in self.devices("cheat") if device["device"] == ("xvda" if way in BLOCK_CLOSED else "eth0"))
        if not (device["state"] == "closed" and CLOSED[way] in device["problem"]):
            self.findings.check(False, f"{way}: torii devices says {device['state']}: {device['problem']!r}")

    def check_devices(self, name):
        """The honest guest's are as they were."""
        states = [(device["device"], device["state"], device["problem"]) for device in self.devices("honest")]
        self.findings.check(all(state == "connected" and not problem for _, state, problem in states), f"beside {name}: {states}")

    def check_floods(self):
        """One domain each; the honest guest's rates meanwhile."""
        floods = [way for way in FLOODS if way in self.ways]
        alone = self.rates(FLOOD_SECONDS) if floods else None
        beside = alone
        for way in floods:
            self.cheat(way, (way,))
            self.expect(way, "flooding")
            rates = self.rates(FLOOD_SECONDS)
            self.expect(way, f"{way} done", "\\n")
            told = self.outcome(way, way)
            beside = rates if way == "flood-nothing" else beside
            shares = [rate / reference for rate, reference in zip(rates, beside)]
            self.findings.check(told == answers() and all(share >= FLOOR for share in shares),
                                f"{way}: {rates[0] / 1024:.0f} and {rates[1] / 1024:.0f} KiB/s, {shares[0]:.0%} and {shares[1]:.0%} of those beside one that "
                                f"computes; it then {told}; {self.turns(way)}")
            self.toolstack.verb("destroy", way)
        self.findings.check(True, f"alone: {alone}")

    def turns(self, way):
        """How often it did what it does."""
        found = re.search(r"^(\d+ turns)", self.shell.text(f"torii log {way}"), re.MULTILINE)
        return found.group(1) if found else "no turns"

    # --- dom0

    def check_dom0(self):
        """The daemon lives, the kernel is content, its own back ends have claimed nothing."""
        self.findings.check(self.shell.run("pidof toriid").split()[-1:] == [self.pid], f"toriid is still process {self.pid}")
        messages = self.warnings()[len(self.messages):]
        self.findings.check(not messages, f"dom0's kernel has no warning to tell: {messages[:3]}")
        modules = {line.split()[0]: line.split()[2] for line in self.shell.run("cat /proc/modules").splitlines()}
        wanted = [name.replace("-", "_") for name in (*BACKENDS, "xen-gntdev", "xen-evtchn")]
        self.findings.check(all(name in modules for name in wanted), f"loaded: {[name for name in wanted if name in modules]}")
        used = [name for name in wanted[:2] if modules.get(name) != "0"]
        self.findings.check(not used, f"nobody uses Linux's own back ends {used}")
        devices = self.shell.run("ls /sys/bus/xen-backend/devices").split()
        self.findings.check(all(device.startswith("torii-") for device in devices), f"what dom0's kernel sees of back ends: {devices}")
        claimed = self.shell.run("ls /sys/bus/xen-backend/drivers; ls -d /sys/bus/xen-backend/devices/*/driver 2>/dev/null; true").split()
        self.findings.check(sorted(claimed) == ["vbd", "vif"], f"its own are there, and have none of them: {claimed}")

    def warnings(self):
        """dom0's kernel's, without what it says of a host that is slow."""
        return [line for line in self.toolstack.kernel_messages(self.shell) if not re.search(SLOW_HOST, line)]

    def check_image(self):
        """The cheat wrote where it may, and nothing else."""
        size = self.shell.run(f"wc -c <{IMAGES}/cheat").strip()
        other = self.shell.run(f"tail -c +1048577 {IMAGES}/cheat | tr -d {IMAGE_BYTE} | wc -c").strip()
        strange = self.shell.run(f"head -c 1048576 {IMAGES}/cheat | tr -d '{IMAGE_BYTE}\\245' | wc -c").strip()
        self.findings.check((size, other, strange) == (str(IMAGE_MIB << 20), "0", "0"),
                            f"the cheat's image has {size} bytes, {other} changed outside of its requests, {strange} that are none of its own")

    def check_end(self):
        """Nothing is left of anybody."""
        for name in self.toolstack.names():
            self.toolstack.verb("destroy", name)
            self.toolstack.wait_gone(name)
        self.shell.run("for i in $(seq 50); do pidof torii-nat qemu-nbd >/dev/null || break; usleep 100000; done", 60)
        left = self.shell.run("ls /run/torii/devices; xenstore-ls /local/domain/0/backend 2>/dev/null; pidof torii-nat qemu-nbd; true").splitlines()
        left = [line for line in left if not re.fullmatch(r'torii-v[bi][df] = ""', line.strip())]
        self.findings.check(not left, f"nothing is left of the devices: {left[:6]}")
        ports = self.ports()
        self.findings.check(ports == self.before_ports, f"toriid had {self.before_ports} ports before, {ports} now")

    def ports(self):
        """Event channels that toriid has."""
        return int(self.shell.run("grep -c evtchn:toriid /proc/interrupts || true").strip())

    def check_pages(self):
        """Cheating leaves no page: a second and a third domain that cheats needs none that the first did not."""
        ways = [way for way in self.ways if way in ("block-withdraw-mapped", "block-jump", "net-buffers", "net-chain", "block-reopen", "net-reopen")]
        free = []
        for _ in range(3):
            self.cheat("again", ways)
            for number, way in enumerate(ways):
                self.expect("again", f"{way} done", "\\n" if number else "")
            self.toolstack.verb("destroy", "again")
            self.toolstack.wait_gone("again")
            free.append(self.toolstack.wait_free(free[-1] if free else self.free, 5))
        self.findings.check(free[-1] == free[-2], f"cheating leaves no page: {free}, before all {self.free}")

    def run(self):
        """All of it."""
        self.prepare()
        self.check_example_disk()
        self.before_ports, self.free = self.ports(), self.toolstack.free_pages()
        self.start_honest()
        began = time.monotonic()
        self.check_ways()
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
        self.check_floods()
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
        self.check_dom0()
        self.check_honest()
        self.check_image()
        self.check_end()
        self.check_pages()


def main():
    """Exit code 0: all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--ways", help="names, separated by commas; prefixes will do (default: all)", default="block,net,flood")
    options = parser.parse_args()
    prefixes = tuple(options.ways.split(","))
    ways = [way for way in (*TOLD, *CLOSED, *FLOODS) if way.startswith(prefixes)]
    machine, side = boot("torii", name="cheating", guests=("6.1",), cpus=options.cpus, time_limit=900, memory="1536", drivers=BACKENDS)
    return run_machine(machine, side, lambda findings, toolstack: Cheating(findings, toolstack, ways).run())


if __name__ == "__main__":
    sys.exit(main())
