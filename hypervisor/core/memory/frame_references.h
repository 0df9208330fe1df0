// References to frames, inlined: for paths of which a call would be a noticeable part. What they do is said
// in frame_table.h, where they have the same names.
#pragma once

#include "base/panic.h"
#include "core/memory/frame_table.h"
#include "port/machine.h"

namespace torii::inlined {

[[gnu::always_inline]] inline void put_frame(Frame& frame) {
    const uint64_t before = frame.count.fetch_sub(1, std::memory_order_acq_rel);
    const uint64_t references = before & CountWord::kCountMask;
    BUG_ON(references == 0);
    if (references == 1) [[unlikely]]
        release_frame(frame);
}

[[nodiscard, gnu::always_inline]] inline bool get_frame(Mfn mfn, DomId owner) {
    if (!frame_exists(mfn)) [[unlikely]]
        return false;
    Frame& frame = frame_at(mfn);
    uint64_t seen = frame.count.load(std::memory_order_relaxed);
    do {
        // Zero: free. A frame whose owner gave up its own reference may still be mapped, but gets no new
        // users.
        if ((seen & CountWord::kAllocated) == 0) [[unlikely]]
            return false;
    } while (!frame.count.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                                std::memory_order_relaxed));
    // The owner can't change while a reference is held, so it is looked at after taking one.
    if (frame.owner() == owner) [[likely]]
        return true;
    torii::put_frame(frame);
    return false;
}

// Of a frame that is writable already, as a guest's ordinary page is; others take the call.
[[nodiscard, gnu::always_inline]] inline bool get_writable(Frame& frame) {
    uint64_t seen = frame.type.load(std::memory_order_relaxed);
    const TypeWord word{seen};
    if (word.type() == FrameType::kWritable && word.count() < TypeWord::kMostCount &&
        frame.type.compare_exchange_strong(seen, seen + 1, std::memory_order_acquire,
                                           std::memory_order_relaxed)) [[likely]]
        return true;
    return torii::get_writable(frame);
}

[[gnu::always_inline]] inline void put_writable(Frame& frame) {
    // A stale writable translation may outlive the last reference: the stamp makes the next user of another
    // type flush it.
    // Whoever takes the count to zero sets it before: of two at once, one sees the other's step and looks
    // again.
    uint64_t seen = frame.type.load(std::memory_order_relaxed);
    do {
        const TypeWord word{seen};
        BUG_ON(word.count() == 0 || word.type() != FrameType::kWritable);
        if (word.count() == 1) [[unlikely]]
            frame.set_stamp(take_flush_stamp());
    } while (!frame.type.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                               std::memory_order_relaxed));
}

}  // namespace torii::inlined
