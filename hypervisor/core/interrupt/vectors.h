// Which device interrupt each vector of each CPU stands for.
//
// An interrupt that moves to another CPU keeps its vector, so that the device's route changes by one write.
// What the device has sent to the old CPU may still arrive there: the old place stays the interrupt's, and is
// given to nobody else, for kLingers.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/ids.h"
#include "base/lock.h"
#include "base/result.h"

namespace torii {

class VectorSpace {
public:
    // Below lie the exceptions, above the hypervisor's own.
    static constexpr unsigned kFirst = 0x40;
    static constexpr unsigned kEnd = 0xe0;
    static constexpr unsigned kMostTogether =
        32;  // messages of one device (PCI specification 3.0, section 6.8.1)
    static_assert(kFirst % kMostTogether == 0);
    // A CPU takes its interrupts within microseconds; a hypervisor that runs on a slow emulation within
    // milliseconds.
    static constexpr Nanoseconds kLingers = 1'000'000'000;
    static constexpr uint32_t kNobody = 0;

    // Once, at boot. ENOMEM.
    [[nodiscard]] Result<> start(unsigned cpus);

    // Which interrupt comes by this vector to this CPU; kNobody. Takes no lock.
    [[nodiscard]] uint32_t holder(CpuId cpu, unsigned vector) const;
    // `count` (a power of two) consecutive vectors, the first a multiple of it, for interrupts `first_id` and
    // those behind it; returns the first vector. ENOSPC.
    [[nodiscard]] Result<uint8_t> claim(CpuId cpu, uint32_t first_id, unsigned count);
    // This very vector. False: it is taken.
    [[nodiscard]] bool claim_at(CpuId cpu, uint8_t vector, uint32_t id);
    // Nothing is sent by it any more. What is on its way still may count as another's: a driver looks in vain
    // once.
    void release(CpuId cpu, uint8_t vector);
    // The interrupt has moved to another CPU.
    void leave(CpuId cpu, uint8_t vector);

private:
    struct Slot {
        std::atomic<uint32_t> id{kNobody};
        bool leaving = false;  // under lock_
        uint32_t free_at = 0;  // of a slot that is being left, in milliseconds since boot
    };
    static constexpr unsigned kSlots = kEnd - kFirst;

    [[nodiscard]] Slot* slots_of(CpuId cpu) const { return slots_ + cpu.raw() * kSlots; }
    [[nodiscard]] static bool is_free(const Slot& slot, uint32_t now_ms);
    [[nodiscard]] static bool are_free(const Slot* slots, unsigned count, uint32_t now_ms);
    static void take(Slot& slot, uint32_t id);

    Spinlock lock_{LockRank::kVectors};
    Slot* slots_ = nullptr;
    unsigned cpus_ = 0;
    // Where the next search begins. It goes on from CPU to CPU, so that interrupts have different vectors as
    // long as there are enough, and find theirs free wherever they move.
    unsigned next_ = 0;
};

}  // namespace torii
