#!/usr/bin/env python3
"""The hypervisor's image: protection of its segments, no static constructors, no floating point in what stays, its size.

    elf_segments.py BUILD_FOLDER | IMAGE

"What stays" are the sections outside .boot*: the boot part holds Debian's decompressors, which use SSE, runs before any guest
exists, and is given back.
"""

import re
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tree import finish

RESIDENT_LIMIT = 300 * 1024
WRITE, EXECUTE, PT_LOAD = 2, 1, 1
SHF_ALLOC, SHF_EXECINSTR = 2, 4
CONSTRUCTORS = re.compile(r"^\.(?:init_array|ctors|preinit_array)")
# They refer to boot code or boot data on purpose, while it is there, or only ask where it lies (place_of).
RUNS_AT_BOOT = re.compile(r"boot_main|run(Ev|\()|release_boot_memory|build_address_space|start_other_cpus|route_isa_interrupt|io_apic_start|set_trampoline|place_of")
BOOT_SECTION = re.compile(r"^\.boot")
# What saves, restores or resets a guest's floating-point state is the hypervisor's business; computing with it is not.
STATE_INSTRUCTIONS = re.compile(r"^(?:fxsave|fxrstor|xsave|xrstor|xgetbv|xsetbv|ldmxcsr|stmxcsr|fninit|fnclex|fwait|fnstsw)")
REGISTERS = re.compile(r"%(?:[xyz]mm\d+|mm\d|st\b)")
X87 = re.compile(r"^f(?!s:|xsave|xrstor)[a-z0-9]+$")


@dataclass
class Section:
    """One section header: `flags` as in the ELF format."""

    name: str
    flags: int
    address: int
    size: int


@dataclass
class Image:
    """What the checks need of an ELF file, 32 or 64 bits wide."""

    path: Path
    wide: bool
    segments: list
    sections: list


def read_image(path):
    """Parse program and section headers."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        raise ValueError(f"{path} is no ELF file")
    wide = data[4] == 2
    header = struct.unpack_from("<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH", data, 16)
    program_offset, section_offset = header[4], header[5]
    program_size, program_count, section_size, section_count, names_index = header[8:13]
    segments = []
    for index in range(program_count):
        at = program_offset + index * program_size
        if wide:
            kind, flags, _, _, _, _, memory, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        else:
            kind, _, _, _, _, memory, flags, _ = struct.unpack_from("<IIIIIIII", data, at)
        if kind == PT_LOAD and memory:
            segments.append(flags)
    raw = []
    for index in range(section_count):
        at = section_offset + index * section_size
        fields = struct.unpack_from("<IIQQQQIIQQ" if wide else "<IIIIIIIIII", data, at)
        raw.append((fields[0], fields[2], fields[3], fields[4], fields[5]))
    names = raw[names_index][3] if raw else 0
    sections = [Section(data[names + name:data.index(b"\0", names + name)].decode(), flags, address, size)
                for name, flags, address, _, size in raw]
    return Image(path, wide, segments, sections)


def find_image(where):
    """The linked 64-bit image: the given file, or the one of a build folder."""
    where = Path(where)
    if where.is_file():
        return where
    found = [path for path in sorted(where.rglob("torii64.elf")) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"no torii64.elf below {where}: build torii_elf first")
    return found[-1]


def floating_point(path, section):
    """Instructions of a section that compute in floating point, with their functions."""
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", section, str(path)], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    function = "?"
    for line in listing.splitlines():
        label = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if label:
            function = label.group(1)
            continue
        match = re.match(r"^\s*[0-9a-f]+:\s+(?:(?:rep|repz|lock|data16|rex\.?\w*)\s+)*(\S+)\s*(.*)$", line)
        if not match or STATE_INSTRUCTIONS.match(match.group(1)):
            continue
        if REGISTERS.search(match.group(2)) or X87.match(match.group(1)):
            yield f"{function}: {match.group(1)} {match.group(2)}"


def boot_references(image):
    """Resident functions that refer to code that is given back after boot, but for those that run before that."""
    boot = [section for section in image.sections if BOOT_SECTION.match(section.name) and section.size and section.address]
    if not boot or all(section.name != ".text" for section in image.sections):
        return
    start, end = min(section.address for section in boot), max(section.address + section.size for section in boot)
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j", ".text", str(image.path)], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    function = "?"
    for line in listing.splitlines():
        label = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if label:
            function = label.group(1)
            continue
        text = line.partition(":")[2]
        for address in re.findall(r"\b(?:0x)?([0-9a-f]{6,16})\b", text):
            if start <= int(address, 16) < end and not RUNS_AT_BOOT.search(function):
                yield f"{function} stays resident but refers to boot memory: {' '.join(text.split())}"


def check(image):
    """All findings about an image."""
    findings = list(boot_references(image))
    for index, flags in enumerate(image.segments):
        if flags & WRITE and flags & EXECUTE:
            findings.append(f"segment {index} is writable and executable")
    resident = 0
    for section in image.sections:
        if CONSTRUCTORS.match(section.name) and section.size:
            findings.append(f"{section.name} holds {section.size} bytes of static constructors")
        if not section.flags & SHF_ALLOC or BOOT_SECTION.match(section.name):
            continue
        resident += section.size
        if section.flags & SHF_EXECINSTR:
            findings.extend(f"floating point in {text}" for text in floating_point(image.path, section.name))
    if resident > RESIDENT_LIMIT:
        findings.append(f"{resident} bytes stay resident, the limit is {RESIDENT_LIMIT}")
    return findings, resident


if __name__ == "__main__":
    IMAGE = read_image(find_image(sys.argv[1]))
    FINDINGS, RESIDENT = check(IMAGE)
    finish(FINDINGS, f"{IMAGE.path.name}: {len(IMAGE.segments)} segments, {RESIDENT} of at most {RESIDENT_LIMIT} bytes resident")
