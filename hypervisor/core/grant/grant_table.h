// Grants of one domain: what it lets others use, and what it uses of others.
//
// REFERENCES
//   A pin is one use of an entry: the host part of a map, its device part, one end of a running copy. Each
//   pin holds a general reference on the frame, and a pin for writing a kWritable type reference as well.
//   Marks in the guest's entry say what pins there are: "reading" while there are any, "writing" while one of
//   them is for writing. The page-table entry that a map makes is an entry like any other: it holds
//   references of its own, and whoever clears it (the unmap, the guest itself by mmu_update, the end of its
//   table) gives these back. So nothing that a guest does to its page tables can make the counts wrong, and
//   the pin keeps the frame, and its type, from before the first translation could exist until after the
//   flush that ends the last one. A handle records where its page-table entry lies. A guest can't make a
//   second entry for the same frame out of the first, because each new one needs the frame's ownership or a
//   grant: so once the recorded place doesn't map the frame any more, nothing of that map is left but stale
//   translations, which the unmap flushes.
//
// LIFE
//   The frames of the table belong to the domain (core/domain/grants.h) and are mapped by it. A dying domain
//   closes its table entry by entry: there are no new pins from then on, existing ones end without touching
//   the guest's pages. The object itself lives as long as the domain, that is until the last pin is gone:
//   pins hold frames, frames hold the domain.
//
// LOCKS
//   Each entry has its own (LockRank::kGrantTable), held for the few accesses that change its state; the
//   table's own only guards growth. No caller holds a lock of that rank or lower.
#pragma once

#include <atomic>

#include "base/lock.h"
#include "base/result.h"
#include "core/grant/entry.h"
#include "core/grant/maptrack.h"
#include "core/memory/frame_table.h"

namespace torii {

class GrantTable {
    struct ActiveEntry {
        Spinlock lock{LockRank::kGrantTable};
        DomId user{};          // while pinned: who
        uint32_t frame = 0;    // while pinned: which
        uint32_t readers = 0;  // pins for reading only
        uint32_t writers = 0;  // pins for writing, and kClosed

        static constexpr uint32_t kClosed = uint32_t{1} << 31;
        [[nodiscard]] bool closed() const { return (writers & kClosed) != 0; }
        [[nodiscard]] bool written() const { return (writers & ~kClosed) != 0; }
        [[nodiscard]] bool pinned() const { return readers != 0 || written(); }
        // Neither pinned nor closed.
        [[nodiscard]] bool idle() const { return (readers | writers) == 0; }
    };
    static_assert(sizeof(ActiveEntry) == 16);
    struct Page {
        SharedGrantEntry* shared = nullptr;
        ActiveEntry* active = nullptr;
    };
    struct Place {
        SharedGrantEntry* shared = nullptr;
        ActiveEntry* active = nullptr;
    };

public:
    GrantTable() = default;
    GrantTable(const GrantTable&) = delete;
    ~GrantTable();

    // Before use: the owner, and the limits that the domain was created with, in pages.
    [[nodiscard]] Result<> create(DomId owner, uint32_t frame_limit, uint32_t maptrack_frame_limit);

    // --- the table's pages ---
    [[nodiscard]] uint32_t frame_limit() const { return frame_limit_; }
    [[nodiscard]] uint32_t frame_count() const { return frame_count_.load(std::memory_order_acquire); }
    // So many of them, from the first on, the table has closed and let go of.
    [[nodiscard]] uint32_t closed_frame_count() const { return close_cursor_; }
    // Page `index`, which is below frame_count().
    [[nodiscard]] Mfn frame(uint32_t index) const;
    // Adds a zeroed page, directly mapped and shared with the owner; the table keeps that share until
    // close(). ENOSPC at the limit, ENOMEM, ESRCH when closed.
    [[nodiscard]] Result<> add_frame(Mfn page);

    // --- use by others ---
    class Pin;
    // Pins the grant for `user`. kBadGntref: no such entry; kGeneralError: it doesn't permit this; kBadPage:
    // it names no frame of the owner. Otherwise `pin` is as it was.
    [[nodiscard]] abi::GrantStatus pin(GrantRef ref, DomId user, GrantAccess access, Pin& pin);
    // Ends one pin of that kind. The frame may be gone afterwards, and if it was a dying owner's last, the
    // owner: the caller holds a reference on it. By the reference: for whoever has kept no more.
    static void unpin(const Pin& pin, GrantAccess access);
    void unpin(GrantRef ref, GrantAccess access);
    // Both, inlined (core/grant/pinning.h), for GNTTABOP_copy, which pins another page with each element.
    [[nodiscard]] abi::GrantStatus pin_inlined(GrantRef ref, DomId user, GrantAccess access, Pin& pin);
    static void unpin_inlined(const Pin& pin, GrantAccess access);
    // The frame of a grant of the owner to itself, for a call of its own: with a reference, and for writing
    // a kWritable type reference as well. No pin: it could name the frame instead, and what it does to its
    // own pages meanwhile is its own business. Errors as of `pin`. Inlined like those.
    [[nodiscard]] abi::GrantStatus take_own(GrantRef ref, GrantAccess access, Frame*& frame) const;
    // The frame of a grant that the caller has pinned.
    [[nodiscard]] Frame& pinned_frame(GrantRef ref) const;

    // A frame of `from` is to arrive through this entry. kBadGntref: it isn't meant for that.
    [[nodiscard]] abi::GrantStatus begin_transfer(GrantRef ref, DomId from);
    // It has arrived, or won't (kInvalidMfn). After begin_transfer; a table that was closed meanwhile is left
    // alone.
    void end_transfer(GrantRef ref, Mfn frame);
    // Exchanges two entries. kBadGntref; kEagain: one of them is pinned.
    [[nodiscard]] abi::GrantStatus swap(GrantRef a, GrantRef b);

    // --- the end ---
    // Closes the next page's worth of entries and returns that page, whose share is now the caller's to give
    // up; kInvalidMfn when all are closed.
    [[nodiscard]] Mfn close_one_frame();

    // A grant that is pinned; good until it is unpinned.
    class Pin {
    public:
        // Null before the first that was pinned into this.
        [[nodiscard]] Frame* frame() const { return frame_; }

    private:
        friend GrantTable;
        Place place_;
        Frame* frame_ = nullptr;
    };

    // What the owner has mapped.
    Maptrack handles;
    // Where releasing the handles of a dying owner goes on.
    uint32_t release_cursor = 0;

private:
    [[nodiscard]] bool locate(GrantRef ref, Place& place) const;
    static void clear_unjustified_marks(Place place);
    // The same, after a pin that failed.
    [[gnu::cold]] static void withdraw_marks(Place place);

    DomId owner_{};
    uint32_t frame_limit_ = 0;
    Page* pages_ = nullptr;  // frame_limit_ places, filled from the front
    std::atomic<uint32_t> frame_count_{0};
    Spinlock growth_lock_{LockRank::kGrantTable};
    bool closed_ = false;  // under growth_lock_
    uint32_t close_cursor_ = 0;
};

}  // namespace torii
