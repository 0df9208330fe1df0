#include "core/memory/heap.h"

#include <bit>
#include <cstring>

#include "base/lock.h"
#include "core/memory/allocator.h"
#include "core/memory/frame_table.h"
#include "port/frames.h"

namespace torii {
namespace {

constexpr unsigned kSmallestShift = 5;
constexpr unsigned kClasses = kPageShift - kSmallestShift;  // 32 .. 2048 bytes

// On a frame of the heap, `validated_entries` says what it is: a slab of class c, or the first frame of a
// block of order o.
constexpr uint16_t kSlabMark = 0x100;
constexpr uint16_t kBlockMark = 0x200;

struct FreeObject {
    FreeObject* next;
};

// A slab's frame: `type` holds the address of its first free object, `flush_stamp` the number of objects in
// use, the links chain the slabs of a class that have room.
class Heap {
public:
    Result<void*> allocate_small(unsigned shift) {
        const LockGuard guard(lock_);
        uint32_t& room = slabs_with_room_[shift - kSmallestShift];
        if (room == 0) {
            TRY(add_slab(shift));
        } else if (allocation_must_fail()) [[unlikely]] {
            return Errno::kENOMEM;
        }
        Frame& slab = frame_at(Mfn(room));
        auto* const object = reinterpret_cast<FreeObject*>(slab.type.load(std::memory_order_relaxed));
        slab.type.store(reinterpret_cast<uint64_t>(object->next), std::memory_order_relaxed);
        slab.set_stamp(slab.stamp() + 1);
        if (object->next == nullptr) unlink(slab, shift);
        memset(static_cast<void*>(object), 0, size_t{1} << shift);
        return static_cast<void*>(object);
    }

    void free_small(Frame& slab, void* memory) {
        const unsigned shift = slab.validated_entries & 0xffu;
        Mfn emptied = kInvalidMfn;
        {
            const LockGuard guard(lock_);
            auto* const object = static_cast<FreeObject*>(memory);
            auto* const first = reinterpret_cast<FreeObject*>(slab.type.load(std::memory_order_relaxed));
            object->next = first;
            slab.type.store(reinterpret_cast<uint64_t>(object), std::memory_order_relaxed);
            if (first == nullptr) link(slab, shift);
            slab.set_stamp(slab.stamp() - 1);
            if (slab.stamp() == 0) {
                unlink(slab, shift);
                emptied = mfn_of(slab);
                frames_.fetch_sub(1, std::memory_order_relaxed);
            }
        }
        if (emptied != kInvalidMfn) give_back(emptied, 0);
    }

    Result<void*> allocate_block(unsigned order) {
        const Mfn block = TRY(allocate_frames(order, {.directly_mapped = true}));
        own(block, order, static_cast<uint16_t>(kBlockMark | order));
        frames_.fetch_add(uint64_t{1} << order, std::memory_order_relaxed);
        return direct_address(block);
    }

    void free_block(Frame& frame) {
        const unsigned order = frame.validated_entries & 0xffu;
        frames_.fetch_sub(uint64_t{1} << order, std::memory_order_relaxed);
        give_back(mfn_of(frame), order);
    }

    uint64_t frames_in_use() const { return frames_.load(std::memory_order_relaxed); }

private:
    static void own(Mfn block, unsigned order, uint16_t mark) {
        for (uint64_t i = 0; i < (uint64_t{1} << order); ++i) {
            Frame& frame = frame_at(block + i);
            frame.set_owner(kOwnerXen);
            frame.count.store(1, std::memory_order_relaxed);
        }
        frame_at(block).validated_entries = mark;
    }

    static void give_back(Mfn block, unsigned order) {
        for (uint64_t i = 0; i < (uint64_t{1} << order); ++i)
            frame_at(block + i).count.store(0, std::memory_order_relaxed);
        free_frames(block, order, true);
    }

    Result<> add_slab(unsigned shift) {
        const Mfn mfn = TRY(allocate_frames(0, {.directly_mapped = true, .keep_content = true}));
        own(mfn, 0, static_cast<uint16_t>(kSlabMark | shift));
        frames_.fetch_add(1, std::memory_order_relaxed);
        auto* const page = static_cast<unsigned char*>(direct_address(mfn));
        FreeObject* first = nullptr;
        for (size_t at = kPageSize; at != 0;) {
            at -= size_t{1} << shift;
            first = new (page + at) FreeObject{first};
        }
        Frame& slab = frame_at(mfn);
        slab.type.store(reinterpret_cast<uint64_t>(first), std::memory_order_relaxed);
        slab.set_stamp(0);
        link(slab, shift);
        return {};
    }

    void link(Frame& slab, unsigned shift) {
        uint32_t& head = slabs_with_room_[shift - kSmallestShift];
        slab.next = head;
        slab.previous = 0;
        if (head != 0) frame_at(Mfn(head)).previous = static_cast<uint32_t>(mfn_of(slab).raw());
        head = static_cast<uint32_t>(mfn_of(slab).raw());
    }

    void unlink(Frame& slab, unsigned shift) {
        uint32_t& head = slabs_with_room_[shift - kSmallestShift];
        (slab.previous != 0 ? frame_at(Mfn(slab.previous)).next : head) = slab.next;
        if (slab.next != 0) frame_at(Mfn(slab.next)).previous = slab.previous;
        slab.next = slab.previous = 0;
    }

    Spinlock lock_{LockRank::kSlab};
    uint32_t slabs_with_room_[kClasses]{};
    std::atomic<uint64_t> frames_{0};
};

constinit Heap heap;

}  // namespace

Result<void*> heap_allocate(size_t bytes) {
    if (bytes == 0 || bytes > (kPageSize << kMaxOrder)) return Errno::kEINVAL;
    if (bytes <= kPageSize / 2) {
        const auto shift = static_cast<unsigned>(std::bit_width(bytes - 1));
        return heap.allocate_small(shift < kSmallestShift ? kSmallestShift : shift);
    }
    return heap.allocate_block(static_cast<unsigned>(std::bit_width((bytes - 1) >> kPageShift)));
}

void heap_free(void* memory) {
    if (memory == nullptr) return;
    Frame& frame = frame_at(direct_frame(memory));
    BUG_ON(frame.owner() != kOwnerXen);
    if ((frame.validated_entries & kSlabMark) != 0) {
        heap.free_small(frame, memory);
    } else {
        BUG_ON((frame.validated_entries & kBlockMark) == 0);
        heap.free_block(frame);
    }
}

uint64_t heap_frames_in_use() {
    return heap.frames_in_use();
}

}  // namespace torii
