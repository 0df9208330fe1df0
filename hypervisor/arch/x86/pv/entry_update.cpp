// Changing one entry of a validated page table.
#include "arch/x86/pv/page_type.h"
#include "base/log.h"
#include "base/once.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::pv {
namespace {

constexpr uint64_t kAccessedDirty = kPteAccessed | kPteDirty;

// The CPU may set accessed and dirty bits at any time, so the entry is exchanged, not stored. Everything else
// in it is stable under the page-table lock. Returns what was there at the exchange.
Pte exchange_entry(uint64_t* place, Pte desired, bool preserve_ad) {
    uint64_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);
    uint64_t next = 0;
    do {
        next = preserve_ad ? desired.raw | (seen & kAccessedDirty) : desired.raw;
    } while (!__atomic_compare_exchange_n(place, &seen, next, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return Pte{seen};
}

// Same frame, other permissions: the general reference stays, the type reference follows the write bit.
Result<> change_permissions(const Domain& holder, uint64_t* place, Pte old, Pte desired, bool preserve_ad) {
    Frame& frame = frame_at(desired.mfn());
    if (desired.writable() && !old.writable() && !get_writable(frame)) {
        log_guest(LogLevel::kInfo, "frame {x} may not be mapped writable: it is of type {}", desired.mfn(),
                  frame.type_word().type());
        return Errno::kEBUSY;
    }
    exchange_entry(place, desired, preserve_ad);
    if (old.writable() && !desired.writable()) {
        if (frame.owner() != holder.id) note_foreign_translation(frame, true);
        put_writable(frame);
    }
    return {};
}

// Whether the short way of change_permissions applies: RAM of the same owner, no rule of the flag table to
// look up.
bool only_permissions_differ(Pte old, Pte desired) {
    constexpr uint64_t kMayDiffer = kPteWrite | kPteUser | kAccessedDirty | kPteSoftwareLow | kPteNoExecute;
    return old.present() && desired.present() && ((old.raw ^ desired.raw) & ~kMayDiffer) == 0;
}

void exchange_upper_entry(Domain& domain, Mfn table, unsigned level, unsigned slot, Pte desired,
                          bool preserve_ad) {
    const MappedFrame page(table);
    const Pte old = exchange_entry(page.as<uint64_t>() + slot, desired, preserve_ad);
    if (level == 4) root_changes.fetch_add(1, std::memory_order_release);
    if (!old.present()) return;
    // What was reached through the old table is so no longer, whatever the guest flushes.
    flush_tlb(domain.dirty_cpus);
    put_table(domain, old.mfn());
}

Result<> write_upper_entry(Domain& domain, Mfn table, unsigned level, unsigned slot, Pte desired,
                           bool preserve_ad, Budget& budget) {
    if (level == 4 && slot >= abi::kHypervisorFirstL4Slot && slot <= abi::kHypervisorLastL4Slot) {
        log_guest(LogLevel::kInfo, "d{} may not write slot {} of L4 {x}: it is the hypervisor's", domain.id,
                  slot, table);
        return Errno::kEINVAL;
    }
    if (!desired.present()) {
        TRY(check_absent_entry(desired));
        exchange_upper_entry(domain, table, level, slot, desired, preserve_ad);
        return {};
    }
    if ((desired.raw & (kUpperRules.refused | pte_limits.extra_refused)) != 0) return Errno::kEINVAL;
    // To get the new table may mean to work off the undo list first, and with that what led to this table: it
    // is held meanwhile, or the entry would be written to what is no table any more.
    Frame& frame = frame_at(table);
    get_frame_again(frame);
    frame.type.fetch_add(1, std::memory_order_relaxed);
    const Result<> got = get_table(domain, desired.mfn(), level - 1, budget);
    if (got.ok()) [[likely]] {
        desired.raw = (desired.raw | kUpperRules.forced_on) & ~kUpperRules.forced_off;
        exchange_upper_entry(domain, table, level, slot, desired, preserve_ad);
    }
    put_table(domain, table);
    return got;
}

}  // namespace

Result<> write_l1_entry(Domain& holder, Domain& owner, uint64_t* place, Pte desired, bool preserve_ad) {
    const Pte old{read_once(*place)};
    if (!desired.present()) {
        TRY(check_absent_entry(desired));
        exchange_entry(place, desired, false);
        if (old.present()) put_l1_target(holder, old);
        return {};
    }
    if (only_permissions_differ(old, desired) && (desired.raw & pte_limits.extra_refused) == 0) {
        const Mfn mfn = desired.mfn();
        desired.raw = (desired.raw | kL1Rules.forced_on) & ~kL1Rules.forced_off;
        const bool same_write_bit = ((old.raw ^ desired.raw) & kPteWrite) == 0;
        if (same_write_bit) {
            exchange_entry(place, desired, preserve_ad);
            return {};
        }
        if (!frame_exists(mfn) || frame_at(mfn).owner() == kOwnerIo) {
            keep_guarded_read_only(desired);
            exchange_entry(place, desired, preserve_ad);
            return {};
        }
        if (frame_at(mfn).owner() == owner.id) [[likely]]
            return change_permissions(holder, place, old, desired, preserve_ad);
    }
    TRY(get_l1_target(holder, owner, desired));
    exchange_entry(place, desired, preserve_ad && old.present() && old.mfn() == desired.mfn());
    if (old.present()) put_l1_target(holder, old);
    return {};
}

Result<> write_entry(Domain& holder, Domain& owner, Mfn table, unsigned slot, Pte desired, bool preserve_ad,
                     Budget& budget) {
    const unsigned level = table_level(frame_at(table).type_word().type());
    if (level == 1) {
        const MappedFrame page(table);
        return write_l1_entry(holder, owner, page.as<uint64_t>() + slot, desired, preserve_ad);
    }
    return write_upper_entry(holder, table, level, slot, desired, preserve_ad, budget);
}

L1Place find_l1(Mfn root, uint64_t va) {
    if (root == Mfn{} || !is_canonical(va)) return {};
    Mfn table = root;
    for (unsigned level = 4; level > 1; --level) {
        const MappedFrame page(table);
        const unsigned slot = (va >> (kPageShift + 9 * (level - 1))) & 511;
        if (level == 4 && slot >= abi::kHypervisorFirstL4Slot && slot <= abi::kHypervisorLastL4Slot)
            return {};
        const Pte entry{read_once(page.as<uint64_t>()[slot])};
        if (!entry.present() || (entry.raw & kPteLargePage) != 0) return {};
        table = entry.mfn();
    }
    return {table, l1_slot(va)};
}

}  // namespace torii::pv
