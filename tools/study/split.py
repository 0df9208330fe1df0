"""The part of the study that is about split drivers: a guest's disks and networks, served by dom0's kernel under Xen and by toriid
under Torii."""

from commands.steps import TOOLS
from image import parts
from study import devices
from study.notes import SPLIT_NOTES

SOURCES = TOOLS / "study" / "guest"
GUEST_DRIVERS = ("xen-blkfront", "xen-netfront")
# dom0's: the disk and the bridge, and then what each side takes for its backends.
DOM0_DRIVERS = ("virtio_pci", "virtio_blk", "null_blk", "bridge")
BACKENDS = {"xen": ("xen-blkback", "xen-netback"), "torii": ("tun",)}
# Run by xl's library for each device.
SCRIPTS = {"block": "hotplug-block", "vif-bridge": "hotplug-vif"}

TEXT = """\
A guest with two disks and a network card; dom0 with the same image on both sides. Xen: dom0's kernel serves them (xen-blkback,
xen-netback); Torii: toriid does, a program. `disk` is the machine's virtio disk, of zeros, `null` one of dom0's kernel that does
nothing (null_blk), so that all of it is the way there; both are given to the guest as block devices and used past its page cache, one
request at a time and 32 at a time (`x32`). `bridge`: TCP to dom0's own address at a bridge that has the guest's interface; a round
trip of a byte, and a MiB of a stream each way. `nat`: the same through torii-nat, which Xen has no like of. Executed instructions of
guest, dom0 and hypervisor, of the programs at both ends too, counted by a plugin of QEMU (tools/study/plugin/count.c)."""


def machine_words():
    """QEMU's words for the disk."""
    return devices.disk_words(*devices.DISKS[0])


def add_to(archive, kernel, output, side=None):
    """What measure-split needs in the guest, and what dom0 of that side serves it with."""
    parts.add_modules(archive, kernel, (*DOM0_DRIVERS, *BACKENDS[side]) if side else GUEST_DRIVERS, "study-split")
    archive.add_copy("usr/bin/split", output / "split", 0o755)
    if side is None:
        archive.add_copy("usr/bin/measure-split", SOURCES / "measure-split", 0o755)
    if side == "xen":
        archive.add_folder("etc/xen/scripts")
        for name, source in SCRIPTS.items():
            archive.add_copy(f"etc/xen/scripts/{name}", SOURCES / source, 0o755)


def rows(xen, torii):
    """(name, Xen, Torii)"""
    keys = list(torii.counted) or list(xen.counted)
    yield from ((key, xen.counted.get(key), torii.counted.get(key)) for key in keys)


# Who executes, as columns: title, and from the plugin's counters.
PLACES = (("hypervisor", lambda at: at["hypervisor"]), ("dom0's kernel", lambda at: at["high_kernel"]), ("dom0's programs", lambda at: at["high_user"]),
          ("guest", lambda at: at["kernel"] + at["user"] - at["high_kernel"] - at["high_user"]))
PLACES_TEXT = """\
Where these instructions are executed; Xen's first, then Torii's. The kernels' own work for the programs at both ends is in it. A
domain is told from the other by where the kernel's data of the running CPU lies."""


def lines(xen, torii):
    """The table of places, and the notes."""
    heads = [title for title, _ in PLACES]
    result = [PLACES_TEXT, "", "| | " + " | ".join(f"{title}, {side}" for title in heads for side in ("Xen", "Torii")) + " |",
              "|---" * (2 * len(heads) + 1) + "|"]
    for name, torii_at in torii.places.items():
        xen_at = xen.places.get(name)
        cells = [f"{count(at):,.0f}" if at else "-" for _, count in PLACES for at in (xen_at, torii_at)]
        result.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*result, "", *(f"- {note}" for note in SPLIT_NOTES), ""]
