#!/usr/bin/env python3
"""Plants one fault at a time in the hypervisor's core and shows that the tests catch it.

A fault is a check, a count or a flush left out. Each is a piece of a source file and what stands there instead; the
file is compiled with its usual command and linked in place of the right one, and one of the tests of its kind must fail.
A piece that the source no longer has is an error, so the list keeps up with the code. They are kept here and not as
conditions in the sources, where every check would read twice.

usage: planted_faults.py --check              whether the sources still have all the pieces
       planted_faults.py BUILD [NAME...]       BUILD has the tests built; one of the preset tsan plants THREAD_FAULTS
       planted_faults.py --write NAME FOLDER   writes the changed file; cmake -DTORII_PLANTED_FAULT=NAME builds with it,
                                               the machine's image as well as the host's tests
"""
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGING = "hypervisor/arch/x86/pv/"
MEMORY = "hypervisor/core/memory/"
EVENT = "hypervisor/core/event/"
GRANT = "hypervisor/core/grant/"
CALL = "hypervisor/core/call/"
DOMAIN = "hypervisor/core/domain/"
RANDOM_CALLS = "20000"
THREAD_OPERATIONS = "400000"

# What a test is called with, other than nothing.
ARGUMENTS = {"core_event_test": ("--gtest_filter=-*Race*",)}
# Which of them look at a folder's code, the quick ones first.
TESTS_OF = {
    PAGING: ("page_type_test", "core_grant_calls_test", "random_calls_test"),
    MEMORY: ("page_type_test", "core_grant_calls_test", "random_calls_test"),
    GRANT: ("core_grant_test", "core_grant_calls_test", "random_calls_test"),
    EVENT: ("core_event_test", "random_calls_test"),
    CALL: ("core_call_test", "core_grant_calls_test", "random_calls_test"),
    DOMAIN: ("core_call_test", "random_calls_test"),
}

# The sources that use what a header defines, and are compiled with the changed one.
USERS_OF = {
    MEMORY + "frame_references.h": (MEMORY + "frame_table.cpp", GRANT + "grant_table.cpp", CALL + "grant_copy.cpp"),
    GRANT + "entry.h": (GRANT + "grant_table.cpp", CALL + "grant_copy.cpp"),
    GRANT + "pinning.h": (GRANT + "grant_table.cpp", CALL + "grant_copy.cpp"),
}

