#include "core/sched/pool.h"

namespace torii {

constinit CpuPool first_cpu_pool;
constinit Spinlock cpu_pools_lock{LockRank::kCpuPools};

[[gnu::cold]] CpuPool* cpu_pool_from(uint32_t id) {
    for (CpuPool* pool = &first_cpu_pool; pool != nullptr; pool = pool->next) {
        if (pool->id >= id) return pool;
    }
    return nullptr;
}

[[gnu::cold]] CpuPool* find_cpu_pool(uint32_t id) {
    CpuPool* const pool = cpu_pool_from(id);
    return pool != nullptr && pool->id == id ? pool : nullptr;
}

[[gnu::cold]] uint32_t free_cpu_pool_id() {
    uint32_t id = 0;
    for (const CpuPool* pool = &first_cpu_pool; pool != nullptr && pool->id == id; pool = pool->next)
        ++id;
    return id;
}

[[gnu::cold]] Result<> add_cpu_pool(uint32_t id, CpuPool& pool) {
    CpuPool* before = &first_cpu_pool;
    while (before->next != nullptr && before->next->id < id)
        before = before->next;
    if (id == 0 || (before->next != nullptr && before->next->id == id)) return Errno::kEEXIST;
    pool.id = id;
    pool.next = before->next;
    before->next = &pool;
    return {};
}

[[gnu::cold]] Result<> remove_cpu_pool(CpuPool& pool) {
    if (pool.domains != 0 || !pool.cpus.is_empty() || &pool == &first_cpu_pool) return Errno::kEBUSY;
    CpuPool* before = &first_cpu_pool;
    while (before->next != &pool)
        before = before->next;
    before->next = pool.next;
    return {};
}

}  // namespace torii
