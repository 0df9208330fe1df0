#!/usr/bin/env python3
"""Who may include whom. The table below is the rule; everything else here reads it.

    include_rules.py ROOT
"""

import re
import sys
from pathlib import Path

from tree import finish, source_files

# Folder -> what of our own its files may include. The longest folder that fits a file counts. A name stands for the folder
# and all below it; "self" for the folder's own part. Files of the build (generated protobuf) are "proto".
HYPERVISOR_PARTS = ("hypervisor/base", "hypervisor/port", "hypervisor/core/trace", "guest-abi")
CORE = tuple(f"hypervisor/core/{part}" for part in ("memory", "event", "grant", "sched", "console", "pci", "interrupt"))
RULES = {
    "guest-abi": (),
    "hypervisor": ("hypervisor", "guest-abi"),
    "hypervisor/base": ("guest-abi",),
    "hypervisor/port": ("hypervisor/base", "guest-abi"),
    "hypervisor/core/memory": HYPERVISOR_PARTS,
    "hypervisor/core/event": HYPERVISOR_PARTS,
    "hypervisor/core/sched": HYPERVISOR_PARTS,
    "hypervisor/core/console": HYPERVISOR_PARTS,
    "hypervisor/core/grant": (*HYPERVISOR_PARTS, "hypervisor/core/memory"),
    "hypervisor/core/pci": (*HYPERVISOR_PARTS, "hypervisor/core/memory"),
    "hypervisor/core/interrupt": (*HYPERVISOR_PARTS, "hypervisor/core/memory", "hypervisor/core/event", "hypervisor/core/pci",
                                  "hypervisor/core/sched/timer.h"),
    # It composes the parts, the state of paravirtual memory and CPUs among them, and counts what happens.
    "hypervisor/core/domain": (*HYPERVISOR_PARTS, *CORE, "hypervisor/arch/x86/pv", "hypervisor/core/call/counters.h",
                               "hypervisor/core/call/context.h"),
    "hypervisor/core/call": (*HYPERVISOR_PARTS, "hypervisor/core", "hypervisor/arch/x86/pv", "hypervisor/hypercall_table.h"),
    "hypervisor/arch/x86/pv": (*HYPERVISOR_PARTS, "hypervisor/core"),
    "frontends": ("guest-abi",),
    # The one exception is a sentence with a code.
    "backends/common": ("guest-abi", "dom0/proto/torii/failure.h"),
    "backends/block": ("backends/common", "guest-abi", "dom0/proto/torii/failure.h"),
    "backends/net": ("backends/common", "guest-abi", "dom0/proto/torii/failure.h"),
    "dom0": ("backends", "guest-abi", "proto"),
    "tools/cli": ("proto", "dom0/proto"),
    "tests": ("hypervisor", "guest-abi", "frontends", "backends", "dom0", "tools", "proto"),
}
# Single includes against the table, each with its reason; none may be there without need.
EXCEPTIONS = {
    ("hypervisor/port/context.h", "hypervisor/core/domain/vcpu.h"): "a switch names the vCPU that it switches to",
    ("hypervisor/port/platform.h", "hypervisor/core/domain/vcpu.h"): "the platform acts for a vCPU",
    ("hypervisor/core/memory/reservation.h", "hypervisor/core/domain/domain.h"): "reservations act on a domain's account",
}
# Where `"part/file.h"` and `<torii/...>` are looked up, in this order.
INCLUDE_ROOTS = ("hypervisor", "guest-abi/include", "frontends/include", "frontends", "backends/include", "backends", "dom0",
                 "dom0/proto", "tools/cli", "tests", "tests/unit")
# The only standard headers in code that runs without an operating system: each is freestanding, or pure templates.
FREESTANDING = {
    "array", "atomic", "bit", "bitset", "compare", "concepts", "cstdarg", "cstddef", "cstdint", "functional",
    "initializer_list", "iterator", "limits", "new", "numeric", "optional", "span", "string_view", "tuple", "type_traits", "utility",
    "variant", "algorithm", "memory", "cstring", "cstdlib",
}
FREESTANDING_FOLDERS = ("guest-abi", "hypervisor", "frontends")
ASSEMBLY_FREE = "hypervisor/arch/x86/pv"

_INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)
_ASSEMBLY = re.compile(r"\b(?:asm|__asm__)\b\s*(?:volatile|__volatile__)?\s*\(")


def inside(path, folder):
    """Whether `path` lies in `folder` or is it."""
    return path == folder or path.startswith(folder + "/")


def rule_for(path):
    """(folder, what it may include) for a file, or None where there is no rule."""
    fitting = [folder for folder in RULES if inside(path, folder)]
    folder = max(fitting, key=len, default=None)
    return (folder, RULES[folder]) if folder else None


def resolve(root, including, name):
    """The path in the tree of an included name; "proto" for generated code; None for what is not ours."""
    if name.endswith((".pb.h", ".pb.cc")):
        return "proto"
    candidates = [str(Path(including).parent / name)] + [f"{base}/{name}" for base in INCLUDE_ROOTS] + [name]
    for candidate in candidates:
        if (Path(root) / candidate).is_file():
            return str(Path(candidate))
    return None


def check_file(root, path):
    """Findings for one file."""
    rule = rule_for(path)
    if rule is None:
        return
    folder, allowed = rule
    text = (Path(root) / path).read_text(errors="replace")
    for match in _INCLUDE.finditer(text):
        name = match.group(2)
        line = text.count("\n", 0, match.start()) + 1
        target = resolve(root, path, name)
        if target is None:
            if match.group(1) == "<" and "/" not in name and "." not in name and inside_any(path, FREESTANDING_FOLDERS) \
                    and name not in FREESTANDING:
                yield f"{path}:{line}: <{name}> is not among the standard headers allowed without an operating system"
            elif match.group(1) == '"' and not path.endswith(".S"):
                yield f'{path}:{line}: "{name}" is not found from any root of the tree'
        elif not (inside(target, folder) or inside_any(target, allowed) or (path, target) in EXCEPTIONS):
            yield f"{path}:{line}: {folder} may not include {target} (allowed: {', '.join(allowed) or 'nothing of ours'})"
    if inside(path, ASSEMBLY_FREE) and _ASSEMBLY.search(text):
        yield f"{path}: inline assembly belongs in hypervisor/arch/x86/hw"


def inside_any(path, folders):
    """Whether `path` lies in one of `folders`."""
    return any(inside(path, folder) for folder in folders)


def check(root):
    """All findings of the tree, and the number of files read."""
    files = [str(path) for path in source_files(root)]
    return [finding for path in files for finding in check_file(root, path)], len(files)


if __name__ == "__main__":
    FINDINGS, COUNT = check(Path(sys.argv[1]))
    finish(FINDINGS, f"{COUNT} source files")
