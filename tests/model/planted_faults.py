#!/usr/bin/env python3
"""Plants one fault at a time in direct paging and shows that the tests catch it.

A fault is a check, a count or a flush left out. Each is a piece of a source file and what stands there instead; the
file is compiled with its usual command, linked in front of the library, and page_type_test and random_calls_test must
fail. A piece that the source no longer has is an error, so the list keeps up with the code.

usage: planted_faults.py BUILD [NAME...]    BUILD has random_calls_test and page_type_test built
"""
import json
import os
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGING = "hypervisor/arch/x86/pv/"
MEMORY = "hypervisor/core/memory/"
RANDOM_CALLS = "20000"

# name: (file, piece, what stands there instead)
FAULTS = {
    "partial-table-holds-no-reference": (PAGING + "page_type.cpp", "    get_frame_again(frame);\n", ""),
    "entry-flags-unchecked": (PAGING + "page_type.cpp", "if ((entry.raw & refused) != 0) [[unlikely]]", "if (false)"),
    "hypervisor-slot-unchecked": (
        PAGING + "page_type.cpp",
        "if (entry.raw == 0 || entry.raw == hypervisor_slots[slot - kFirstHypervisorSlot]) continue;", "continue;"),
    "hypervisor-slots-not-written": (PAGING + "page_type.cpp", "    if (level == 4) {\n        for", "    if (false) {\n        for"),
    "refused-l1-not-undone": (PAGING + "page_type.cpp", "for (unsigned done = slot; done-- > 0;)", "for (unsigned done = 0; done-- > 0;)"),
    "retired-l1-keeps-references": (PAGING + "page_type.cpp", "            if (old.present()) put_l1_target(old);\n        }\n        frame.flush_stamp = take_flush_stamp();\n        frame.type.store(TypeWord::of(FrameType::kL1, 0, 0).raw, std::memory_order_release);\n        return;", "            (void)old;\n        }\n        frame.flush_stamp = take_flush_stamp();\n        frame.type.store(TypeWord::of(FrameType::kL1, 0, 0).raw, std::memory_order_release);\n        return;"),
    "no-flush-before-a-table": (PAGING + "page_type.cpp", "if (word.type() != FrameType::kNone && word.type() != type)", "if (false)"),
    "type-in-use-is-taken-over": (PAGING + "page_type.cpp", "        if (word.count() != 0) {\n            log_guest", "        if (false) {\n            log_guest"),
    "listed-table-is-resumed": (PAGING + "page_type.cpp", "if (domain.undo_first != 0) {", "if (false) {"),
    "partial-table-resumed-at-any-level": (PAGING + "page_type.cpp", "if (word.type() != type) {\n            // Half", "if (false) {\n            // Half"),
    "frame-of-another-domain": (PAGING + "page_type.cpp", "if (!get_frame(mfn, owner.id)) [[unlikely]]", "if (!get_frame(mfn, frame_at(mfn).owner()))"),
    "writable-entry-uncounted": (PAGING + "page_type.cpp", "if (!entry.writable() || get_writable(frame_at(mfn))) [[likely]]", "if (true)"),
    "writable-entry-not-given-back": (PAGING + "page_type.cpp", "    if (entry.writable()) put_writable(frame);\n", ""),
    "l1-target-not-given-back": (PAGING + "page_type.cpp", "    if (entry.writable()) put_writable(frame);\n    put_frame(frame);", "    if (entry.writable()) put_writable(frame);"),
    "failed-table-keeps-reference": (PAGING + "page_type.cpp", "    if (!got.ok()) [[unlikely]]\n        put_frame(frame);\n    return got;", "    return got;"),
    "second-pin-keeps-references": (PAGING + "page_type.cpp", "        put_table(domain, mfn);\n        return Errno::kEINVAL;", "        return Errno::kEINVAL;"),
    "unpin-without-pin": (PAGING + "page_type.cpp", "frame.owner() != domain.id || !frame.type_word().pinned()", "frame.owner() != domain.id"),
    "pin-of-another-domain-is-dropped": (PAGING + "page_type.cpp", "frame.owner() != domain.id || !frame.type_word().pinned()", "!frame.type_word().pinned()"),
    "undone-table-keeps-reference": (PAGING + "page_type.cpp", "        frame.type.store(TypeWord::of(type, 0, 0).raw, std::memory_order_release);\n        put_frame(frame);", "        frame.type.store(TypeWord::of(type, 0, 0).raw, std::memory_order_release);"),
    "io-memory-for-everyone": (PAGING + "page_type.cpp", "if (may_map_io_frame(holder, entry.mfn())) return {};", "return {};"),
    "hypervisor-slot-is-written": (PAGING + "entry_update.cpp", "if (level == 4 && slot >= abi::kHypervisorFirstL4Slot && slot <= abi::kHypervisorLastL4Slot) {\n        log_guest", "if (false) {\n        log_guest"),
    "upper-flags-unchecked": (PAGING + "entry_update.cpp", "if ((desired.raw & (kUpperRules.refused | pte_limits.extra_refused)) != 0)", "if (false)"),
    "write-permission-uncounted": (PAGING + "entry_update.cpp", "if (desired.writable() && !old.writable() && !get_writable(frame)) {", "if (false) {"),
    "dropped-permission-uncounted": (PAGING + "entry_update.cpp", "    if (old.writable() && !desired.writable()) put_writable(frame);\n", ""),
    "cleared-entry-keeps-references": (PAGING + "entry_update.cpp", "        exchange_entry(place, desired, false);\n        if (old.present()) put_l1_target(old);", "        exchange_entry(place, desired, false);"),
    "old-table-keeps-references": (PAGING + "entry_update.cpp", "        put_table(domain, old.mfn());\n", ""),
    "half-table-is-writable": (MEMORY + "frame_table.cpp", "word.count() == 0 && !word.partial() && !word.validated()", "word.count() == 0 && !word.validated()"),
    "no-stamp-for-writable": (MEMORY + "frame_table.cpp", "if (word.count() == 1) frame.flush_stamp = take_flush_stamp();", ""),
    "owner-unchecked": (MEMORY + "frame_table.cpp", "if (frame.owner() == owner) [[likely]]", "if (true)"),
    "batch-keeps-a-table-at-hand": (PAGING + "mmu_update_op.cpp", "            l1_mfn_ = kInvalidMfn;\n", ""),
    "plain-word-in-a-table": (PAGING + "mmu_update_op.cpp", "if (!frame || !get_writable(*frame)) return Errno::kEINVAL;\n        {", "if (!frame) return Errno::kEINVAL;\n        (void)get_writable(*frame);\n        {"),
    "old-root-keeps-references": (PAGING + "address_space.cpp", "    if (old != Mfn{}) put_table(domain, old);\n", "    (void)old;\n"),
    "root-without-a-reference": (PAGING + "address_space.cpp", "if (mfn != Mfn{}) TRY(get_table(domain, mfn, 4, budget));", ""),
    "descriptor-page-in-use-otherwise": (PAGING + "descriptor_tables.cpp", "if (word.count() != 0 || word.partial()) {", "if (false) {"),
    "no-flush-before-descriptors": (PAGING + "descriptor_tables.cpp", "if (word.type() != FrameType::kNone) flush_stale(frame->flush_stamp, ~uint64_t{0});", ""),
    "old-gdt-keeps-references": (PAGING + "descriptor_tables.cpp", "        if (mfn != Mfn{}) put_descriptor_page(mfn);\n    }\n    return {};", "    }\n    return {};"),
    "anyone-names-another-domain": (PAGING + "foreign.cpp", "if (!context.domain().privileged) return Errno::kEPERM;", ""),
    "shared-frame-without-type": (MEMORY + "reservation.cpp", "    frame.type.store(TypeWord::of(FrameType::kWritable, 1, 0).raw, std::memory_order_relaxed);\n", ""),
}


