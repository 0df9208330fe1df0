// The frame allocator: a buddy system over all RAM that is nobody's.
//
// Blocks are 2^order frames, aligned to their size. Three zones keep scarce memory for those who need it:
// below 4 GiB (devices with narrow addresses), directly mapped (the hypervisor's own structures), and the
// rest. A free block that still holds someone's data is dirty; it is zeroed when it is handed out, or earlier
// by an idle CPU. All functions take the heap lock (LockRank::kHeap).
#pragma once

#include "base/frame.h"
#include "base/result.h"

namespace torii {

inline constexpr unsigned kMaxOrder = 20;  // 4 GiB

enum class Zone : uint8_t { kLow, kDirect, kHigh };
inline constexpr unsigned kZones = 3;

struct AllocationWish {
    unsigned address_bits = 64;    // every byte lies below 2^address_bits
    bool directly_mapped = false;  // for the hypervisor's own use
    bool keep_content = false;     // the caller overwrites the whole block, or may see what was there
};

// Gives `count` frames from `first` on to the allocator. They have entries in the frame table, which say that
// they are nobody's.
void allocator_add(Mfn first, uint64_t count, bool dirty);

// A block of 2^order frames: owner kOwnerNone, no references, zeroed unless the wish says otherwise.
[[nodiscard]] Result<Mfn> allocate_frames(unsigned order, AllocationWish wish = {});

// Takes back a block that has no references. `dirty`: it holds data that nobody else may see.
void free_frames(Mfn first, unsigned order, bool dirty);

[[nodiscard]] uint64_t free_frame_count();
// Zeroes one dirty free block, at most `most_frames` frames of it; false when nothing is dirty. For idle
// CPUs.
bool scrub_some(uint64_t most_frames);
// --- for tests: the n-th allocation of frames or heap memory from now on fails, and all after it ---
void fail_allocation_after(uint64_t successes);
void stop_failing_allocations();
// Whether it came to that since the last fail_allocation_after.
[[nodiscard]] bool allocation_was_refused();
// What the heap asks before it serves from memory that it has already.
[[nodiscard]] bool allocation_must_fail();

}  // namespace torii
