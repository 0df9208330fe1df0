#include "core/memory/frame_table.h"

#include "port/machine.h"

namespace torii {

constinit FrameTable frame_table{};

bool get_frame(Mfn mfn, DomId owner) {
    if (!frame_exists(mfn)) return false;
    Frame& frame = frame_at(mfn);
    uint64_t seen = frame.count.load(std::memory_order_relaxed);
    do {
        // Zero: free. A frame whose owner gave up its own reference may still be mapped, but gets no new
        // users.
        if ((seen & CountWord::kAllocated) == 0) return false;
    } while (!frame.count.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                                std::memory_order_relaxed));
    // The owner can't change while a reference is held, so it is looked at after taking one.
    if (frame.owner() == owner) [[likely]]
        return true;
    put_frame(frame);
    return false;
}

void get_frame_again(Frame& frame) {
    const uint64_t before = frame.count.fetch_add(1, std::memory_order_relaxed);
    BUG_ON((before & CountWord::kCountMask) == 0);
}

void put_frame(Frame& frame) {
    const uint64_t before = frame.count.fetch_sub(1, std::memory_order_acq_rel);
    const uint64_t references = before & CountWord::kCountMask;
    BUG_ON(references == 0);
    if (references == 1) [[unlikely]]
        release_frame(frame);
}

void note_foreign_translation(Frame& frame, bool writable) {
    uint64_t marks = CountWord::of(Rememberers::anyone());
    if (writable) marks |= CountWord::kForeignWriter;
    if ((frame.count.load(std::memory_order_relaxed) & marks) != marks)
        frame.count.fetch_or(marks, std::memory_order_relaxed);
}

void flush_before_next_owner(const Frame& frame) {
    flush_stale(frame.stamp(), frame.rememberers());
}

void flush_before_next_type(Frame& frame) {
    // The mark goes first: whoever sets it again has another translation to answer for.
    const bool foreign = (frame.count.load(std::memory_order_relaxed) & CountWord::kForeignWriter) != 0;
    if (foreign) frame.count.fetch_and(~CountWord::kForeignWriter, std::memory_order_relaxed);
    // Read-only translations of others do no harm to a table, so its owner's are all there is otherwise.
    flush_stale(frame.stamp(), foreign ? Rememberers::anyone() : Rememberers::only(frame.owner()));
}

bool get_writable(Frame& frame) {
    uint64_t seen = frame.type.load(std::memory_order_relaxed);
    for (;;) {
        const TypeWord word{seen};
        TypeWord next{};
        if (word.type() == FrameType::kWritable) [[likely]] {
            if (word.count() >= TypeWord::kMostCount) return false;
            next = TypeWord{seen + 1};
        } else if (word.count() == 0 && !word.partial() && !word.validated()) {
            // Translations through a former page table are stale as well. If it was one again in the
            // meantime, its word has another stamp, and the exchange fails.
            if (is_page_table(word.type())) flush_stale(frame.stamp(), Rememberers::only(frame.owner()));
            next = TypeWord::of(FrameType::kWritable, 1, 0);
        } else {
            return false;
        }
        if (!frame.type.compare_exchange_weak(seen, next.raw, std::memory_order_acquire,
                                              std::memory_order_relaxed))
            continue;
        return true;
    }
}

void put_writable(Frame& frame) {
    // A stale writable translation may outlive the last reference: the stamp makes the next user of another
    // type flush it.
    // Whoever takes the count to zero sets it before: of two at once, one sees the other's step and looks
    // again.
    uint64_t seen = frame.type.load(std::memory_order_relaxed);
    do {
        const TypeWord word{seen};
        BUG_ON(word.count() == 0 || word.type() != FrameType::kWritable);
        if (word.count() == 1) frame.set_stamp(take_flush_stamp());
    } while (!frame.type.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                               std::memory_order_relaxed));
}

}  // namespace torii