# name: (file, piece, what stands there instead)
FAULTS = {
    "partial-table-holds-no-reference": (PAGING + "page_type.cpp", "    get_frame_again(frame);\n", ""),
    "entry-flags-unchecked": (PAGING + "page_type.cpp", "if ((entry.raw & refused) != 0) [[unlikely]]", "if (false)"),
    "hypervisor-slot-unchecked": (
        PAGING + "page_type.cpp",
        "if (entry.raw == 0 || entry.raw == hypervisor_slots[slot - kFirstHypervisorSlot]) continue;", "continue;"),
    "hypervisor-slots-not-written": (PAGING + "page_type.cpp", "    if (level == 4) {\n        for", "    if (false) {\n        for"),
    "refused-l1-not-undone": (PAGING + "page_type.cpp", "for (unsigned done = slot; done-- > 0;)", "for (unsigned done = 0; done-- > 0;)"),
    "retired-l1-keeps-references": (PAGING + "page_type.cpp", "            if (old.present()) put_l1_target(domain, old);\n        }\n        give_up_type(frame, FrameType::kL1);\n        return;", "            (void)old;\n        }\n        give_up_type(frame, FrameType::kL1);\n        return;"),
    "no-flush-before-a-table": (PAGING + "page_type.cpp", "if (word.type() != FrameType::kNone && word.type() != type)", "if (false)"),
    "type-in-use-is-taken-over": (PAGING + "page_type.cpp", "        if (word.count() != 0) {\n            log_guest", "        if (false) {\n            log_guest"),
    "listed-table-is-resumed": (PAGING + "page_type.cpp", "if (domain.undo_first != 0) {", "if (false) {"),
    "partial-table-resumed-at-any-level": (PAGING + "page_type.cpp", "if (word.type() != type) {\n            // Half", "if (false) {\n            // Half"),
    "frame-of-another-domain": (PAGING + "page_type.cpp", "if (!get_frame(mfn, owner.id)) [[unlikely]]", "if (!get_frame(mfn, frame_at(mfn).owner()))"),
    "writable-entry-uncounted": (PAGING + "page_type.cpp", "if (!entry.writable() || get_writable(frame_at(mfn))) [[likely]]", "if (true)"),
    "writable-entry-not-given-back": (PAGING + "page_type.cpp", "note_foreign_translation(frame, entry.writable());\n    if (entry.writable()) put_writable(frame);\n", "note_foreign_translation(frame, entry.writable());\n"),
    "l1-target-not-given-back": (PAGING + "page_type.cpp", "note_foreign_translation(frame, entry.writable());\n    if (entry.writable()) put_writable(frame);\n    put_frame(frame);", "note_foreign_translation(frame, entry.writable());\n    if (entry.writable()) put_writable(frame);"),
    "flushed-entry-not-given-back": (PAGING + "page_type.cpp", "    Frame& frame = frame_at(entry.mfn());\n    if (entry.writable()) put_writable(frame);\n", "    Frame& frame = frame_at(entry.mfn());\n"),
    "failed-table-keeps-reference": (PAGING + "page_type.cpp", "    if (!got.ok()) [[unlikely]]\n        put_frame(frame);\n    return got;", "    return got;"),
    "second-pin-keeps-references": (PAGING + "page_type.cpp", "        put_table(domain, mfn);\n        return Errno::kEINVAL;", "        return Errno::kEINVAL;"),
    "unpin-without-pin": (PAGING + "page_type.cpp", "frame.owner() != domain.id || !frame.type_word().pinned()", "frame.owner() != domain.id"),
    "pin-of-another-domain-is-dropped": (PAGING + "page_type.cpp", "frame.owner() != domain.id || !frame.type_word().pinned()", "!frame.type_word().pinned()"),
    "undone-table-keeps-reference": (PAGING + "page_type.cpp", "        give_up_type(frame, type);\n        put_frame(frame);", "        give_up_type(frame, type);"),
    "io-memory-for-everyone": (PAGING + "page_type.cpp", "if (holder.io.all_memory && !is_reserved_io_frame(entry.mfn())) {", "if (true) {"),
    "hypervisor-slot-is-written": (PAGING + "entry_update.cpp", "if (level == 4 && slot >= abi::kHypervisorFirstL4Slot && slot <= abi::kHypervisorLastL4Slot) {\n        log_guest", "if (false) {\n        log_guest"),
    "upper-flags-unchecked": (PAGING + "entry_update.cpp", "if ((desired.raw & (kUpperRules.refused | pte_limits.extra_refused)) != 0)", "if (false)"),
    "write-permission-uncounted": (PAGING + "entry_update.cpp", "if (desired.writable() && !old.writable() && !get_writable(frame)) {", "if (false) {"),
    "dropped-permission-uncounted": (PAGING + "entry_update.cpp", "        put_writable(frame);\n", ""),
    "foreign-translation-unnoted": (PAGING + "page_type.cpp", "    if (owner != holder.id) note_foreign_translation(frame, entry.writable());\n", ""),
    "foreign-reader-unnoted": (MEMORY + "frame_table.cpp", "    uint64_t marks = CountWord::of(Rememberers::anyone());\n", "    uint64_t marks = 0;\n"),
    "foreign-writer-unnoted": (MEMORY + "frame_table.cpp", "    if (writable) marks |= CountWord::kForeignWriter;\n", "    (void)writable;\n"),
    "dropped-foreign-permission-unnoted": (PAGING + "entry_update.cpp", "        if (frame.owner() != holder.id) note_foreign_translation(frame, true);\n", "        (void)holder;\n"),
    "freed-frame-forgets-who-remembers": (MEMORY + "allocator.cpp", "frame.count.store(CountWord::of(frame.rememberers()), std::memory_order_relaxed);", "frame.count.store(0, std::memory_order_relaxed);"),
    "cleared-entry-keeps-references": (PAGING + "entry_update.cpp", "        exchange_entry(place, desired, false);\n        if (old.present()) put_l1_target(holder, old);", "        exchange_entry(place, desired, false);"),
    "old-table-keeps-references": (PAGING + "entry_update.cpp", "    put_table(domain, old.mfn());\n", ""),
    "half-table-is-writable": (MEMORY + "frame_table.cpp", "word.count() == 0 && !word.partial() && !word.validated()", "word.count() == 0 && !word.validated()"),
    "no-stamp-for-writable": (MEMORY + "frame_references.h", "            frame.set_stamp(take_flush_stamp());", "            (void)frame;"),
    "owner-unchecked": (MEMORY + "frame_references.h", "if (frame.owner() == owner) [[likely]]", "if (true)"),
    "written-table-is-not-held": (PAGING + "entry_update.cpp", "    get_frame_again(frame);\n    frame.type.fetch_add(1, std::memory_order_relaxed);\n    const Result<> got = get_table(domain, desired.mfn(), level - 1, budget);", "    const Result<> got = get_table(domain, desired.mfn(), level - 1, budget);\n    get_frame_again(frame);\n    frame.type.fetch_add(1, std::memory_order_relaxed);"),
    "batch-keeps-a-table-at-hand": (PAGING + "mmu_update_op.cpp", "            l1_mfn_ = kInvalidMfn;\n", ""),
    "plain-word-in-a-table": (PAGING + "mmu_update_op.cpp", "if (!frame || !get_writable(*frame)) return Errno::kEINVAL;\n        {", "if (!frame) return Errno::kEINVAL;\n        (void)get_writable(*frame);\n        {"),
    "old-root-keeps-references": (PAGING + "address_space.cpp", "    if (old != Mfn{}) put_table(domain, old);\n", "    (void)old;\n"),
    "root-without-a-reference": (PAGING + "address_space.cpp", "if (mfn != Mfn{}) TRY(get_table(domain, mfn, 4, budget));", ""),
    "descriptor-page-in-use-otherwise": (PAGING + "descriptor_tables.cpp", "if (word.count() != 0 || word.partial()) {", "if (false) {"),
    "no-flush-before-descriptors": (PAGING + "descriptor_tables.cpp", "if (word.type() != FrameType::kNone) flush_before_next_type(*frame);", ""),
    "old-gdt-keeps-references": (PAGING + "descriptor_tables.cpp", "        if (mfn != Mfn{}) put_descriptor_page(mfn);\n    }\n    return {};", "    }\n    return {};"),
    "anyone-names-another-domain": (PAGING + "foreign.cpp", "if (!context.domain().privileged) return Errno::kEPERM;", ""),
    "grant-for-reading-is-written": (GRANT + "entry.h", "(access == GrantAccess::kWrite ? abi::kGtfReadonly : 0)", "0u"),
    "grant-for-anyone": (GRANT + "entry.h", "    return (word & must_match) == ", "    user = DomId(static_cast<uint16_t>(word >> 16));\n    return (word & must_match) == "),
    "grant-attributes-unchecked": (GRANT + "entry.h", "        abi::kGtfTypeMask | abi::kGtfPwt | abi::kGtfPcd | abi::kGtfPat | abi::kGtfSubPage;", "        abi::kGtfTypeMask;"),
    "own-grant-unchecked": (GRANT + "pinning.h", "if (!permits(read_once(place.shared->flags_and_domid), owner_, access)) [[unlikely]]", "if (false)"),
    "own-grant-of-another-frame": (
        GRANT + "pinning.h", "    const Mfn mfn = marked_frame(*place.shared);\n    if (!inlined::get_frame(mfn, owner_)) [[unlikely]]",
        "    const Mfn mfn = marked_frame(*place.shared);\n    if (!inlined::get_frame(mfn, frame_at(mfn).owner()))"),
    "own-grant-of-a-table-is-written": (GRANT + "pinning.h", "if (access == GrantAccess::kWrite && !inlined::get_writable(taken)) [[unlikely]]", "if (false)"),
    "grant-pinned-by-a-second": (GRANT + "pinning.h", "if (active.user != user) return GrantStatus::kGeneralError;", ""),
    "grant-follows-the-entry": (GRANT + "pinning.h", "const Mfn mfn = pinned ? Mfn(active.frame) : marked_frame(*place.shared);", "const Mfn mfn = marked_frame(*place.shared);"),
    "unpin-keeps-write-permission": (GRANT + "pinning.h", "        inlined::put_writable(*pin.frame_);\n", ""),
    "unpin-keeps-reference": (GRANT + "pinning.h", "    inlined::put_frame(*pin.frame_);\n", ""),
    "marks-stay": (GRANT + "pinning.h", "    clear_unjustified_marks(pin.place_);\n", ""),
    "transfer-into-a-pinned-entry": (GRANT + "grant_table.cpp", "if (place.active->pinned() || place.active->closed()) return GrantStatus::kBadGntref;", "if (place.active->closed()) return GrantStatus::kBadGntref;"),
    "closed-grant-is-pinned": (GRANT + "pinning.h", "        if (active.closed()) return GrantStatus::kBadGntref;\n", ""),
    "swap-of-pinned-entries": (GRANT + "grant_table.cpp", "if (place_a.active->pinned() || place_b.active->pinned()) return GrantStatus::kEagain;", ""),
    "handle-claimed-twice": (GRANT + "maptrack.cpp", "if (seen == 0 || (seen & kClaimed) != 0) return nullptr;", "if (seen == 0) return nullptr;"),
    "unmap-without-flush": (CALL + "grant_map.cpp", "if (flush) flush_tlb(caller.dirty_cpus);", ""),
    "failed-map-keeps-pins": (CALL + "grant_map.cpp", "            unpin_parts(granter.grants, ref, state, access_of(state));\n            return status;", "            return status;"),
    "unmap-at-any-address": (PAGING + "grant_mapping.cpp", "if (named.table == kInvalidMfn || address_of_entry(named) != entry) return GrantStatus::kBadVirtAddr;", "(void)named;"),
    "granted-entry-moves": (PAGING + "grant_mapping.cpp", "!may_move(holder, Pte{read_once(*from_slot)}) ||", ""),
    "map-into-another-domains-table": (PAGING + "grant_mapping.cpp", "frame.owner() == holder.id && word.type() == FrameType::kL1", "word.type() == FrameType::kL1"),
    "copy-keeps-write-permission": (CALL + "grant_copy.cpp", "if (access == GrantAccess::kWrite) inlined::put_writable(*frame_);", ""),
    "copy-keeps-write-permission-at-its-end": (CALL + "grant_copy.cpp", "            if (access == GrantAccess::kWrite) put_writable(*frame_);\n", ""),
    "copy-keeps-a-page-for-the-next": (CALL + "grant_copy.cpp", "                GrantTable::unpin_inlined(pin_, access);\n", ""),
    "copy-past-the-page": (CALL + "grant_copy.cpp", "if (element.source.offset + bytes > kPageSize || element.dest.offset + bytes > kPageSize) [[unlikely]]", "if (false)"),
    "used-frame-is-transferred": (MEMORY + "reservation.cpp", "if ((seen & ~kMarks) != (CountWord::kAllocated | 2)) return Errno::kEBUSY;", "(void)kMarks;"),
    "given-frame-keeps-translations": (MEMORY + "reservation.cpp", "    frame.set_stamp(take_flush_stamp());\n    return {};", "    return {};"),
    "port-bound-by-anyone": (EVENT + "event_channel.cpp", "if (unbound == nullptr || unbound->remote != id_) return Errno::kEINVAL;", "if (unbound == nullptr) return Errno::kEINVAL;"),
    "peer-stays-bound": (EVENT + "event_channel.cpp", "        pair->peer->shut();\n        pair->peer->open(PortUnbound{id_});\n", ""),
    "closed-port-stays-pending": (EVENT + "event_channel.cpp", "    forget_pending(entry, port);\n", ""),
    "linked-port-is-reused": (EVENT + "event_channel.cpp", "if (word != nullptr && test_bit(*word, abi::kFifoLinkedBit)) {", "if (false) {"),
    "interrupt-bound-twice": (EVENT + "event_channel.cpp", "    if (binding.load(std::memory_order_relaxed) != 0) return Errno::kEEXIST;\n    const NewPort port = TRY(reserve());\n    commit(port, PortVirq{kind}", "    const NewPort port = TRY(reserve());\n    commit(port, PortVirq{kind}"),
    "closed-port-keeps-interrupt": (EVENT + "event_channel.cpp", "    unbind(state, entry);\n", ""),
    "masked-event-calls": (EVENT + "delivery.cpp", "if (!test_bit(shared_->evtchn_mask[word], port % 64)) {", "if (true) {"),
    "masked-event-is-queued": (EVENT + "fifo.cpp", "if ((read_once(*word) & (kMasked | kLinked)) == 0) link", "if ((read_once(*word) & kLinked) == 0) link"),
    "moved-event-stays-tail": (EVENT + "fifo.cpp", "if (old_tail == port) old_tail = 0;", ""),
    "event-pages-stay-pinned": (EVENT + "fifo.cpp", "        event_unpin_guest_page(*this, fifo->pages[i]);", "        (void)i;"),
    "event-words-in-a-table": (DOMAIN + "wiring.cpp", "if (!frame || !get_writable(*frame)) return Errno::kEINVAL;", "if (!frame) return Errno::kEINVAL;\n    (void)get_writable(*frame);"),
    "refused-grant-page-stays": (DOMAIN + "grants.cpp", "    if (!added.ok()) stop_sharing_frame(page);\n", ""),
    "refused-vcpu-stays": (DOMAIN + "domain.cpp", "    ScopeGuard undo([vcpu] { free_vcpu(*vcpu); });", "    ScopeGuard undo([vcpu] {});"),
    "clock-in-a-dead-domains-page": (DOMAIN + "destroy.cpp", "    domain.shared_info = nullptr;\n", ""),
    "dead-domain-handles-interrupts": (CALL + "domctl_life.cpp", "    global_virqs.forget(call.domain.events);\n    return Errno::kESRCH;", "    return 0;"),
    "shared-frame-without-type": (MEMORY + "reservation.cpp", "    frame.type.store(TypeWord::of(FrameType::kWritable, 1, 0).raw, std::memory_order_relaxed);\n", ""),
}


