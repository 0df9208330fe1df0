#!/usr/bin/env python3
"""make_container.py IMAGE OUT: wraps the hypervisor's 64-bit ELF into the 32-bit ELF that multiboot loaders take.

The segments keep their physical addresses; what the loader needs of the 64-bit file is only bytes and an entry.
"""
import struct
import sys


def main():
    with open(sys.argv[1], "rb") as f:
        elf = f.read()
    assert elf[:5] == b"\x7fELF\x02", "not a 64-bit ELF"
    entry, phoff = struct.unpack_from("<QQ", elf, 24)
    phentsize, phnum = struct.unpack_from("<HH", elf, 54)
    segments = []
    for i in range(phnum):
        kind, flags, offset, vaddr, paddr, filesz, memsz, _ = struct.unpack_from("<IIQQQQQQ", elf, phoff + i * phentsize)
        if kind == 1 and memsz:
            segments.append((vaddr, paddr, elf[offset:offset + filesz], memsz))
    start = min(s[1] for s in segments)
    end = max(s[1] + s[3] for s in segments)
    file_end = max(s[1] + len(s[2]) for s in segments)
    content = bytearray(file_end - start)
    for _, paddr, data, _ in segments:
        content[paddr - start:paddr - start + len(data)] = data
    base = segments[0][0] - segments[0][1]
    header = 4096
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    ehdr = ident + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, entry - base, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    phdr = struct.pack("<IIIIIIII", 1, header, start, start, len(content), end - start, 7, 4096)
    with open(sys.argv[2], "wb") as f:
        f.write((ehdr + phdr).ljust(header, b"\0"))
        f.write(content)
    print(f"{sys.argv[2]}: {len(content) >> 10} KiB to load at {start:#x}, {(end - start) >> 10} KiB in memory")


main()
