// Several CPUs: which one a unit runs on (scheduler.h says by what rules).
#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii {

namespace {

// Bounds of one search: CPUs looked at, and waiting units of one queue.
constexpr unsigned kMostCpusSearched = 64;
constexpr unsigned kMostUnitsSearched = 16;
constexpr unsigned kMostQueuesTried = 4;

int64_t virtual_length(Nanoseconds time, uint32_t weight) {
    return static_cast<int64_t>(time) * kDefaultWeight / weight;
}

int64_t clamped(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

// Calls `visit` with each CPU that `word(index)` has a bit for, from the word of `start` on and round; until
// it returns true, or enough were seen.
template <class Word, class Visit>
void search_cpus(CpuId start, Word&& word, Visit&& visit) {
    unsigned seen = 0;
    for (unsigned i = 0; i < cpu_mask_words; ++i) {
        const unsigned index = (start.raw() / 64 + i) % cpu_mask_words;
        for (uint64_t bits = word(index); bits != 0; bits &= bits - 1) {
            if (++seen > kMostCpusSearched) return;
            if (visit(CpuId(index * 64 + static_cast<unsigned>(__builtin_ctzll(bits))))) return;
        }
    }
}

}  // namespace

bool RunQueue::may_run(const SchedUnit& unit, CpuId cpu) {
    if (!unit.group_->pool().cpus.contains(cpu)) return false;
    if (!unit.bound_) return true;
    return unit.pinned_ ? unit.pinned_to_ == cpu : unit.hard_.contains(cpu);
}

// ---- where a unit should wait

bool RunQueue::core_is_idle() {
    for (RunQueue* thread = next_thread_.load(std::memory_order_relaxed); thread != this;
         thread = thread->next_thread_.load(std::memory_order_relaxed)) {
        const CpuPool* const pool = thread->pool();
        if (pool != nullptr && !pool->idle.contains(thread->cpu_)) return false;
    }
    return true;
}

[[gnu::cold]] unsigned RunQueue::placed_on_core() const {
    unsigned sum = placed();
    for (const RunQueue* thread = next_thread_.load(std::memory_order_relaxed); thread != this;
         thread = thread->next_thread_.load(std::memory_order_relaxed))
        sum += thread->placed();
    return sum;
}

[[gnu::cold]] bool RunQueue::is_emptier_than(const RunQueue& other) const {
    if (placed() != other.placed()) return placed() < other.placed();
    return placed_on_core() < other.placed_on_core();
}

RunQueue* RunQueue::best_idle(const SchedUnit& unit, bool only_preferred) {
    const CpuPool& pool = unit.group_->pool();
    // It is warm where it ran last; one that never ran goes where a whole core is free.
    const bool here =
        pool.idle.contains(cpu_) && may_run(unit, cpu_) && (unit.on_since_ != 0 || core_is_idle());
    if (here && (!only_preferred || unit.soft_.contains(cpu_))) return this;
    RunQueue* best = nullptr;
    unsigned best_score = 0;
    search_cpus(
        cpu_,
        [&](unsigned i) {
            uint64_t bits = pool.idle.word(i) & pool.cpus.word(i);
            if (unit.bound_ && !unit.pinned_) bits &= unit.hard_.word(i);
            return only_preferred ? bits & unit.soft_.word(i) : bits;
        },
        [&](CpuId cpu) {
            if (unit.pinned_ && cpu != unit.pinned_to_) return false;
            RunQueue& queue = cpu_scheduler(cpu).queue;
            unsigned score = 1;
            if (queue.place_.package == place_.package) score += 1;
            if (queue.core_is_idle()) score += 2;
            if (score > best_score) {
                best = &queue;
                best_score = score;
            }
            return score == 4;
        });
    return best;
}

[[gnu::cold]] RunQueue* RunQueue::least_loaded(const SchedUnit& unit) {
    const CpuPool& pool = unit.group_->pool();
    RunQueue* best = nullptr;
    search_cpus(
        unit.pinned_ ? unit.pinned_to_ : cpu_,
        [&](unsigned i) {
            const bool bound = unit.bound_ && !unit.pinned_;
            return pool.cpus.word(i) & (bound ? unit.hard_.word(i) : ~uint64_t{0});
        },
        [&](CpuId cpu) {
            if (!may_run(unit, cpu)) return false;
            RunQueue& queue = cpu_scheduler(cpu).queue;
            if (best == nullptr || queue.waiting() < best->waiting()) best = &queue;
            return false;
        });
    return best;
}

RunQueue& RunQueue::best_home(const SchedUnit& unit) {
    RunQueue* best = unit.prefers_ ? best_idle(unit, true) : nullptr;
    if (best == nullptr) best = best_idle(unit, false);
    if (best != nullptr) {
        // One that sleeps on leaves the CPU to others.
        if (unit.is_runnable()) unit.group_->pool().idle.remove(best->cpu_);
        return *best;
    }
    const bool liked = !unit.prefers_ || unit.soft_.contains(cpu_);
    if (liked && may_run(unit, cpu_)) return *this;
    best = least_loaded(unit);
    // Nothing at all: only while a pool changes. Whoever changes it comes back to the unit.
    return best != nullptr ? *best : *this;
}

bool RunQueue::stays(SchedUnit& unit, bool placed) {
    const bool allowed = may_run(unit, cpu_);
    // Another CPU can't have the unit before it has left its stack; on this one it may wait meanwhile.
    if (unit.running_.load(std::memory_order_relaxed)) return allowed;
    if (placed && allowed) return true;
    RunQueue& home = best_home(unit);
    if (&home == this) return true;
    carry(unit, home, lag_of(unit, kWakeCredit));
    return false;
}

int64_t RunQueue::lag_of(const SchedUnit& unit, Nanoseconds most_credit) {
    if (unit.carried_) return unit.virtual_time_;
    return clamped(unit.virtual_time_ - virtual_now(), -static_cast<int64_t>(most_credit),
                   virtual_length(kMostDrift, unit.weight_));
}

// The unit is in no queue now: the next one who finds it runnable at its new home puts it there.
void RunQueue::carry(SchedUnit& unit, RunQueue& to, int64_t lag) {
    unit.virtual_time_ = lag;
    unit.carried_ = true;
    placed_.fetch_sub(1, std::memory_order_relaxed);
    to.placed_.fetch_add(1, std::memory_order_relaxed);
    unit.queue_.store(&to, std::memory_order_release);
}

// ---- who comes for a unit that waits

RunQueue* RunQueue::after_choice(const SchedUnit& to) {
    CpuPool* const pool = this->pool();
    if (pool == nullptr) return nullptr;
    // A CPU that took this one for idle may have taken the mark away.
    if (&to == idle_) {
        marked_idle_ = true;
        if (!pool->idle.contains(cpu_)) pool->idle.add(cpu_);
    } else if (marked_idle_) {
        marked_idle_ = false;
        if (pool->idle.contains(cpu_)) pool->idle.remove(cpu_);
    }
    if (tree_.empty() || pool->idle.is_empty()) return nullptr;
    RunQueue* const helper = best_idle(*tree_.begin(), false);
    return helper != this ? helper : nullptr;
}

[[gnu::cold]] SchedUnit* RunQueue::movable_to(CpuId cpu) {
    SchedUnit* best = nullptr;
    unsigned seen = 0;
    for (SchedUnit& unit : tree_) {
        if (++seen > kMostUnitsSearched) break;
        COUNT_SCHED_STEP();
        // One that is still leaving its stack stays, and so does the current one, which may be in between.
        if (unit.running_.load(std::memory_order_relaxed) || !may_run(unit, cpu)) continue;
        if (best == nullptr || unit.virtual_time_ - best->virtual_time_ < 0) best = &unit;
    }
    return best;
}

// False: `other` has nothing that may come here.
[[gnu::cold]] bool RunQueue::take_from(RunQueue& other) {
    const LockBoth both(lock_, other.lock_);
    // An idle one is about to run the only one that it has.
    if (other.current_ == other.idle_ && other.waiting() == 1) return false;
    SchedUnit* const unit = other.movable_to(cpu_);
    if (unit == nullptr) return false;
    other.charge(*other.current_, now());
    const int64_t lag = other.lag_of(*unit, kWakeCredit);
    other.dequeue(*unit);
    other.deactivate(*unit);
    other.carry(*unit, *this, lag);
    activate(*unit);
    enqueue(*unit);
    return true;
}

[[gnu::cold]] void RunQueue::pull() {
    CpuPool* const pool = this->pool();
    if (pool == nullptr) return;
    // The mark comes before the look, so that who queues a unit meanwhile sees that this CPU would have it.
    pool->idle.add(cpu_);
    // The busiest first.
    RunQueue* found[kMostQueuesTried]{};
    search_cpus(
        cpu_, [&](unsigned i) { return pool->cpus.word(i); },
        [&](CpuId cpu) {
            RunQueue* queue = &cpu_scheduler(cpu).queue;
            if (queue == this || queue->waiting() == 0) return false;
            for (RunQueue*& place : found) {
                if (place != nullptr && place->waiting() >= queue->waiting()) continue;
                RunQueue* const pushed_back = place;
                place = queue;
                queue = pushed_back;
                if (queue == nullptr) break;
            }
            return false;
        });
    for (RunQueue* const queue : found) {
        if (queue == nullptr || take_from(*queue)) return;
    }
}

[[gnu::cold]] RunQueue* RunQueue::next_in_pool() {
    const CpuPool* const pool = this->pool();
    if (pool == nullptr) return nullptr;
    for (unsigned i = 0; i <= cpu_mask_words; ++i) {
        const unsigned after = i == 0 ? compared_with_ + 1 : 0;
        const unsigned index = ((compared_with_ + 1) / 64 + i) % cpu_mask_words;
        uint64_t bits = pool->cpus.word(index);
        if (i == 0) bits &= ~uint64_t{0} << (after % 64);
        if (index == cpu_.raw() / 64) bits &= ~(uint64_t{1} << (cpu_.raw() % 64));
        if (bits == 0) continue;
        compared_with_ = index * 64 + static_cast<unsigned>(__builtin_ctzll(bits));
        return &cpu_scheduler(CpuId(compared_with_)).queue;
    }
    return nullptr;
}

// ---- long-run fairness

// Own CPU, now and then while it switches. Only a CPU on which somebody waits has anything to give away.
[[gnu::cold]] void RunQueue::balance(Nanoseconds time) {
    next_balance_ = time + kBalancePeriod;
    if (waiting() == 0 || is_idle()) return;
    RunQueue* idle = nullptr;
    {
        const LockGuard guard(lock_);
        unsigned seen = 0;
        for (const SchedUnit& unit : tree_) {
            if (idle != nullptr || ++seen > kMostUnitsSearched) break;
            idle = best_idle(unit, false);
        }
    }
    if (idle != nullptr && idle != this && idle->take_from(*this)) {
        request_reschedule(idle->cpu_);
        return;
    }
    RunQueue* const other = next_in_pool();
    if (other != nullptr && even_out(*other, time)) request_reschedule(other->cpu_);
}

// Both locks held. A queue that was empty knows nothing of how the others fared meanwhile: it starts level.
[[gnu::cold]] void RunQueue::set_up_comparison(RunQueue& other) {
    if (comparable_ && other.comparable_) return;
    const int64_t mine = virtual_now() + pool_offset_;
    const int64_t others = other.virtual_now() + other.pool_offset_;
    if (other.comparable_) {
        pool_offset_ += others - mine;
    } else {
        other.pool_offset_ += mine - others;
    }
    comparable_ = true;
    other.comparable_ = true;
}

[[gnu::cold]] bool RunQueue::even_out(RunQueue& other, Nanoseconds time) {
    const LockBoth both(lock_, other.lock_);
    if (tree_.empty() || other.total_weight_ == 0) return false;
    charge(*current_, time);
    other.charge(*other.current_, time);
    set_up_comparison(other);
    int64_t ahead = other.virtual_now() + other.pool_offset_ - virtual_now() - pool_offset_;
    SchedUnit* const unit = movable_to(other.cpu_);
    const uint32_t weight = unit != nullptr ? unit->weight_ : tree_.begin()->weight_;
    const int64_t most = virtual_length(kMostDrift, weight);
    if (ahead > most) {
        other.pool_offset_ -= ahead - most;
        ahead = most;
    } else if (ahead < -most) {
        pool_offset_ -= -most - ahead;
        ahead = -most;
    }
    if (unit == nullptr || ahead <= virtual_length(kBalanceLag, weight)) return false;
    const int64_t lag = clamped(unit->virtual_time_ - virtual_now() - ahead, -most, most);
    dequeue(*unit);
    deactivate(*unit);
    carry(*unit, other, lag);
    other.activate(*unit);
    other.enqueue(*unit);
    return true;
}

// ---- units that have to go

// It has left its stack, and counts as running until it has a home where it may stay.
[[gnu::cold]] void RunQueue::finish_move(SchedUnit& unit) {
    for (;;) {
        RunQueue* home = nullptr;
        {
            const LockGuard guard(lock_);
            home = &best_home(unit);
        }
        bool queued = false;
        {
            const LockBoth both(lock_, home->lock_);
            if (!may_run(unit, home->cpu_) && home != this) continue;
            unit.moving_ = false;
            if (!unit.queued_ && home != this) carry(unit, *home, lag_of(unit, kWakeCredit));
            if (!unit.queued_ && unit.is_runnable()) {
                home->activate(unit);
                home->enqueue(unit);
                queued = true;
            }
            unit.running_.store(false, std::memory_order_release);
        }
        if (queued) request_reschedule(home->cpu_);
        return;
    }
}

[[gnu::cold]] void RunQueue::relocate(SchedUnit& unit) {
    enum class Outcome { kSettled, kMoved, kLeavesSoon, kIsLeaving };
    for (;;) {
        CpuId cpu{};
        const Outcome outcome = at_home(unit, [&](RunQueue& queue) {
            cpu = queue.cpu_;
            if (may_run(unit, queue.cpu_)) return Outcome::kSettled;
            if (&unit == queue.current_) {
                unit.moving_ = true;
                return Outcome::kLeavesSoon;
            }
            if (unit.running_.load(std::memory_order_relaxed)) return Outcome::kIsLeaving;
            RunQueue& home = queue.best_home(unit);
            if (&home == &queue) return Outcome::kSettled;
            const int64_t lag = queue.lag_of(unit, kWakeCredit);
            if (unit.queued_) queue.dequeue(unit);
            if (unit.active_) queue.deactivate(unit);
            queue.carry(unit, home, lag);
            return Outcome::kMoved;
        });
        if (outcome == Outcome::kLeavesSoon) request_reschedule(cpu);
        if (outcome == Outcome::kMoved) reconsider(unit);
        if (outcome != Outcome::kIsLeaving) return;
        serve_while_waiting();
    }
}

// ---- CPUs that come and go

[[gnu::cold]] void RunQueue::join(CpuPool& pool) {
    {
        const LockGuard guard(lock_);
        pool_.store(&pool, std::memory_order_relaxed);
        shortest_run_.store(pool.shortest_run, std::memory_order_relaxed);
        if (current_ == idle_) pool.idle.add(cpu_);
    }
    pool.cpus.add(cpu_);
    if (cpu_ != this_cpu()) request_reschedule(cpu_);  // it may find something to do
}

[[gnu::cold]] void RunQueue::leave() {
    const LockGuard guard(lock_);
    if (CpuPool* const pool = this->pool(); pool != nullptr) pool->idle.remove(cpu_);
    pool_.store(nullptr, std::memory_order_relaxed);
}

[[gnu::cold]] bool RunQueue::is_vacant() {
    const LockGuard guard(lock_);
    return placed() == 0 && current_ == idle_;
}

[[gnu::cold]] void sched_cpu_is_up(CpuId cpu) {
    RunQueue& queue = cpu_scheduler(cpu).queue;
    const LockGuard guard(cpu_pools_lock);
    queue.find_siblings(first_cpu_pool);
    if (!first_cpu_pool.cpus.is_empty()) many_cpus.store(true, std::memory_order_relaxed);
    queue.join(first_cpu_pool);
}

[[gnu::cold]] void RunQueue::find_siblings(const CpuPool& others) {
    bool found = false;
    others.cpus.for_each([&](CpuId cpu) {
        RunQueue& other = cpu_scheduler(cpu).queue;
        if (found || other.place_.core != place_.core || other.place_.package != place_.package) return;
        next_thread_.store(other.next_thread_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        other.next_thread_.store(this, std::memory_order_release);
        found = true;
    });
}

}  // namespace torii
