#include "core/interrupt/vectors.h"

#include <new>

#include "core/memory/heap.h"
#include "port/machine.h"

namespace torii {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000;

uint32_t milliseconds() {
    return static_cast<uint32_t>(now() / kMillisecond);
}

}  // namespace

[[gnu::cold]] Result<> VectorSpace::start(unsigned cpus) {
    void* const memory = TRY(heap_allocate(uint64_t{cpus} * kSlots * sizeof(Slot)));
    slots_ = static_cast<Slot*>(memory);
    for (unsigned i = 0; i < cpus * kSlots; ++i)
        new (&slots_[i]) Slot;
    cpus_ = cpus;
    return {};
}

uint32_t VectorSpace::holder(CpuId cpu, unsigned vector) const {
    if (vector < kFirst || vector >= kEnd || cpu.raw() >= cpus_) return kNobody;
    return slots_of(cpu)[vector - kFirst].id.load(std::memory_order_acquire);
}

bool VectorSpace::is_free(const Slot& slot, uint32_t now_ms) {
    if (slot.id.load(std::memory_order_relaxed) == kNobody) return true;
    return slot.leaving && static_cast<int32_t>(now_ms - slot.free_at) >= 0;
}

bool VectorSpace::are_free(const Slot* slots, unsigned count, uint32_t now_ms) {
    for (unsigned i = 0; i < count; ++i) {
        if (!is_free(slots[i], now_ms)) return false;
    }
    return true;
}

void VectorSpace::take(Slot& slot, uint32_t id) {
    slot.leaving = false;
    slot.id.store(id, std::memory_order_release);
}

[[gnu::cold]] Result<uint8_t> VectorSpace::claim(CpuId cpu, uint32_t first_id, unsigned count) {
    if (count == 0 || count > kMostTogether || (count & (count - 1)) != 0 || cpu.raw() >= cpus_)
        return Errno::kEINVAL;
    const LockGuard guard(lock_);
    const uint32_t time = milliseconds();
    Slot* const slots = slots_of(cpu);
    const unsigned begin = (next_ + count - 1) & ~(count - 1);
    for (unsigned tried = 0; tried < kSlots; tried += count) {
        const unsigned at = (begin + tried) % kSlots & ~(count - 1);
        if (at + count > kSlots || !are_free(slots + at, count, time)) continue;
        for (unsigned i = 0; i < count; ++i)
            take(slots[at + i], first_id + i);
        next_ = (at + count) % kSlots;
        return static_cast<uint8_t>(kFirst + at);
    }
    return Errno::kENOSPC;
}

[[gnu::cold]] bool VectorSpace::claim_at(CpuId cpu, uint8_t vector, uint32_t id) {
    if (vector < kFirst || vector >= kEnd || cpu.raw() >= cpus_) return false;
    const LockGuard guard(lock_);
    Slot& slot = slots_of(cpu)[vector - kFirst];
    // It may come back to a CPU that it has just left.
    if (!is_free(slot, milliseconds()) && slot.id.load(std::memory_order_relaxed) != id) return false;
    take(slot, id);
    return true;
}

[[gnu::cold]] void VectorSpace::release(CpuId cpu, uint8_t vector) {
    const LockGuard guard(lock_);
    take(slots_of(cpu)[vector - kFirst], kNobody);
}

[[gnu::cold]] void VectorSpace::leave(CpuId cpu, uint8_t vector) {
    const LockGuard guard(lock_);
    Slot& slot = slots_of(cpu)[vector - kFirst];
    slot.leaving = true;
    slot.free_at = milliseconds() + static_cast<uint32_t>(kLingers / kMillisecond);
}

}  // namespace torii
