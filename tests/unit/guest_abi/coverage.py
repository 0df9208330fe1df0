#!/usr/bin/env python3
"""Checks that no number and no structure of the public headers was forgotten: each is compared in a table of this folder, or
listed in not_stated.txt (a regular expression and why this project does without)."""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDES = Path("/usr/include/xen")
HEADERS = ["xen.h", "errno.h", "version.h", "features.h", "event_channel.h", "grant_table.h", "memory.h", "sched.h", "vcpu.h",
           "callback.h", "physdev.h", "platform.h", "elfnote.h", "arch-x86/cpuid.h", "domctl.h", "sysctl.h", "nmi.h",
           "io/xs_wire.h", "io/console.h", "io/netif.h", "io/xenbus.h", "io/blkif.h"]
OWN_FILES = {str(INCLUDES / header) for header in HEADERS} | {
    str(INCLUDES / header) for header in ("arch-x86/xen.h", "arch-x86/xen-x86_64.h")}


def preprocessed(*options):
    source = "#define __XEN_TOOLS__ 1\n#include <stdint.h>\n#include <stddef.h>\n" + "".join(
        f"#include <xen/{header}>\n" for header in HEADERS)
    command = ["gcc", "-std=gnu17", "-E", "-x", "c", *options, "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def lines_of_headers(text):
    """Lines of the preprocessor's output that come from the headers in question."""
    current = ""
    for line in text.splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            current = marker.group(1)
        elif current in OWN_FILES:
            yield line


def numbers():
    """Names that stand for a number: object-like macros with a body, and enumerators."""
    text = preprocessed("-dD")
    names = set()
    in_enum = False
    for line in lines_of_headers(text):
        macro = re.match(r"#define (\w+) (.+)", line)
        if macro:
            body = macro.group(2)
            if re.search(r"\d|<<|\b[A-Z_]{4,}", body) and not re.search(r"[{}\"]|typedef|\bdo\b", body):
                names.add(macro.group(1))
            continue
        in_enum = in_enum or re.match(r"\s*(typedef )?enum\b", line) is not None
        if in_enum:
            names |= set(re.findall(r"\b([A-Z]\w*)\b\s*(?:=|,|$)", line))
            in_enum = "}" not in line
    return names


def structures():
    text = "\n".join(lines_of_headers(preprocessed()))
    return set(re.findall(r"\b(?:struct|union)\s+(\w+)\s*\{", text)) | set(re.findall(r"\}\s*(\w+_t);", text))


def main():
    tables = "\n".join(path.read_text() for path in HERE.glob("*_test.cpp"))
    compared = set(re.findall(r"\w+", tables))
    exempt = []
    for line in (HERE / "not_stated.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, _, reason = line.partition(" ")
            if not reason.strip():
                sys.exit(f"not_stated.txt: {pattern} has no reason")
            exempt.append(re.compile(pattern))
    forgotten = [name for name in sorted(numbers() | structures())
                 if name not in compared and not any(pattern.fullmatch(name) for pattern in exempt)]
    for name in forgotten:
        print(f"{name} is neither compared nor listed in not_stated.txt")
    print(f"{len(numbers())} numbers, {len(structures())} structures in the public headers; {len(forgotten)} forgotten")
    return 1 if forgotten else 0


if __name__ == "__main__":
    sys.exit(main())
