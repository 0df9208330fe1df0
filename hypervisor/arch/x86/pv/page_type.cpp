#include "arch/x86/pv/page_type.h"

#include "base/log.h"
#include "base/once.h"
#include "core/memory/io_frames.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::pv {

constinit PteLimits pte_limits;
constinit uint64_t hypervisor_slots[16]{};
constinit std::atomic<uint64_t> root_changes{1};

namespace {

constexpr unsigned kFirstHypervisorSlot = abi::kHypervisorFirstL4Slot;
constexpr unsigned kLastHypervisorSlot = abi::kHypervisorLastL4Slot;

constexpr bool is_hypervisor_slot(unsigned level, unsigned slot) {
    return level == 4 && slot >= kFirstHypervisorSlot && slot <= kLastHypervisorSlot;
}

// A partial or dying table is linked into the undo list by its flush_stamp, which has no other use until the
// undo is over.
void push_undo(Domain& domain, Frame& frame) {
    frame.set_stamp(domain.undo_first);
    domain.undo_first = static_cast<uint32_t>(mfn_of(frame).raw());
}

// From "in use" to partial(entries): the state keeps a general reference of its own.
void make_partial(Frame& frame, FrameType type, unsigned entries) {
    get_frame_again(frame);
    frame.validated_entries = static_cast<uint16_t>(entries);
    frame.type.store(TypeWord::of(type, 0, TypeWord::kPartial).raw, std::memory_order_release);
}

// The frame is no table any more; CPUs may still remember it as one.
void give_up_type(Frame& frame, FrameType type) {
    const FlushEpoch stamp = take_flush_stamp();
    frame.set_stamp(stamp);
    frame.type.store(TypeWord::given_up(type, stamp).raw, std::memory_order_release);
}

// Applies the flag rules to an entry of a table of `level`; EINVAL when it breaks one.
Result<> apply_flag_rules(const FlagRules& rules, Pte& entry) {
    const uint64_t refused =
        rules.refused | pte_limits.extra_refused | (kPteAddress & ~pte_limits.address_mask);
    if ((entry.raw & refused) != 0) [[unlikely]] {
        log_guest(LogLevel::kInfo, "page-table entry {x} refused: bits {x} are not allowed there", entry.raw,
                  entry.raw & refused);
        return Errno::kEINVAL;
    }
    entry.raw = (entry.raw | rules.forced_on) & ~rules.forced_off;
    return {};
}

Result<> get_io_target(const Domain& holder, Pte entry) {
    if (holder.io.all_memory && !is_reserved_io_frame(entry.mfn())) return {};
    log_guest(LogLevel::kInfo, "d{} may not map frame {x}: it is not RAM of its own", holder.id, entry.mfn());
    return Errno::kEINVAL;
}

// A present entry of a table above L1.
Result<> get_table_target(Domain& domain, Pte& entry, unsigned level, Budget& budget) {
    TRY(apply_flag_rules(kUpperRules, entry));
    return get_table(domain, entry.mfn(), level - 1, budget);
}

// The references of one present entry of a table of `level`.
void put_target(Domain& domain, unsigned level, Pte entry) {
    if (level == 1) {
        put_l1_target(domain, entry);
    } else {
        put_table(domain, entry.mfn());
    }
}

Result<> get_target(Domain& domain, unsigned level, Pte& entry, Budget& budget) {
    return level == 1 ? get_l1_target(domain, domain, entry) : get_table_target(domain, entry, level, budget);
}

// Validates the entries of `frame` from `first` on. EINVAL: entry by entry undone again. ERESTART: partial.
Result<> validate(Domain& domain, Frame& frame, unsigned level, unsigned first, Budget& budget) {
    const MappedFrame page(mfn_of(frame));
    auto* const entries = page.as<uint64_t>();
    for (unsigned slot = first; slot < kEntriesPerTable; ++slot) {
        Pte entry{read_once(entries[slot])};
        if (is_hypervisor_slot(level, slot)) {
            if (entry.raw == 0 || entry.raw == hypervisor_slots[slot - kFirstHypervisorSlot]) continue;
            log_guest(LogLevel::kInfo, "d{} L4 {x} refused: slot {} is the hypervisor's, and holds {x}",
                      domain.id, mfn_of(frame), slot, entry.raw);
        } else if (!entry.present()) {
            if (entry.raw == 0 || check_absent_entry(entry).ok()) [[likely]]
                continue;
        } else {
            const Pte before = entry;
            const Result<> got = get_target(domain, level, entry, budget);
            if (got.ok()) [[likely]] {
                if (entry != before) write_once(entries[slot], entry.raw);
                continue;
            }
            if (got.error() == Errno::kERESTART) {
                make_partial(frame, table_type(level), slot);
                return Errno::kERESTART;
            }
        }
        // Undo. An L1 at once; a higher table through the list, so that the undo is bounded as well.
        if (level == 1) {
            for (unsigned done = slot; done-- > 0;) {
                const Pte old{entries[done]};
                if (old.present()) put_l1_target(domain, old);
            }
            give_up_type(frame, FrameType::kL1);
        } else {
            make_partial(frame, table_type(level), slot);
            push_undo(domain, frame);
        }
        return Errno::kEINVAL;
    }
    if (level == 4) {
        for (unsigned i = 0; i <= kLastHypervisorSlot - kFirstHypervisorSlot; ++i)
            write_once(entries[kFirstHypervisorSlot + i], hypervisor_slots[i]);
        root_changes.fetch_add(1, std::memory_order_release);
    }
    return {};
}

// Gives up the references of entries [from, 0], highest first, within the budget. Returns how many entries
// still hold theirs.
unsigned give_up_entries(Domain& domain, Frame& frame, unsigned level, unsigned held, Budget& budget) {
    const MappedFrame page(mfn_of(frame));
    auto* const entries = page.as<uint64_t>();
    while (held > 0) {
        const unsigned slot = held - 1;
        if (is_hypervisor_slot(level, slot)) {
            write_once(entries[slot], 0);
            held = slot;
            continue;
        }
        const Pte old{read_once(entries[slot])};
        if (old.present()) {
            if (!budget.spend(1)) return held;
            put_target(domain, level, old);
        }
        held = slot;
    }
    return 0;
}

// The last type reference of a validated table went.
void retire_table(Domain& domain, Frame& frame, FrameType type) {
    if (type == FrameType::kL1) {
        const MappedFrame page(mfn_of(frame));
        const auto* const entries = page.as<const uint64_t>();
        for (unsigned slot = 0; slot < kEntriesPerTable; ++slot) {
            const Pte old{read_once(entries[slot])};
            if (old.present()) put_l1_target(domain, old);
        }
        give_up_type(frame, FrameType::kL1);
        return;
    }
    make_partial(frame, type, kEntriesPerTable);
    push_undo(domain, frame);
}

// Whether a frame of that type word can become a page or descriptor table, and makes it one, unvalidated,
// with a count of one.
Result<> claim_type(Domain& domain, Frame& frame, FrameType type) {
    for (;;) {
        uint64_t seen = frame.type.load(std::memory_order_acquire);
        const TypeWord word{seen};
        if (word.count() != 0) {
            log_guest(LogLevel::kInfo, "d{} frame {x} refused as type {}: it is in use as type {}, {} times",
                      domain.id, mfn_of(frame), type, word.type(), word.count());
            return Errno::kEBUSY;
        }
        if (!frame.type.compare_exchange_strong(seen, TypeWord::of(type, 1, 0).raw,
                                                std::memory_order_acq_rel))
            continue;
        if (word.type() != FrameType::kNone && word.type() != type) flush_before_next_type(frame);
        return {};
    }
}

Result<> get_type(Domain& domain, Frame& frame, unsigned level, Budget& budget) {
    const FrameType type = table_type(level);
    const TypeWord word = frame.type_word();
    if (word.type() == type && word.count() != 0) [[likely]] {
        // Seen unvalidated only from within its own validation: a table that leads to itself.
        if (!word.validated()) return Errno::kEINVAL;
        if (word.count() >= TypeWord::kMostCount) return Errno::kEBUSY;
        frame.type.fetch_add(1, std::memory_order_relaxed);
        return {};
    }
    unsigned first = 0;
    bool resumed = false;
    if (word.partial()) {
        if (domain.undo_first != 0) {
            // An earlier step of the same call gave tables up, this one perhaps: what is on the list must not
            // be resumed.
            TRY(finish_undo(domain, budget));
            return get_type(domain, frame, level, budget);
        }
        if (word.type() != type) {
            // Half a table of another level: undo that first.
            abandon_partial(domain, frame);
            TRY(finish_undo(domain, budget));
            return get_type(domain, frame, level, budget);
        }
        first = frame.validated_entries;
        resumed = true;
        frame.type.store(TypeWord::of(type, 1, 0).raw, std::memory_order_release);
    } else {
        if (!budget.spend(1)) return Errno::kERESTART;
        TRY(claim_type(domain, frame, type));
    }
    const Result<> validated = validate(domain, frame, level, first, budget);
    if (resumed) put_frame(frame);  // the partial state's own reference; the caller holds another
    TRY(validated);
    frame.type.fetch_or(TypeWord::kValidated, std::memory_order_release);
    return {};
}

// Drops one type reference of a table.
void put_type(Domain& domain, Frame& frame) {
    const TypeWord word = frame.type_word();
    BUG_ON(word.count() == 0 || !word.validated());
    if (word.count() > 1) [[likely]] {
        frame.type.fetch_sub(1, std::memory_order_release);
        return;
    }
    frame.type.store(TypeWord::of(word.type(), 1, 0).raw, std::memory_order_relaxed);
    retire_table(domain, frame, word.type());
}

}  // namespace

