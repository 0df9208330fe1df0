#include "core/grant/grant_table.h"

#include <new>

#include "base/scope_guard.h"
#include "core/grant/pinning.h"
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

GrantStatus GrantTable::pin(GrantRef ref, DomId user, GrantAccess access, Pin& pin) {
    return pin_inlined(ref, user, access, pin);
}

void GrantTable::unpin(const Pin& pin, GrantAccess access) {
    unpin_inlined(pin, access);
}

void GrantTable::withdraw_marks(Place place) {
    clear_unjustified_marks(place);
}

void GrantTable::unpin(GrantRef ref, GrantAccess access) {
    Pin pin;
    BUG_ON(!locate(ref, pin.place_));
    pin.frame_ = &frame_at(Mfn(read_once(pin.place_.active->frame)));
    unpin(pin, access);
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
    if (place.active->pinned() || place.active->closed()) return GrantStatus::kBadGntref;
    return commit_transfer(*place.shared, from);
}

void GrantTable::end_transfer(GrantRef ref, Mfn frame) {
    Place place;
    BUG_ON(!locate(ref, place));
    const LockGuard guard(place.active->lock);
    if (place.active->closed()) return;
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
    if (place_a.active->closed() || place_b.active->closed()) return GrantStatus::kBadGntref;
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
        page.active[i].writers |= ActiveEntry::kClosed;
    }
    const Mfn closed = direct_frame(page.shared);
    put_writable(frame_at(closed));
    ++close_cursor_;
    return closed;
}

}  // namespace torii