# Locks left out or given back too early, exchanges in two steps: for threads_test alone.
THREAD_FAULTS = {
    "list-in-turn-without-lock": (
        MEMORY + "reservation.cpp",
        "Frame* next_frame_in_turn(Domain& domain) {\n    const LockGuard guard(domain.page_list_lock);\n",
        "Frame* next_frame_in_turn(Domain& domain) {\n"),
    "frame-adopted-after-the-lock": (
        MEMORY + "reservation.cpp", "    // Backwards, so that the list begins with the lowest.\n", "    guard.unlock();\n"),
    "reference-taken-in-two-steps": (
        MEMORY + "frame_references.h",
        "    } while (!frame.count.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,\n"
        "                                                std::memory_order_relaxed));\n    // The owner can't",
        "    } while (false);\n    frame.count.store(seen + 1);\n    // The owner can't"),
    "frames-taken-without-lock": (
        MEMORY + "allocator.cpp", "        const LockGuard guard(allocator.lock);\n        block", "        block"),
    "writable-given-back-in-two-steps": (
        MEMORY + "frame_references.h",
        "    } while (!frame.type.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,\n"
        "                                               std::memory_order_relaxed));\n",
        "    } while (false);\n    for (volatile int wait = 0; wait < 2000; wait = wait + 1) {}\n    frame.type.store(seen - 1);\n"),
    "grant-pinned-without-lock": (
        GRANT + "pinning.h", "    LockGuard guard(active.lock);\n    const bool pinned",
        "    struct { void unlock() {} } guard;\n    const bool pinned"),
    "grant-unlocked-before-its-count": (
        GRANT + "pinning.h", "    LockGuard guard(active.lock);\n    if (access",
        "    LockGuard guard(active.lock);\n    guard.unlock();\n    if (access"),
    "handle-claimed-in-two-steps": (
        GRANT + "maptrack.cpp",
        "    if (!mapping.state.compare_exchange_strong(seen, claimed, std::memory_order_acquire,\n"
        "                                               std::memory_order_relaxed))\n        return nullptr;\n",
        "    serve_while_waiting();\n    mapping.state.store(claimed);\n"),
    "handle-released-without-lock": (
        GRANT + "maptrack.cpp", "void Maptrack::release(GrantHandle handle) {\n    const LockGuard guard(lock_);\n",
        "void Maptrack::release(GrantHandle handle) {\n"),
    "handle-committed-before-it-is-filled-in": (
        CALL + "grant_map.cpp", "    mapping.granter = granter.id;\n",
        "    Maptrack::commit(mapping, state);\n    serve_while_waiting();\n    mapping.granter = granter.id;\n"),
    "port-closed-under-one-lock": (
        EVENT + "event_channel.cpp", "        LockBoth both(lock_, remote.lock_);\n        const PortState now",
        "        LockGuard both(lock_);\n        const PortState now"),
    "event-queued-without-lock": (
        EVENT + "fifo.cpp", "        LockBoth guard(vcpu->queue_lock, last_vcpu.queue_lock);\n", ""),
    "entry-mapped-without-lock": (
        PAGING + "va_mapping_op.cpp", "    const LockGuard guard(domain.page_table_lock);\n", ""),
    "two-end-one-domain": (
        DOMAIN + "destroy.cpp", "    LockGuard guard(domain.control_lock);\n    if (domain.relinquish_stage",
        "    struct { void unlock() {} } guard;\n    if (domain.relinquish_stage"),
}

