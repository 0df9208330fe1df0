// Pins of grants, inlined, with the access a constant: GNTTABOP_copy makes and ends one for nearly every
// element, and a network backend has some hundred elements for each MiB. What they promise is said in
// grant_table.h.
#pragma once

#include "base/bounded_index.h"
#include "core/grant/grant_table.h"
#include "core/memory/frame_references.h"

namespace torii {

[[gnu::always_inline]] inline bool GrantTable::locate(GrantRef ref, Place& place) const {
    const uint64_t entries = uint64_t{frame_count()} * kGrantEntriesPerFrame;
    if (ref.raw() >= entries) [[unlikely]]
        return false;
    const uint64_t index = bounded(ref.raw(), entries);
    const Page& page = pages_[index / kGrantEntriesPerFrame];
    place = {page.shared + index % kGrantEntriesPerFrame, page.active + index % kGrantEntriesPerFrame};
    return true;
}

// Under the entry's lock: takes away the marks that no pin stands for.
[[gnu::always_inline]] inline void GrantTable::clear_unjustified_marks(Place place) {
    const ActiveEntry& active = *place.active;
    // Pinned for writing, or closed.
    if (active.writers != 0) [[unlikely]]
        return;
    constexpr uint16_t kBoth = abi::kGtfReading | abi::kGtfWriting;
    clear_marks(*place.shared, active.readers != 0 ? abi::kGtfWriting : kBoth);
}

[[gnu::always_inline]] inline abi::GrantStatus GrantTable::pin_inlined(GrantRef ref, DomId user,
                                                                       GrantAccess access, Pin& pin) {
    using abi::GrantStatus;
    Place place;
    if (!locate(ref, place)) [[unlikely]]
        return GrantStatus::kBadGntref;
    ActiveEntry& active = *place.active;
    LockGuard guard(active.lock);
    const bool pinned = !active.idle();
    if (pinned) [[unlikely]] {
        if (active.closed()) return GrantStatus::kBadGntref;
        if (active.user != user) return GrantStatus::kGeneralError;
    }
    const GrantStatus marked = mark_entry(*place.shared, user, access);
    if (marked != GrantStatus::kOkay) [[unlikely]]
        return marked;

    // As long as there are pins they are all of one frame, whatever the guest writes into its entry.
    const Mfn mfn = pinned ? Mfn(active.frame) : marked_frame(*place.shared);
    if (!inlined::get_frame(mfn, owner_)) [[unlikely]] {
        withdraw_marks(place);
        return GrantStatus::kBadPage;
    }
    Frame& frame = frame_at(mfn);
    if (access == GrantAccess::kWrite && !inlined::get_writable(frame)) [[unlikely]] {
        withdraw_marks(place);
        // Giving a last reference back takes locks of higher rank.
        guard.unlock();
        put_frame(frame);
        return GrantStatus::kGeneralError;
    }
    active.user = user;
    write_once(active.frame, static_cast<uint32_t>(mfn.raw()));  // as it is, when others have pinned it too
    ++(access == GrantAccess::kWrite ? active.writers : active.readers);
    pin.place_ = place;
    pin.frame_ = &frame;
    return GrantStatus::kOkay;
}

[[gnu::always_inline]] inline void GrantTable::unpin_inlined(const Pin& pin, GrantAccess access) {
    ActiveEntry& active = *pin.place_.active;
    LockGuard guard(active.lock);
    if (access == GrantAccess::kWrite) {
        BUG_ON(!active.written());
        --active.writers;
        // Before the mark goes: a guest that sees it gone may at once make the frame a page table.
        inlined::put_writable(*pin.frame_);
    } else {
        BUG_ON(active.readers == 0);
        --active.readers;
    }
    clear_unjustified_marks(pin.place_);
    guard.unlock();
    inlined::put_frame(*pin.frame_);
}

[[gnu::always_inline]] inline abi::GrantStatus GrantTable::take_own(GrantRef ref, GrantAccess access,
                                                                    Frame*& frame) const {
    using abi::GrantStatus;
    Place place;
    if (!locate(ref, place)) [[unlikely]]
        return GrantStatus::kBadGntref;
    if (!permits(read_once(place.shared->flags_and_domid), owner_, access)) [[unlikely]]
        return GrantStatus::kGeneralError;
    const Mfn mfn = marked_frame(*place.shared);
    if (!inlined::get_frame(mfn, owner_)) [[unlikely]]
        return GrantStatus::kBadPage;
    Frame& taken = frame_at(mfn);
    if (access == GrantAccess::kWrite && !inlined::get_writable(taken)) [[unlikely]] {
        put_frame(taken);
        return GrantStatus::kGeneralError;
    }
    frame = &taken;
    return GrantStatus::kOkay;
}

}  // namespace torii
