#include "core/memory/frame_table.h"

#include "core/memory/frame_references.h"
#include "port/machine.h"

namespace torii {

constinit FrameTable frame_table{};

bool get_frame(Mfn mfn, DomId owner) {
    return inlined::get_frame(mfn, owner);
}

void get_frame_again(Frame& frame) {
    const uint64_t before = frame.count.fetch_add(1, std::memory_order_relaxed);
    BUG_ON((before & CountWord::kCountMask) == 0);
}

void put_frame(Frame& frame) {
    inlined::put_frame(frame);
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
    inlined::put_writable(frame);
}

}  // namespace torii
