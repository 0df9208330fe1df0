"""Writes an initramfs: a cpio archive in the `newc` format, the same bytes for the same content.

Written here rather than by cpio(1) because device nodes then need no root, and because times, inode numbers and order are
ours to fix. Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Entry:
    mode: int
    data: bytes = b""
    device: tuple = (0, 0)


@dataclass
class Archive:
    """Files by their path from the root, without the leading slash."""

    entries: dict = field(default_factory=dict)

    def add_folder(self, path, mode=0o755):
        """Add a folder and those above it; an existing one keeps its mode."""
        path = path.strip("/")
        parts = path.split("/")
        for depth in range(1, len(parts)):
            self.entries.setdefault("/".join(parts[:depth]), _Entry(stat.S_IFDIR | 0o755))
        if path:
            self.entries.setdefault(path, _Entry(stat.S_IFDIR | mode))

    def _add(self, path, entry):
        path = path.strip("/")
        if "/" in path:
            self.add_folder(path.rsplit("/", 1)[0])
        self.entries[path] = entry

    def add_file(self, path, data, mode=0o644):
        """Add a file with the given bytes or text."""
        self._add(path, _Entry(stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data))

    def add_copy(self, path, source, mode=None):
        """Add a file of the host (a link is followed); executable if it is so there."""
        source = Path(source)
        if mode is None:
            mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
        self.add_file(path, source.read_bytes(), mode)

    def add_link(self, path, target):
        """Add a symbolic link."""
        self._add(path, _Entry(stat.S_IFLNK | 0o777, target.encode()))

    def add_character_device(self, path, major, minor, mode=0o600):
        """Add a character device node."""
        self._add(path, _Entry(stat.S_IFCHR | mode, device=(major, minor)))

    def has(self, path):
        """Whether something lies at this path."""
        return path.strip("/") in self.entries

    def write(self, target):
        """Write the archive; the file appears under its name only when complete."""
        target = Path(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        with partial.open("wb") as out:
            for number, path in enumerate(sorted(self.entries), start=1):
                out.write(_record(number, path, self.entries[path]))
            trailer = _record(0, "TRAILER!!!", _Entry(0))
            out.write(trailer)
            out.write(b"\0" * (-out.tell() % 512))
        partial.rename(target)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)


def _record(inode, path, entry):
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields)
    return _padded(header + name) + _padded(entry.data)
