#pragma once
// A request on its way through a BlockQueue. For block_queue.cpp and block_transfer.cpp alone.

#include "block/block_queue.h"

namespace torii::backend {

struct BlockQueue::Work final : BlockIo {
    // A barrier is a flush, then its data, then a flush.
    enum class Step : uint8_t { kOnly, kFlushBefore, kBarrierWrite, kFlushAfter };

    BlockQueue* queue = nullptr;
    uint32_t slot = 0;
    BlockAsk ask;
    Step step = Step::kOnly;
    std::chrono::nanoseconds taken_at{};
    std::vector<PersistentGrants::Page*> pages;  // one for each segment, when the guest's pages are mapped
    BounceMemory::Piece bounce;                  // what the data passes through

    bool moves_data() const { return ask.length != 0 && ask.action != BlockAction::kDiscard; }
    bool needs_descriptors() const { return ask.indirect_segments != 0 && ask.segments.empty(); }
    void ended(int error) override { queue->io_ended(*this, error); }
};

}  // namespace torii::backend
