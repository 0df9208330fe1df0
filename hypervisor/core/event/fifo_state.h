// What a domain that uses the FIFO ABI has beside its ports: the array of event words, in its own memory.
//
// Every word and every queue head can change at any instant to any value. The hypervisor therefore follows no
// link that it reads: it appends behind the port that it linked itself last (EventVcpu::tail), and if the
// word there no longer says LINKED it takes the queue for empty. What a guest writes can lose its own events,
// no more.
#pragma once

#include <torii/abi/event_channel.h>

#include <array>
#include <atomic>

#include "core/event/hooks.h"

namespace torii {

struct FifoState {
    static constexpr uint32_t kWordsPerPage = kPageSize / sizeof(abi::FifoEventWord);
    static constexpr uint32_t kMostPages = abi::kFifoChannelCount / kWordsPerPage;

    std::array<std::atomic<abi::FifoEventWord*>, kMostPages> words{};
    std::array<PinnedGuestPage, kMostPages> pages{};
    uint32_t page_count = 0;  // table's lock

    // Null while the array doesn't reach as far as `port`, which is below kMostPorts.
    [[nodiscard]] abi::FifoEventWord* word(uint32_t port) const {
        abi::FifoEventWord* const page =
            words[port / kWordsPerPage % kMostPages].load(std::memory_order_acquire);
        return page == nullptr ? nullptr : page + port % kWordsPerPage;
    }
};
static_assert(sizeof(FifoState) <= kPageSize);

}  // namespace torii
