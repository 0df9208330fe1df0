// sysctl: CPU pools (public sysctl.h, which says what each error means), and the scheduler's settings.
#include <torii/abi/domctl.h>

#include "core/call/control_bitmap.h"
#include "core/call/sysctl_ops.h"
#include "core/memory/heap.h"
#include "port/machine.h"

namespace torii::call {
namespace {

constexpr auto kScheduler = static_cast<uint32_t>(abi::SchedulerId::kCredit2);

Result<CpuPool*> pool_of(uint32_t id) {
    CpuPool* const pool = find_cpu_pool(id);
    if (pool == nullptr) return Errno::kENOENT;
    return pool;
}

template <class Visit>
void for_each_domain(Visit&& visit) {
    for (DomId id{0};;) {
        const DomainRef domain(next_domain(id));
        if (!domain) return;
        visit(*domain);
        id = DomId(static_cast<uint16_t>(domain->id.raw() + 1));
    }
}

template <class Visit>
void for_each_unit_in(const CpuPool& pool, Visit&& visit) {
    for_each_domain([&](Domain& domain) {
        if (&domain.sched.pool() == &pool) domain.sched.for_each_unit(visit);
    });
}

[[gnu::cold]] CallResult create(abi::SysctlCpupoolOp& request) {
    if (request.sched_id != kScheduler) return Errno::kEINVAL;
    CpuPool* const pool = TRY(heap_new<CpuPool>());
    Result<> added;
    {
        const LockGuard guard(cpu_pools_lock);
        const bool any = request.cpupool_id == abi::kCpupoolAny;
        added = add_cpu_pool(any ? free_cpu_pool_id() : request.cpupool_id, *pool);
        request.cpupool_id = pool->id;
    }
    if (!added.ok()) heap_delete(pool);
    TRY(added);
    return 0;
}

// A CPU whose removal has begun and isn't complete, else null.
[[gnu::cold]] const RunQueue* leaving_cpu(const CpuPool& pool) {
    for (unsigned i = 0; i < cpu_count(); ++i) {
        const RunQueue& queue = cpu_scheduler(CpuId(i)).queue;
        if (queue.pool() == &pool && !pool.cpus.contains(CpuId(i))) return &queue;
    }
    return nullptr;
}

[[gnu::cold]] CallResult destroy(const abi::SysctlCpupoolOp& request) {
    CpuPool* pool = nullptr;
    {
        const LockGuard guard(cpu_pools_lock);
        pool = TRY(pool_of(request.cpupool_id));
        if (leaving_cpu(*pool) != nullptr) return Errno::kEBUSY;
        TRY(remove_cpu_pool(*pool));
    }
    wait_for_all_cpus();
    heap_delete(pool);
    return 0;
}

// About the first pool from that id on.
[[gnu::cold]] CallResult describe(abi::SysctlCpupoolOp& request) {
    CpuMask cpus;
    {
        const LockGuard guard(cpu_pools_lock);
        const CpuPool* const pool = cpu_pool_from(request.cpupool_id);
        if (pool == nullptr) return Errno::kENOENT;
        request.cpupool_id = pool->id;
        request.sched_id = kScheduler;
        request.n_dom = pool->domains;
        cpus.assign(pool->cpus);
    }
    TRY(write_bitmap(request.cpumap, cpus));
    return 0;
}

[[gnu::cold]] void find_free_cpus(CpuMask& cpus) {
    for (unsigned i = 0; i < cpu_count(); ++i) {
        if (cpu_scheduler(CpuId(i)).queue.pool() == nullptr) cpus.add(CpuId(i));
    }
}

[[gnu::cold]] CallResult describe_free(const abi::SysctlCpupoolOp& request) {
    CpuMask cpus;
    {
        const LockGuard guard(cpu_pools_lock);
        find_free_cpus(cpus);
    }
    TRY(write_bitmap(request.cpumap, cpus));
    return 0;
}

[[gnu::cold]] CallResult add_cpu(const abi::SysctlCpupoolOp& request) {
    const LockGuard guard(cpu_pools_lock);
    CpuPool& pool = *TRY(pool_of(request.cpupool_id));
    CpuId cpu(request.cpu);
    if (request.cpu == abi::kCpupoolAny) {
        CpuMask free;
        find_free_cpus(free);
        if (free.is_empty()) return Errno::kENODEV;
        free.for_each([&cpu](CpuId each) { cpu = each; });
    } else if (request.cpu >= cpu_count()) {
        return Errno::kEINVAL;
    }
    RunQueue& queue = cpu_scheduler(cpu).queue;
    if (queue.pool() != nullptr) return Errno::kENODEV;
    queue.join(pool);
    return 0;
}

// Whether the CPU may go, and if so takes it out of the pool: no unit comes to it from now on.
[[gnu::cold]] Result<> begin_removal(CpuPool& pool, CpuId cpu) {
    if (pool.cpus.count() == 1 && pool.domains != 0) return Errno::kEBUSY;
    bool pinned = false;
    for_each_unit_in(pool, [&](SchedUnit& unit) { pinned = pinned || Affinity(unit).is_pinned_to(cpu); });
    if (pinned) return Errno::kEADDRINUSE;
    for_each_unit_in(pool, [cpu](SchedUnit& unit) { Affinity(unit).prepare_loss(cpu); });
    pool.cpus.remove(cpu);
    return {};
}

// A vCPU that runs there has to leave first, perhaps the caller itself: so the call may have to be issued
// again, and then finds the CPU in the pool's keeping but not among its CPUs.
[[gnu::cold]] CallResult remove_cpu(const abi::SysctlCpupoolOp& request) {
    const LockGuard guard(cpu_pools_lock);
    CpuPool& pool = *TRY(pool_of(request.cpupool_id));
    CpuId cpu(request.cpu);
    if (request.cpu == abi::kCpupoolAny) {
        const RunQueue* const leaving = leaving_cpu(pool);
        if (leaving == nullptr && pool.cpus.is_empty()) return Errno::kENODEV;
        pool.cpus.for_each([&cpu](CpuId each) { cpu = each; });
        if (leaving != nullptr) cpu = leaving->cpu();
    } else if (request.cpu >= cpu_count()) {
        return Errno::kEINVAL;
    }
    RunQueue& queue = cpu_scheduler(cpu).queue;
    if (queue.pool() != &pool) return Errno::kENODEV;
    if (pool.cpus.contains(cpu)) TRY(begin_removal(pool, cpu));
    // Of whatever domain: those that are no more count as the first pool's.
    for_each_domain([cpu](Domain& domain) {
        domain.sched.for_each_unit([cpu](SchedUnit& unit) {
            if (unit.cpu() == cpu) RunQueue::relocate(unit);
        });
    });
    if (!queue.is_vacant()) return Errno::kERESTART;
    queue.leave();
    return 0;
}

[[gnu::cold]] CallResult move_domain(SysctlCall& call) {
    const auto& request = call.request.u.cpupool_op;
    if (request.domid >= abi::kDomIdFirstReserved) return Errno::kEINVAL;
    const DomainRef domain(find_domain(DomId(static_cast<uint16_t>(request.domid))));
    // The control domain stays where the pools are managed from.
    if (!domain || domain->id == kDom0) return Errno::kEINVAL;
    const LockGuard control(domain->control_lock);
    const LockGuard guard(cpu_pools_lock);
    TRY(domain->sched.move_to(*TRY(pool_of(request.cpupool_id))));
    return 0;
}

Result<> check_ratelimit(uint32_t microseconds) {
    // Zero: a running vCPU may be preempted at once.
    if (microseconds == 0) return {};
    if (microseconds < abi::kSchedRatelimitMinUs || microseconds > abi::kSchedRatelimitMaxUs)
        return Errno::kEINVAL;
    return {};
}

}  // namespace

[[gnu::cold]] CallResult cpu_pool_op(SysctlCall& call) {
    auto& request = call.request.u.cpupool_op;
    switch (static_cast<abi::CpupoolOp>(request.op)) {
        case abi::CpupoolOp::kCreate:
            return create(request);
        case abi::CpupoolOp::kDestroy:
            return destroy(request);
        case abi::CpupoolOp::kInfo:
            return describe(request);
        case abi::CpupoolOp::kFreeInfo:
            return describe_free(request);
        case abi::CpupoolOp::kAddCpu:
            return add_cpu(request);
        case abi::CpupoolOp::kRemoveCpu:
            return remove_cpu(request);
        case abi::CpupoolOp::kMoveDomain:
            return move_domain(call);
    }
    return Errno::kENOSYS;
}

[[gnu::cold]] CallResult scheduler_id(SysctlCall& call) {
    call.request.u.sched_id.sched_id = kScheduler;
    return 0;
}

[[gnu::cold]] CallResult scheduler_settings(SysctlCall& call) {
    auto& request = call.request.u.scheduler_op;
    constexpr Nanoseconds kMicrosecond = 1000;
    const LockGuard guard(cpu_pools_lock);
    CpuPool* const pool = find_cpu_pool(request.cpupool_id);
    if (pool == nullptr) return Errno::kESRCH;
    if (request.sched_id != kScheduler) return Errno::kEINVAL;
    switch (static_cast<abi::SysctlSchedulerCommand>(request.cmd)) {
        case abi::SysctlSchedulerCommand::kGetinfo:
            request.u.sched_credit2.ratelimit_us = static_cast<uint32_t>(pool->shortest_run / kMicrosecond);
            return 0;
        case abi::SysctlSchedulerCommand::kPutinfo:
            TRY(check_ratelimit(request.u.sched_credit2.ratelimit_us));
            pool->shortest_run = request.u.sched_credit2.ratelimit_us * kMicrosecond;
            pool->cpus.for_each(
                [pool](CpuId cpu) { cpu_scheduler(cpu).queue.set_shortest_run(pool->shortest_run); });
            return 0;
    }
    return Errno::kEINVAL;
}

}  // namespace torii::call
