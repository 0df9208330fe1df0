#include "core/grant/grant_table.h"

#include <new>

#include "base/bounded_index.h"
#include "base/scope_guard.h"
#include "core/memory/heap.h"
#include "port/frames.h"

namespace torii {

using abi::GrantStatus;

GrantTable::~GrantTable() {
    for (uint32_t i = 0; i < frame_count(); ++i)
        heap_free(pages_[i].active);
    heap_free(pages_);
}

Result<> GrantTable::create(DomId owner, uint32_t frame_limit, uint32_t maptrack_frame_limit) {
    ASSERT(pages_ == nullptr);
    // Entries are numbered with 32 bits.
    if (frame_limit > ~uint32_t{0} / kGrantEntriesPerFrame) return Errno::kEINVAL;
    owner_ = owner;
    TRY(handles.create(maptrack_frame_limit));
    if (frame_limit == 0) return {};
    auto* const places = static_cast<Page*>(TRY(heap_allocate(frame_limit * sizeof(Page))));
    for (uint32_t i = 0; i < frame_limit; ++i)
        new (places + i) Page;
    pages_ = places;
    frame_limit_ = frame_limit;
    return {};
}

Mfn GrantTable::frame(uint32_t index) const {
    return direct_frame(pages_[index].shared);
}

Result<> GrantTable::add_frame(Mfn page) {
    auto* const active =
        static_cast<ActiveEntry*>(TRY(heap_allocate(kGrantEntriesPerFrame * sizeof(ActiveEntry))));
    ScopeGuard undo([&] { heap_free(active); });
    for (uint32_t i = 0; i < kGrantEntriesPerFrame; ++i)
        new (active + i) ActiveEntry;

    const LockGuard guard(growth_lock_);
    if (closed_) return Errno::kESRCH;
    const uint32_t count = frame_count_.load(std::memory_order_relaxed);
    if (count == frame_limit_) return Errno::kENOSPC;
    // The guest must not make a page table of what the hypervisor writes marks into.
    if (!get_writable(frame_at(page))) return Errno::kEINVAL;
    pages_[count] = {static_cast<SharedGrantEntry*>(direct_address(page)), active};
    frame_count_.store(count + 1, std::memory_order_release);
    undo.dismiss();
    return {};
}

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
void GrantTable::clear_unjustified_marks(Place place) {
    const ActiveEntry& active = *place.active;
    if (active.writers != 0 || active.closed != 0) return;
    constexpr uint16_t kBoth = abi::kGtfReading | abi::kGtfWriting;
    clear_marks(*place.shared, active.readers != 0 ? abi::kGtfWriting : kBoth);
}

GrantStatus GrantTable::pin(GrantRef ref, DomId user, GrantAccess access, Pin& pin) {
    Place place;
    if (!locate(ref, place)) [[unlikely]]
        return GrantStatus::kBadGntref;
    ActiveEntry& active = *place.active;
    FrameRef reference;  // outlives the guard: giving a last reference back takes locks of higher rank
    const LockGuard guard(active.lock);
    if (active.closed != 0) [[unlikely]]
        return GrantStatus::kBadGntref;
    const bool pinned = active.pinned();
    if (pinned && active.user != user) [[unlikely]]
        return GrantStatus::kGeneralError;
    const GrantStatus marked = mark_entry(*place.shared, user, access);
    if (marked != GrantStatus::kOkay) [[unlikely]]
        return marked;

    // As long as there are pins they are all of one frame, whatever the guest writes into its entry.
    const Mfn mfn = pinned ? Mfn(active.frame) : marked_frame(*place.shared);
    reference = FrameRef::take(mfn, owner_);
    if (!reference || (access == GrantAccess::kWrite && !get_writable(*reference))) [[unlikely]] {
        clear_unjustified_marks(place);
        return reference ? GrantStatus::kGeneralError : GrantStatus::kBadPage;
    }
    active.user = user;
    write_once(active.frame, static_cast<uint32_t>(mfn.raw()));  // as it is, when others have pinned it too
    if (access == GrantAccess::kWrite) {
        active.writers = active.writers + 1;
    } else {
        ++active.readers;
    }
    pin.place_ = place;
    pin.frame_ = reference.release();
    return GrantStatus::kOkay;
}

void GrantTable::unpin(const Pin& pin, GrantAccess access) {
    unpin(pin.place_, access);
}

void GrantTable::unpin(GrantRef ref, GrantAccess access) {
    Place place;
    BUG_ON(!locate(ref, place));
    unpin(place, access);
}

void GrantTable::unpin(Place place, GrantAccess access) {
    ActiveEntry& active = *place.active;
    LockGuard guard(active.lock);
    Frame& frame = frame_at(Mfn(active.frame));
    if (access == GrantAccess::kWrite) {
        BUG_ON(active.writers == 0);
        active.writers = active.writers - 1;
        // Before the mark goes: a guest that sees it gone may at once make the frame a page table.
        put_writable(frame);
    } else {
        BUG_ON(active.readers == 0);
        --active.readers;
    }
    clear_unjustified_marks(place);
    guard.unlock();
    put_frame(frame);
}

GrantStatus GrantTable::take_own(GrantRef ref, GrantAccess access, FrameRef& frame) const {
    Place place;
    if (!locate(ref, place)) [[unlikely]]
        return GrantStatus::kBadGntref;
    if (!permits(read_once(place.shared->flags_and_domid), owner_, access)) [[unlikely]]
        return GrantStatus::kGeneralError;
    frame = FrameRef::take(marked_frame(*place.shared), owner_);
    if (!frame) [[unlikely]]
        return GrantStatus::kBadPage;
    return access == GrantAccess::kRead || get_writable(*frame) ? GrantStatus::kOkay
                                                                : GrantStatus::kGeneralError;
}

Frame& GrantTable::pinned_frame(GrantRef ref) const {
    Place place;
    BUG_ON(!locate(ref, place));
    return frame_at(Mfn(read_once(place.active->frame)));
}

GrantStatus GrantTable::begin_transfer(GrantRef ref, DomId from) {
    Place place;
    if (!locate(ref, place)) return GrantStatus::kBadGntref;
    const LockGuard guard(place.active->lock);
    if (place.active->pinned() || place.active->closed != 0) return GrantStatus::kBadGntref;
    return commit_transfer(*place.shared, from);
}

void GrantTable::end_transfer(GrantRef ref, Mfn frame) {
    Place place;
    BUG_ON(!locate(ref, place));
    const LockGuard guard(place.active->lock);
    if (place.active->closed != 0) return;
    if (frame == kInvalidMfn) {
        cancel_transfer(*place.shared);
    } else {
        complete_transfer(*place.shared, frame);
    }
}

GrantStatus GrantTable::swap(GrantRef a, GrantRef b) {
    Place place_a;
    Place place_b;
    if (!locate(a, place_a) || !locate(b, place_b)) return GrantStatus::kBadGntref;
    const LockBoth guard(place_a.active->lock, place_b.active->lock);
    if (place_a.active->closed != 0 || place_b.active->closed != 0) return GrantStatus::kBadGntref;
    if (place_a.active->pinned() || place_b.active->pinned()) return GrantStatus::kEagain;
    if (a != b) swap_entries(*place_a.shared, *place_b.shared);
    return GrantStatus::kOkay;
}

Mfn GrantTable::close_one_frame() {
    {
        const LockGuard guard(growth_lock_);
        closed_ = true;
    }
    if (close_cursor_ == frame_count()) return kInvalidMfn;
    const Page& page = pages_[close_cursor_];
    for (uint32_t i = 0; i < kGrantEntriesPerFrame; ++i) {
        const LockGuard guard(page.active[i].lock);
        page.active[i].closed = 1;
    }
    const Mfn closed = direct_frame(page.shared);
    put_writable(frame_at(closed));
    ++close_cursor_;
    return closed;
}

}  // namespace torii