# For an image that a machine boots (the preset "planted"): tests/integration/crash.py shows what it says at its end.
MACHINE_FAULTS = {
    "end-of-domains-unchecked": (CALL + "debug_keys.cpp", "        if (!domain) return;\n", ""),
}

ALL = FAULTS | THREAD_FAULTS | MACHINE_FAULTS


def link(build, folder, target, core, sanitizers):
    """Links a test with the changed core; returns the program."""
    objects = []
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            words = shlex.split(entry["command"])
            made = os.path.join(entry["directory"], words[words.index("-o") + 1])
            if f"/{target}.dir/" in made:
                objects.append(made)
    program = os.path.join(folder, target)
    subprocess.run(["g++", f"-fsanitize={sanitizers}", "-o", program, *objects, "-Wl,--start-group",
                    os.path.join(build, "tests/kit/libtorii_test_kit_parts.a"), core, "-Wl,--end-group", "-lgtest_main", "-lgtest", "-lpthread"],
                   check=True)
    return program


def compile_command(build, source):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            if entry["file"] == source and "torii_core_host" in entry["command"]:
                return shlex.split(entry["command"]), entry["directory"]
    sys.exit(f"no command compiles {source} for the host")


def write_changed(name, folder):
    """Writes the changed file into the folder; returns it and the original."""
    relative, piece, instead = ALL[name]
    source = os.path.join(ROOT, relative)
    with open(source, encoding="utf-8") as file:
        text = file.read()
    if text.count(piece) != 1:
        sys.exit(f"{name}: {relative} has its piece {text.count(piece)} times; bring the list up to date")
    changed = os.path.join(folder, os.path.basename(source))
    with open(changed, "w", encoding="utf-8") as file:
        file.write(text.replace(piece, instead))
    return changed, source


