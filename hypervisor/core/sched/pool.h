// CPU pools: each CPU belongs to one at most, and the units of a domain run on the CPUs of one.
#pragma once

#include "base/cpu_mask.h"
#include "base/lock.h"
#include "base/result.h"

namespace torii {

inline constexpr Nanoseconds kShortestRun = 200'000;

// A CPU may look at a pool that it has just been taken out of: between remove_cpu_pool and the end of an
// object's life comes a wait_for_all_cpus. Nobody keeps a pool in mind while waiting for a lock.
struct CpuPool {
    constexpr CpuPool() = default;
    CpuPool(const CpuPool&) = delete;

    CpuMask cpus;  // whose units may come to these; changes under the pools' lock
    // Idle CPUs, as far as anyone knows: one that a unit is sent to is taken out at once, so that the next
    // unit looks for another, and puts itself back when nothing came.
    CpuMask idle;

    // Below: the pools' lock.
    uint32_t id = 0;
    uint32_t domains = 0;
    Nanoseconds shortest_run = kShortestRun;
    CpuPool* next = nullptr;  // by rising id
};

extern CpuPool first_cpu_pool;  // id 0; all CPUs join it as they come up
// Which pools there are, what belongs to them, and where units may run (every unit can run somewhere). May be
// held over a pass over all units; never taken on a hot path.
extern Spinlock cpu_pools_lock;

// All with the lock held. The pool with the lowest id from `id` on, or null.
[[nodiscard]] CpuPool* cpu_pool_from(uint32_t id);
[[nodiscard]] CpuPool* find_cpu_pool(uint32_t id);
// A new pool, which stays the caller's memory. EEXIST.
[[nodiscard]] Result<> add_cpu_pool(uint32_t id, CpuPool& pool);
// The lowest id that is free.
[[nodiscard]] uint32_t free_cpu_pool_id();
// EBUSY while it has CPUs or domains.
[[nodiscard]] Result<> remove_cpu_pool(CpuPool& pool);

}  // namespace torii
