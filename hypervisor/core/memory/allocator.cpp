#include "core/memory/allocator.h"

#include "base/lock.h"
#include "core/memory/frame_table.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii {
namespace {

// Marks in the type word of the first frame of a free block; no frame in use has a word like these.
constexpr uint64_t kFreeHead = uint64_t{1} << 57;
constexpr uint64_t kDirty = uint64_t{1} << 56;

struct FreeList {
    uint32_t first = 0;
    uint32_t last = 0;
};

class Allocator {
public:
    constexpr Allocator() = default;

    // `stays_clean`: it has just been scrubbed, which would be lost in a merger with a dirty one.
    void add_block(Mfn first, unsigned order, bool dirty, bool stays_clean = false) {
        const Zone zone = zone_of(first);
        change_free(uint64_t{1} << order);
        // Merge with the buddy as long as there is one; the merged block is dirty if either half is.
        while (order < kMaxOrder) {
            const Mfn buddy(first.raw() ^ (uint64_t{1} << order));
            if (!is_free_block(buddy, order) || zone_of(buddy) != zone) break;
            if (stays_clean && is_dirty(buddy)) break;
            dirty = dirty || is_dirty(buddy);
            unlink(buddy, order);
            if (buddy < first) first = buddy;
            ++order;
        }
        link(first, order, dirty);
    }

    Result<Mfn> take(unsigned order, const AllocationWish& wish, bool& dirty) {
        if (order > kMaxOrder) return Errno::kEINVAL;
        if (must_fail()) [[unlikely]]
            return Errno::kENOMEM;
        for (unsigned zone = kZones; zone-- > 0;) {
            if (wish.directly_mapped && zone == static_cast<unsigned>(Zone::kHigh)) continue;
            // All of this zone lies above 4 GiB.
            if (wish.address_bits <= 32 && zone == static_cast<unsigned>(Zone::kDirect)) continue;
            for (unsigned have = order; have <= kMaxOrder; ++have) {
                const Mfn block = find(zone, have, order, wish.address_bits);
                if (block == kInvalidMfn) continue;
                dirty = is_dirty(block);
                unlink(block, have);
                change_free(-(uint64_t{1} << have));
                split_down(block, have, order, dirty);
                return block;
            }
        }
        return Errno::kENOMEM;
    }

    // Counts the allocation that is asked for.
    bool must_fail() {
        if (!failures_armed_) [[likely]]
            return false;
        if (successes_left_ == 0) refused_ = true;
        if (successes_left_ != 0) --successes_left_;
        return refused_;
    }

    bool scrub_some(uint64_t most_frames);

    Spinlock lock{LockRank::kHeap};
    std::atomic<uint64_t> free_{0};
    uint64_t successes_left_ = 0;
    bool failures_armed_ = false;
    bool refused_ = false;

private:
    static Zone zone_of(Mfn mfn) {
        if (!directly_mapped(mfn)) return Zone::kHigh;
        return mfn.raw() < (uint64_t{1} << 20) ? Zone::kLow : Zone::kDirect;
    }
    static uint64_t type_raw(Mfn mfn) { return frame_at(mfn).type.load(std::memory_order_relaxed); }
    static bool is_dirty(Mfn mfn) { return (type_raw(mfn) & kDirty) != 0; }
    static bool is_free_block(Mfn mfn, unsigned order) {
        if (!frame_exists(mfn)) return false;
        const Frame& frame = frame_at(mfn);
        // What is not free may change while we look: its owner was set before its type, so the type is looked
        // at first.
        if ((frame.type.load(std::memory_order_acquire) & kFreeHead) == 0) return false;
        return frame.owner() == kOwnerNone && frame.validated_entries == order;
    }

    // The first block of order `have` whose lowest piece of order `order` fits the address limit.
    Mfn find(unsigned zone, unsigned have, unsigned order, unsigned address_bits) const {
        const uint32_t first = lists_[zone][have].first;
        if (address_bits >= 52) return first != 0 ? Mfn(first) : kInvalidMfn;
        const uint64_t limit = uint64_t{1} << (address_bits > kPageShift ? address_bits - kPageShift : 0);
        for (uint32_t at = first; at != 0; at = frame_at(Mfn(at)).next) {
            if (at + (uint64_t{1} << order) <= limit) return Mfn(at);
        }
        return kInvalidMfn;
    }

    // Keeps the lowest piece of order `want`, frees the rest.
    void split_down(Mfn block, unsigned have, unsigned want, bool dirty) {
        while (have > want) {
            --have;
            link(block + (uint64_t{1} << have), have, dirty);
            change_free(uint64_t{1} << have);
        }
    }

    // Under the lock; who only wants to know needs none.
    void change_free(uint64_t difference) {
        free_.store(free_.load(std::memory_order_relaxed) + difference, std::memory_order_relaxed);
    }