def plant(build, folder, name):
    """Builds the changed file, or what includes it; returns the core's library with that in place of the right objects."""
    relative = ALL[name][0]
    users = USERS_OF.get(relative)
    if users:
        # Where the compiler finds it before the right one.
        place = os.path.join(folder, os.path.dirname(relative).removeprefix("hypervisor/"))
        os.makedirs(place)
        write_changed(name, place)
        sources = [(os.path.join(ROOT, user),) * 2 for user in users]
    else:
        sources = [write_changed(name, folder)]
    objects = []
    for changed, source in sources:
        command, directory = compile_command(build, source)
        command = [changed if part == source else part for part in command]
        first = next(at for at, word in enumerate(command) if word.startswith("-I"))
        command.insert(first, "-I" + folder)
        objects.append(os.path.join(folder, os.path.basename(source) + ".o"))
        command[command.index("-o") + 1] = objects[-1]
        subprocess.run([*command, "-Wno-error", "-w"], cwd=directory, check=True)
    made = os.path.join(folder, "libtorii_core_host.a")
    shutil.copy(os.path.join(build, "hypervisor/libtorii_core_host.a"), made)
    subprocess.run(["ar", "r", made, *objects], check=True)
    return made


def is_caught_by_threads(build, folder, made, _):
    """Whether threads_test fails with the changed core: by a race, a recount, a rank of locks, or no end."""
    program = link(build, folder, "threads_test", made, "thread")
    try:
        ended = subprocess.run([program], timeout=600, capture_output=True,
                               env={**os.environ, "TORII_THREADS_OPERATIONS": THREAD_OPERATIONS,
                                    "TSAN_OPTIONS": "halt_on_error=1"})
    except subprocess.TimeoutExpired:
        return "threads_test (no end)"
    if ended.returncode == 0:
        return None
    return "threads_test (race)" if b"WARNING: ThreadSanitizer" in ended.stderr else "threads_test"


