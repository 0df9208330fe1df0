// What event channels keep per virtual CPU. Embedded in the Vcpu; found through EventTable::vcpu().
#pragma once

#include <torii/abi/event_channel.h>
#include <torii/abi/shared_info.h>
#include <torii/abi/virq.h>

#include <array>
#include <atomic>

#include "base/ids.h"
#include "base/lock.h"
#include "core/event/hooks.h"

namespace torii {

struct EventVcpu {
    EventVcpu() = default;
    EventVcpu(const EventVcpu&) = delete;

    // Set before the vCPU appears in the table's array.
    EventTable* table = nullptr;
    VcpuId id{};

    // Where the guest looks for pending upcalls, as mapped in the hypervisor; null for a vCPU that has
    // registered none and has no place in the shared page. Changed by move_vcpu_info only.
    std::atomic<abi::VcpuInfo*> info{nullptr};

    // The port that each virtual interrupt is bound to, 0 for none. Those of global interrupts stand in vCPU
    // 0.
    std::array<std::atomic<uint32_t>, abi::kVirqCount> virq_port{};

    // What a polling vCPU waits for: a port, kPollsSeveral, or kPollsNothing.
    static constexpr uint32_t kPollsNothing = 0;
    static constexpr uint32_t kPollsSeveral = ~0u;
    std::atomic<uint32_t> polls{kPollsNothing};

    // FIFO. The block is guest memory; what the hypervisor relies on, the tails, is its own.
    std::atomic<abi::FifoControlBlock*> control{nullptr};
    PinnedGuestPage control_page{};
    Spinlock queue_lock{LockRank::kEventQueue};        // guards the tails and the linking of words
    std::array<uint32_t, abi::kFifoMaxQueues> tail{};  // port linked last, 0 for none

    // Tells the guest that something is pending.
    void mark_upcall_pending() {
        abi::VcpuInfo* const place = info.load(std::memory_order_acquire);
        if (place == nullptr) return;
        if (__atomic_exchange_n(&place->evtchn_upcall_pending, uint8_t{1}, __ATOMIC_SEQ_CST) == 0)
            event_kick(*this);
    }

    // Moves the vCPU's information to `fresh` (another mapping, zeroed or not). Upcalls that were pending,
    // and any that a sender marks in the old place meanwhile, are pending in the new one. The vCPU doesn't
    // run elsewhere.
    void move_info(abi::VcpuInfo& fresh);

    // True when an upcall must be delivered before the guest goes on.
    [[nodiscard]] bool upcall_due() const {
        const abi::VcpuInfo* const place = info.load(std::memory_order_relaxed);
        return place != nullptr && read_upcall_pending(*place) && !read_upcall_mask(*place);
    }

    [[nodiscard]] static bool read_upcall_pending(const abi::VcpuInfo& place) {
        return __atomic_load_n(&place.evtchn_upcall_pending, __ATOMIC_RELAXED) != 0;
    }
    [[nodiscard]] static bool read_upcall_mask(const abi::VcpuInfo& place) {
        return __atomic_load_n(&place.evtchn_upcall_mask, __ATOMIC_RELAXED) != 0;
    }
};

}  // namespace torii