def objects_of(build, target):
    folder = {"random_calls_test": "tests/model", "page_type_test": "tests/unit/arch/x86/pv"}[target]
    found = []
    for path, _, names in os.walk(os.path.join(build, folder, "CMakeFiles", target + ".dir")):
        found += [os.path.join(path, name) for name in names if name.endswith(".o")]
    return found


def compile_command(build, source):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            if entry["file"] == source and "torii_core_host" in entry["command"]:
                return shlex.split(entry["command"]), entry["directory"]
    sys.exit(f"no command compiles {source} for the host")


def plant(build, folder, name):
    """Builds the changed file; returns its object."""
    relative, piece, instead = FAULTS[name]
    source = os.path.join(ROOT, relative)
    with open(source, encoding="utf-8") as file:
        text = file.read()
    if text.count(piece) != 1:
        sys.exit(f"{name}: {relative} has its piece {text.count(piece)} times; bring the list up to date")
    changed = os.path.join(folder, os.path.basename(source))
    with open(changed, "w", encoding="utf-8") as file:
        file.write(text.replace(piece, instead))
    command, directory = compile_command(build, source)
    made = os.path.join(folder, "changed.o")
    command = [changed if part == source else part for part in command]
    command[command.index("-o") + 1] = made
    command += ["-Wno-error", "-w"]
    subprocess.run(command, cwd=directory, check=True)
    return made


def is_caught(build, folder, made):
    """Which test fails with the changed object; None when neither does."""
    for target in ("page_type_test", "random_calls_test"):
        program = os.path.join(folder, target)
        subprocess.run(["g++", "-fsanitize=address,undefined", "-o", program, *objects_of(build, target), made,
                        os.path.join(build, "hypervisor/libtorii_core_host.a"), "-lgtest_main", "-lgtest", "-lpthread"],
                       check=True)
        try:
            ended = subprocess.run([program], timeout=120, capture_output=True,
                                   env={**os.environ, "TORII_RANDOM_CALLS": RANDOM_CALLS})
        except subprocess.TimeoutExpired:
            return target + " (no end)"
        if ended.returncode != 0:
            return target
    return None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = os.path.abspath(sys.argv[1])
    missed = []
    for name in sys.argv[2:] or FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            caught = is_caught(build, folder, plant(build, folder, name))
        print(f"{name:40} {'caught by ' + caught if caught else 'NOT CAUGHT'}", flush=True)
        if not caught:
            missed.append(name)
    if missed:
        sys.exit(f"{len(missed)} of the planted faults are not caught: {', '.join(missed)}")


if __name__ == "__main__":
    main()
