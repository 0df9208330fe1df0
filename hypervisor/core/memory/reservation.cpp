#include "core/memory/reservation.h"

#include "base/once.h"
#include "core/memory/m2p.h"
#include "port/machine.h"

namespace torii {
namespace {

// --- the list, under its domain's page_list_lock. `next` ends with zero; `previous` of the first frame is
// the last one. ---

uint32_t index_of(const Frame& frame) {
    return static_cast<uint32_t>(mfn_of(frame).raw());
}
Frame& at(uint32_t index) {
    return frame_at(Mfn(index));
}

void link_first(Domain& domain, Frame& frame) {
    const uint32_t self = index_of(frame);
    frame.next = domain.first_frame;
    frame.previous = self;
    if (frame.next != 0) {
        frame.previous = at(frame.next).previous;
        at(frame.next).previous = self;
    }
    domain.first_frame = self;
}

void link_last(Domain& domain, Frame& frame) {
    if (domain.first_frame == 0) return link_first(domain, frame);
    const uint32_t self = index_of(frame);
    Frame& first = at(domain.first_frame);
    frame.next = 0;
    frame.previous = first.previous;
    at(first.previous).next = self;
    first.previous = self;
}

void unlink(Domain& domain, Frame& frame) {
    const uint32_t self = index_of(frame);
    if (domain.first_frame == self) {
        domain.first_frame = frame.next;
    } else {
        at(frame.previous).next = frame.next;
    }
    if (frame.next != 0) {
        at(frame.next).previous = frame.previous;
    } else if (domain.first_frame != 0) {
        at(domain.first_frame).previous = frame.previous;
    }
    frame.next = frame.previous = 0;
}

bool is_held_by_owner(uint64_t count) {
    return (count & CountWord::kAllocated) != 0 && (count & kSharedByHypervisor) == 0;
}

// Whether the domain may own `more` frames.
Result<> check_room(const Domain& domain, uint64_t more) {
    if (domain.life.load(std::memory_order_relaxed) >= Life::kDying) return Errno::kESRCH;
    if (domain.frame_count > domain.frame_limit || more > domain.frame_limit - domain.frame_count)
        return Errno::kENOMEM;
    return {};
}

void adopt(Domain& domain, Frame& frame) {
    frame.set_owner(domain.id);
    frame.validated_entries = 0;
    frame.type.store(0, std::memory_order_relaxed);
    link_first(domain, frame);
    write_once(domain.frame_count, domain.frame_count + 1);
    // Last: from here on others may take references, and rely on what is above.
    frame.count.store(CountWord::kAllocated | CountWord::of(Rememberers::only(domain.id)) | 1,
                      std::memory_order_release);
}

void free_frame_of_domain(Frame& frame) {
    const Mfn mfn = mfn_of(frame);
    m2p_clear(mfn);
    frame.set_stamp(take_flush_stamp());
    free_frames(mfn, 0, true);
}

}  // namespace

Result<Mfn> allocate_domain_frames(Domain& domain, unsigned order, AllocationWish wish) {
    const uint64_t count = uint64_t{1} << order;
    {
        // Looked at before memory is taken and scrubbed in vain; what counts is the second look.
        const LockGuard guard(domain.page_list_lock);
        TRY(check_room(domain, count));
    }
    const Mfn first = TRY(allocate_frames(order, wish));
    LockGuard guard(domain.page_list_lock);
    const Result<> room = check_room(domain, count);
    if (!room.ok()) {
        guard.unlock();
        free_frames(first, order, wish.keep_content);
        return room.error();
    }
    // Backwards, so that the list begins with the lowest.
    for (uint64_t i = count; i-- > 0;)
        adopt(domain, frame_at(first + i));
    return first;
}

Result<> give_up_frame(Domain& domain, Mfn mfn) {
    const FrameRef frame = FrameRef::take(mfn, domain.id);
    if (!frame) return Errno::kEINVAL;
    {
        const LockGuard guard(domain.page_list_lock);
        if (!is_held_by_owner(frame->count.load(std::memory_order_relaxed))) return Errno::kEINVAL;
        frame->count.fetch_and(~CountWord::kAllocated, std::memory_order_acq_rel);
        unlink(domain, *frame);
        link_last(domain, *frame);
    }
    m2p_clear(mfn);
    put_frame(*frame);
    return {};
}

Result<Mfn> allocate_shared_frame(Domain& domain) {
    const Mfn mfn = TRY(allocate_frames(0, {.directly_mapped = true}));
    Frame& frame = frame_at(mfn);
    LockGuard guard(domain.page_list_lock);
    if (domain.life.load(std::memory_order_relaxed) >= Life::kDying) {
        guard.unlock();
        free_frames(mfn, 0, false);
        return Errno::kESRCH;
    }
    frame.set_owner(domain.id);
    // The hypervisor writes to it, so it must never be a table whose content was checked.
    frame.type.store(TypeWord::of(FrameType::kWritable, 1, 0).raw, std::memory_order_relaxed);
    link_last(domain, frame);
    frame.count.store(
        CountWord::kAllocated | kSharedByHypervisor | CountWord::of(Rememberers::only(domain.id)) | 1,
        std::memory_order_release);
    return mfn;
}

void stop_sharing_frame(Mfn mfn) {
    if (mfn == Mfn{}) return;  // never was: its owner is half-built
    Frame& frame = frame_at(mfn);
    const uint64_t before = frame.count.fetch_and(~CountWord::kAllocated, std::memory_order_acq_rel);
    constexpr uint64_t kBoth = CountWord::kAllocated | kSharedByHypervisor;
    BUG_ON((before & kBoth) != kBoth);
    put_writable(frame);
    put_frame(frame);
}

Frame* first_held_frame(Domain& domain) {
    const LockGuard guard(domain.page_list_lock);
    if (domain.first_frame == 0) return nullptr;
    Frame& frame = at(domain.first_frame);
    return is_held_by_owner(frame.count.load(std::memory_order_relaxed)) ? &frame : nullptr;
}

Frame* next_frame_in_turn(Domain& domain) {
    const LockGuard guard(domain.page_list_lock);
    if (domain.first_frame == 0) return nullptr;
    Frame& frame = at(domain.first_frame);
    unlink(domain, frame);
    link_last(domain, frame);
    return &frame;
}

uint64_t give_up_some_frames(Domain& domain, uint64_t most) {
    for (uint64_t given_up = 0; given_up < most; ++given_up) {
        Frame* frame = nullptr;
        {
            const LockGuard guard(domain.page_list_lock);
            if (domain.first_frame == 0) return given_up;
            frame = &at(domain.first_frame);
            if (!is_held_by_owner(frame->count.load(std::memory_order_relaxed))) return given_up;
            frame->count.fetch_and(~CountWord::kAllocated, std::memory_order_acq_rel);
            unlink(domain, *frame);
            link_last(domain, *frame);
        }
        put_frame(*frame);
    }
    return most;
}

void finish_domain_frames(Domain& domain) {
    bool none_left = false;
    {
        // The state changes under the lock under which release_frame looks at it, so that exactly one of the
        // two sees the end.
        const LockGuard guard(domain.page_list_lock);
        domain.life.store(Life::kDead, std::memory_order_release);
        none_left = domain.first_frame == 0;
    }
    if (none_left) put_domain(domain);
}

Result<> steal_frame(Domain& domain, Mfn mfn) {
    FrameRef held = FrameRef::take(mfn, domain.id);
    if (!held) return Errno::kEINVAL;
    Frame& frame = *held;
    {
        const LockGuard guard(domain.page_list_lock);
        uint64_t seen = frame.count.load(std::memory_order_relaxed);
        uint64_t left = 0;
        do {
            // The owner's reference and this one; anybody who maps or pins the frame holds another.
            constexpr uint64_t kMarks = CountWord::kRememberers | CountWord::kForeignWriter;
            if ((seen & ~kMarks) != (CountWord::kAllocated | 2)) return Errno::kEBUSY;
            left = seen & CountWord::kRememberers;
        } while (!frame.count.compare_exchange_weak(seen, left, std::memory_order_acq_rel,
                                                    std::memory_order_relaxed));
        (void)held.release();
        // With no reference left, nobody holds a type either.
        BUG_ON(frame.type_word().count() != 0);
        unlink(domain, frame);
        write_once(domain.frame_count, domain.frame_count - 1);
    }
    frame.set_stamp(take_flush_stamp());
    return {};
}

Result<> assign_frame(Domain& domain, Mfn mfn, bool limit_applies) {
    Frame& frame = frame_at(mfn);
    BUG_ON((frame.count.load(std::memory_order_relaxed) & ~CountWord::kRememberers) != 0);
    flush_before_next_owner(frame);
    const LockGuard guard(domain.page_list_lock);
    const Result<> room = check_room(domain, 1);
    if (room.error() == Errno::kESRCH || (limit_applies && !room.ok())) return room.error();
    adopt(domain, frame);
    return {};
}

void free_stolen_frame(Mfn mfn) {
    free_frame_of_domain(frame_at(mfn));
}

void release_frame(Frame& frame) {
    const DomId owner = frame.owner();
    // What devices and firmware own is referred to like other memory, but never freed.
    if (owner == kOwnerIo) return;
    BUG_ON(owner == kOwnerXen || owner == kOwnerNone);
    // Each type reference comes with a general one, so none of either is left.
    BUG_ON(frame.type_word().count() != 0);
    const DomainRef domain(find_domain(owner));
    // A domain stays in the registry as long as a frame is in its list.
    BUG_ON(!domain);
    bool was_last = false;
    {
        const LockGuard guard(domain->page_list_lock);
        const bool counted = (frame.count.load(std::memory_order_relaxed) & kSharedByHypervisor) == 0;
        unlink(*domain, frame);
        if (counted) write_once(domain->frame_count, domain->frame_count - 1);
        was_last = domain->first_frame == 0 && domain->life.load(std::memory_order_relaxed) == Life::kDead;
    }
    free_frame_of_domain(frame);
    if (was_last) put_domain(*domain);
}

}  // namespace torii