Result<> check_absent_entry(Pte entry) {
    const uint64_t address = entry.raw & kPteAddress;
    if (address != 0 && address < pte_limits.l1tf_unsafe_below) [[unlikely]] {
        log_guest(LogLevel::kInfo,
                  "not-present page-table entry {x} refused: it names RAM, and this CPU is open to L1TF",
                  entry.raw);
        return Errno::kEINVAL;
    }
    return {};
}

Result<> get_table(Domain& domain, Mfn mfn, unsigned level, Budget& budget) {
    if (!get_frame(mfn, domain.id)) [[unlikely]] {
        log_guest(LogLevel::kInfo, "d{} frame {x} refused as L{} page table: the domain does not own it",
                  domain.id, mfn, level);
        return Errno::kEINVAL;
    }
    Frame& frame = frame_at(mfn);
    const Result<> got = get_type(domain, frame, level, budget);
    if (!got.ok()) [[unlikely]]
        put_frame(frame);
    return got;
}

void put_table(Domain& domain, Mfn mfn) {
    Frame& frame = frame_at(mfn);
    put_type(domain, frame);
    put_frame(frame);
}

void abandon_partial(Domain& domain, Frame& frame) {
    BUG_ON(!frame.type_word().partial());
    push_undo(domain, frame);
}

