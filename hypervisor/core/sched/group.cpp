// What units of one domain have in common: weight, cap, pool.
#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii {

namespace {

constexpr int64_t kPeriodsKept = 3;
constexpr int64_t kLeastQuota = 500'000;

}  // namespace

void SchedGroup::add(SchedUnit& unit) {
    units_.fetch_add(1, std::memory_order_relaxed);
    unit.next_in_group_ = first_.load(std::memory_order_relaxed);
    first_.store(&unit, std::memory_order_release);
}

[[gnu::cold]] void SchedGroup::set_weight(uint32_t weight) {
    weight_.store(weight, std::memory_order_relaxed);
    for_each_unit([weight](SchedUnit& unit) { RunQueue::set_weight(unit, weight); });
}

[[gnu::cold]] void SchedGroup::set_cap(uint32_t percent) {
    cap_.store(percent, std::memory_order_relaxed);
    budget_.store(per_period(), std::memory_order_relaxed);
    for_each_unit([percent](SchedUnit& unit) { RunQueue::set_capped(unit, percent != 0); });
}

bool SchedGroup::take_quota(SchedUnit& unit) {
    const int64_t units = units_.load(std::memory_order_relaxed);
    int64_t share = per_period() / (units == 0 ? 1 : units);
    if (share < kLeastQuota) share = kLeastQuota;
    int64_t budget = budget_.load(std::memory_order_relaxed);
    do {
        if (budget <= 0) return false;
        if (share > budget) share = budget;
    } while (!budget_.compare_exchange_weak(budget, budget - share));
    unit.quota_ = share;
    return true;
}

void SchedGroup::give_back(SchedUnit& unit) {
    budget_.fetch_add(unit.quota_);
    unit.quota_ = 0;
}

void SchedGroup::keep_filling(Nanoseconds time) {
    if (!filling_.load() && !filling_.exchange(true)) timer_set(refill_, time + kCapPeriod);
}

bool SchedGroup::wants_more() {
    if (cap() == 0) return false;
    bool wants = budget_.load() < per_period();
    for_each_unit([&wants](const SchedUnit& unit) {
        wants = wants || unit.is_running() || (unit.held_back_.load() & ~SchedUnit::kCapped) == 0;
    });
    return wants;
}

void SchedGroup::fill() {
    const int64_t most = per_period() * kPeriodsKept;
    int64_t budget = budget_.load();
    int64_t filled = 0;
    do {
        filled = budget + per_period();
        if (filled > most) filled = most;
    } while (!budget_.compare_exchange_weak(budget, filled));
    if (filled <= 0) return;
    for_each_unit([](SchedUnit& unit) {
        if ((unit.held_back_.load() & SchedUnit::kCapped) == 0) return;
        if ((unit.held_back_.fetch_and(~SchedUnit::kCapped) & SchedUnit::kCapped) != 0)
            RunQueue::reconsider(unit);
    });
}

// One who comes to run after "nobody wants more" was found sees filling_ unset, or is seen here.
void SchedGroup::Refill::due(Timer& timer) {
    SchedGroup& group = static_cast<Refill&>(timer).group;
    group.fill();
    if (!group.wants_more()) {
        group.filling_.store(false);
        if (!group.wants_more() || group.filling_.exchange(true)) return;
    }
    const Nanoseconds time = now();
    const Nanoseconds next = timer.deadline + kCapPeriod;
    timer_set(timer, next > time ? next : time + kCapPeriod);
}

[[gnu::cold]] Result<> SchedGroup::join(uint32_t pool_id) {
    const LockGuard guard(cpu_pools_lock);
    CpuPool* const pool = find_cpu_pool(pool_id);
    if (pool == nullptr || pool->cpus.is_empty()) return Errno::kEINVAL;
    pool_.store(pool, std::memory_order_release);
    counted_ = true;
    ++pool->domains;
    return {};
}

[[gnu::cold]] void SchedGroup::leave() {
    const LockGuard guard(cpu_pools_lock);
    if (!counted_) return;
    counted_ = false;
    --pool().domains;
    pool_.store(&first_cpu_pool, std::memory_order_release);
}

[[gnu::cold]] Result<> SchedGroup::move_to(CpuPool& pool) {
    if (!counted_ || pool.cpus.is_empty()) return Errno::kEINVAL;
    for_each_unit([](SchedUnit& unit) { Affinity(unit).reset(); });
    --this->pool().domains;
    ++pool.domains;
    pool_.store(&pool, std::memory_order_release);
    for_each_unit([](SchedUnit& unit) { RunQueue::relocate(unit); });
    return {};
}

}  // namespace torii