    // Clean blocks go to the front of their list and dirty ones to the back, so that clean ones are used
    // first.
    void link(Mfn mfn, unsigned order, bool dirty) {
        Frame& frame = frame_at(mfn);
        FreeList& list = lists_[static_cast<unsigned>(zone_of(mfn))][order];
        const auto self = static_cast<uint32_t>(mfn.raw());
        frame.type.store(kFreeHead | (dirty ? kDirty : 0), std::memory_order_relaxed);
        frame.validated_entries = static_cast<uint16_t>(order);
        frame.previous = dirty ? list.last : 0;
        frame.next = dirty ? 0 : list.first;
        (frame.previous != 0 ? frame_at(Mfn(frame.previous)).next : list.first) = self;
        (frame.next != 0 ? frame_at(Mfn(frame.next)).previous : list.last) = self;
    }

    void unlink(Mfn mfn, unsigned order) {
        Frame& frame = frame_at(mfn);
        FreeList& list = lists_[static_cast<unsigned>(zone_of(mfn))][order];
        (frame.previous != 0 ? frame_at(Mfn(frame.previous)).next : list.first) = frame.next;
        (frame.next != 0 ? frame_at(Mfn(frame.next)).previous : list.last) = frame.previous;
        frame.type.store(0, std::memory_order_relaxed);
        frame.validated_entries = 0;
        frame.next = frame.previous = 0;
    }

    FreeList lists_[kZones][kMaxOrder + 1]{};
};

constinit Allocator allocator;

}  // namespace

bool Allocator::scrub_some(uint64_t most_frames) {
    for (auto& zone : lists_) {
        for (unsigned order = 0; order <= kMaxOrder; ++order) {
            const uint32_t last = zone[order].last;
            if (last == 0 || !is_dirty(Mfn(last))) continue;
            const Mfn block(last);
            unlink(block, order);
            unsigned piece = order;
            while ((uint64_t{1} << piece) > most_frames) {
                --piece;
                link(block + (uint64_t{1} << piece), piece, true);
            }
            for (uint64_t i = 0; i < (uint64_t{1} << piece); ++i)
                zero_frame(block + i);
            change_free(-(uint64_t{1} << piece));
            add_block(block, piece, false, true);
            return true;
        }
    }
    return false;
}

void allocator_add(Mfn first, uint64_t count, bool dirty) {
    const LockGuard guard(allocator.lock);
    while (count != 0) {
        unsigned order = 0;
        while (order < kMaxOrder && (first.raw() & ((uint64_t{2} << order) - 1)) == 0 &&
               (uint64_t{2} << order) <= count)
            ++order;
        allocator.add_block(first, order, dirty);
        first += uint64_t{1} << order;
        count -= uint64_t{1} << order;
    }
}

Result<Mfn> allocate_frames(unsigned order, AllocationWish wish) {
    bool dirty = false;
    Mfn block{};
    {
        const LockGuard guard(allocator.lock);
        block = TRY(allocator.take(order, wish, dirty));
    }
    for (uint64_t i = 0; i < (uint64_t{1} << order); ++i) {
        flush_before_next_owner(frame_at(block + i));
        if (dirty && !wish.keep_content) zero_frame(block + i);
    }
    return block;
}

void free_frames(Mfn first, unsigned order, bool dirty) {
    for (uint64_t i = 0; i < (uint64_t{1} << order); ++i) {
        Frame& frame = frame_at(first + i);
        BUG_ON(frame.references() != 0);
        frame.count.store(CountWord::of(frame.rememberers()), std::memory_order_relaxed);
        frame.type.store(0, std::memory_order_relaxed);
        frame.set_owner(kOwnerNone);
        frame.validated_entries = 0;
        frame.next = frame.previous = 0;
    }
    const LockGuard guard(allocator.lock);
    allocator.add_block(first, order, dirty);
}

uint64_t free_frame_count() {
    return allocator.free_.load(std::memory_order_relaxed);
}

bool scrub_some(uint64_t most_frames) {
    const LockGuard guard(allocator.lock);
    return allocator.scrub_some(most_frames);
}

void fail_allocation_after(uint64_t successes) {
    const LockGuard guard(allocator.lock);
    allocator.failures_armed_ = true;
    allocator.refused_ = false;
    allocator.successes_left_ = successes;
}
void stop_failing_allocations() {
    const LockGuard guard(allocator.lock);
    allocator.failures_armed_ = false;
}
bool allocation_was_refused() {
    return allocator.refused_;
}
bool allocation_must_fail() {
    if (!allocator.failures_armed_) [[likely]]
        return false;
    const LockGuard guard(allocator.lock);
    return allocator.must_fail();
}

}  // namespace torii