Result<> finish_undo(Domain& domain, Budget& budget) {
    while (domain.undo_first != 0) {
        Frame& frame = frame_at(Mfn(domain.undo_first));
        const FrameType type = frame.type_word().type();
        domain.undo_first = frame.stamp();
        const unsigned held =
            give_up_entries(domain, frame, table_level(type), frame.validated_entries, budget);
        if (held != 0) {
            frame.validated_entries = static_cast<uint16_t>(held);
            push_undo(domain, frame);
            return Errno::kERESTART;
        }
        frame.validated_entries = 0;
        give_up_type(frame, type);
        put_frame(frame);
    }
    return {};
}

Result<> pin_table(Domain& domain, Mfn mfn, unsigned level, Budget& budget) {
    TRY(get_table(domain, mfn, level, budget));
    Frame& frame = frame_at(mfn);
    const uint64_t before = frame.type.fetch_or(TypeWord::kPinned, std::memory_order_relaxed);
    if (TypeWord{before}.pinned()) {
        log_guest(LogLevel::kInfo, "d{} frame {x} is pinned already", domain.id, mfn);
        put_table(domain, mfn);
        return Errno::kEINVAL;
    }
    return {};
}

Result<> unpin_table(Domain& domain, Mfn mfn) {
    if (!frame_exists(mfn)) return Errno::kEINVAL;
    Frame& frame = frame_at(mfn);
    // The pin holds the frame, also one that the domain has given up since, whose owner it stays until then.
    if (frame.owner() != domain.id || !frame.type_word().pinned()) {
        log_guest(LogLevel::kInfo, "d{} frame {x} is not pinned", domain.id, mfn);
        return Errno::kEINVAL;
    }
    frame.type.fetch_and(~TypeWord::kPinned, std::memory_order_relaxed);
    put_table(domain, mfn);
    return {};
}

Result<> get_l1_target(Domain& holder, Domain& owner, Pte& entry) {
    TRY(apply_flag_rules(kL1Rules, entry));
    const Mfn mfn = entry.mfn();
    if (!frame_exists(mfn) || frame_at(mfn).owner() == kOwnerIo) return get_io_target(holder, entry);
    if ((entry.raw & kPteCacheAttributes) != 0 && !holder.privileged) [[unlikely]] {
        log_guest(LogLevel::kInfo,
                  "d{} page-table entry {x} refused: cache attributes of RAM are not the guest's", holder.id,
                  entry.raw);
        return Errno::kEINVAL;
    }
    if (!get_frame(mfn, owner.id)) [[unlikely]] {
        log_guest(LogLevel::kInfo, "d{} may not map frame {x}: d{} does not own it", holder.id, mfn,
                  owner.id);
        return Errno::kEBUSY;
    }
    if (!entry.writable() || get_writable(frame_at(mfn))) [[likely]]
        return {};
    log_guest(LogLevel::kInfo, "d{} may not map frame {x} writable: it is of type {}", holder.id, mfn,
              frame_at(mfn).type_word().type());
    put_frame(frame_at(mfn));
    return Errno::kEBUSY;
}

void put_l1_target(const Domain& holder, Pte entry) {
    const Mfn mfn = entry.mfn();
    if (!frame_exists(mfn)) return;
    Frame& frame = frame_at(mfn);
    const DomId owner = frame.owner();
    if (owner == kOwnerIo) return;
    if (owner != holder.id) note_foreign_translation(frame, entry.writable());
    if (entry.writable()) put_writable(frame);
    put_frame(frame);
}

void put_l1_target_to_be_flushed(Pte entry) {
    Frame& frame = frame_at(entry.mfn());
    if (entry.writable()) put_writable(frame);
    put_frame(frame);
}

}  // namespace torii::pv