def is_caught(build, folder, made, relative):
    """Which test fails with the changed core; None when none does."""
    tests = next(names for part, names in TESTS_OF.items() if relative.startswith(part))
    for target in tests:
        program = link(build, folder, target, made, "address,undefined")
        try:
            ended = subprocess.run([program, *ARGUMENTS.get(target, ())], timeout=120, capture_output=True,
                                   env={**os.environ, "TORII_RANDOM_CALLS": RANDOM_CALLS})
        except subprocess.TimeoutExpired:
            return target + " (no end)"
        if ended.returncode != 0:
            return target
    return None


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--check":
        with tempfile.TemporaryDirectory() as folder:
            for name in ALL:
                write_changed(name, folder)
        print(f"{len(ALL)} faults can be planted")
        return
    if sys.argv[1] == "--write":
        if ALL[sys.argv[2]][0] in USERS_OF:
            sys.exit(f"{sys.argv[2]}: {ALL[sys.argv[2]][0]} is a header; only the host's tests can be built with it changed")
        print(write_changed(sys.argv[2], sys.argv[3])[1], end="")
        return
    build = os.path.abspath(sys.argv[1])
    missed = []
    threads = os.path.exists(os.path.join(build, "tests/threads/threads_test"))
    faults, catch = (THREAD_FAULTS, is_caught_by_threads) if threads else (FAULTS, is_caught)
    for name in sys.argv[2:] or faults:
        with tempfile.TemporaryDirectory() as folder:
            caught = catch(build, folder, plant(build, folder, name), faults[name][0])
        print(f"{name:40} {'caught by ' + caught if caught else 'NOT CAUGHT'}", flush=True)
        if not caught:
            missed.append(name)
    if missed:
        sys.exit(f"{len(missed)} of the planted faults are not caught: {', '.join(missed)}")


if __name__ == "__main__":
    main()
