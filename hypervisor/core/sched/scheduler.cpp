#include "core/sched/scheduler.h"

#include <algorithm>

#include "port/machine.h"

namespace torii {

constinit std::atomic<bool> many_cpus{false};

namespace {

constexpr int64_t virtual_length(int64_t nanoseconds, uint32_t weight) {
    return nanoseconds * static_cast<int64_t>(kDefaultWeight) / weight;
}

// How many units pick() looks at before it takes the earliest deadline regardless. The eligible ones are
// nearly always among the first: this only bounds the work.
constexpr unsigned kPickDepth = 16;

uint32_t bounded_weight(uint32_t weight) {
    return weight < kLeastWeight ? kLeastWeight : weight > kMostWeight ? kMostWeight : weight;
}

bool there_are_many_cpus() {
    return many_cpus.load(std::memory_order_relaxed);
}

}  // namespace

RunQueue::RunQueue(CpuId cpu, CpuPlace place) : cpu_(cpu), place_(place), slice_timer_(cpu) {}

void RunQueue::start(SchedUnit& idle, Nanoseconds now) {
    idle.queue_.store(this);
    idle.held_back_.store(0);
    idle.running_.store(true);
    idle.clock.begin(now);
    idle.clock.change(abi::RunState::kRunning, now);
    idle_ = &idle;
    current_ = &idle;
}

// ---- virtual time

int64_t RunQueue::virtual_now() {
    if (total_weight_ == 0) return base_;
    // The base follows, so that the sum stays small.
    const int64_t moved = weighted_offset_ / total_weight_;
    base_ += moved;
    weighted_offset_ -= moved * total_weight_;
    return base_;
}

void RunQueue::activate(SchedUnit& unit) {
    // Credit is owed by the others that are active, if any.
    const int64_t credit = total_weight_ == 0 ? 0 : static_cast<int64_t>(kWakeCredit);
    const int64_t earliest = virtual_now() - credit;
    if (unit.carried_) [[unlikely]] {
        unit.carried_ = false;
        unit.virtual_time_ += earliest + credit;
    } else if (unit.virtual_time_ - earliest < 0) {
        unit.virtual_time_ = earliest;
    }
    if (total_weight_ == 0) base_ = unit.virtual_time_;
    total_weight_ += unit.weight_;
    weighted_offset_ += (unit.virtual_time_ - base_) * unit.weight_;
    unit.active_ = true;
    give_slice(unit, kWakeSlice);
}

void RunQueue::deactivate(SchedUnit& unit) {
    if (total_weight_ == unit.weight_) (void)virtual_now();  // the last one leaves: V stays where it is
    total_weight_ -= unit.weight_;
    weighted_offset_ -= (unit.virtual_time_ - base_) * unit.weight_;
    unit.active_ = false;
    if (total_weight_ != 0) return;
    weighted_offset_ = 0;
    comparable_ = false;
}

void RunQueue::charge(SchedUnit& unit, Nanoseconds now) {
    if (&unit == idle_ || now <= unit.charged_until_) return;
    const auto ran = static_cast<int64_t>(now - unit.charged_until_);
    unit.charged_until_ = now;
    const int64_t step = virtual_length(ran, unit.weight_);
    unit.virtual_time_ += step;
    unit.slice_left_ -= ran;
    if (unit.active_) weighted_offset_ += step * unit.weight_;
    if (unit.capped_) [[unlikely]]
        unit.quota_ -= ran;
    if (unit.slice_left_ <= 0) give_slice(unit, kSlice);
}

void RunQueue::give_slice(SchedUnit& unit, Nanoseconds length) {
    unit.slice_left_ = static_cast<int64_t>(length);
    unit.deadline_ = unit.virtual_time_ + virtual_length(unit.slice_left_, unit.weight_);
}

// ---- the queue

void RunQueue::enqueue(SchedUnit& unit) {
    tree_.insert(unit);
    unit.queued_ = true;
    waiting_.store(waiting_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void RunQueue::dequeue(SchedUnit& unit) {
    tree_.erase(tree_.iterator_to(unit));
    unit.queued_ = false;
    waiting_.store(waiting_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

// The eligible unit with the earliest deadline; `passed_over`, which yields, only when it is alone. Idle when
// empty.
SchedUnit& RunQueue::pick(const SchedUnit* passed_over) {
    const int64_t v = virtual_now();
    SchedUnit* earliest = nullptr;
    unsigned depth = 0;
    for (SchedUnit& unit : tree_) {
        COUNT_SCHED_STEP();
        if (&unit == passed_over) continue;
        if (earliest == nullptr) earliest = &unit;
        if (unit.virtual_time_ - v <= 0) return unit;
        if (++depth == kPickDepth) break;
    }
    if (earliest != nullptr) return *earliest;
    return tree_.empty() ? *idle_ : *tree_.begin();
}

// `unit` was picked and runs on a quota. Without one it is held back until its group's budget is filled up,
// and another one is picked.
[[gnu::noinline]] SchedUnit& RunQueue::pick_with_quota(SchedUnit* unit, const SchedUnit* passed_over) {
    while (unit->capped_) {
        if (unit->group_->take_quota(*unit)) break;
        unit->held_back_.fetch_or(SchedUnit::kCapped);
        if (unit->group_->take_quota(*unit)) {  // filled up before whoever did so could see that
            unit->held_back_.fetch_and(~SchedUnit::kCapped);
            break;
        }
        dequeue(*unit);
        deactivate(*unit);
        unit = &pick(passed_over);
    }
    return *unit;
}

bool RunQueue::should_preempt(const SchedUnit& woken) {
    if (current_ == idle_ || !current_->active_) return true;
    return woken.virtual_time_ - virtual_now() <= 0 && woken.deadline_ - current_->deadline_ < 0;
}

abi::RunState RunQueue::idle_state(const SchedUnit& unit) {
    const uint32_t reasons = unit.held_back_.load();
    // Held back by a cap it would still like to run: that is stolen time.
    if ((reasons & ~SchedUnit::kCapped) == 0) return abi::RunState::kRunnable;
    // "Blocked" goes before "offline" when both are true (public vcpu.h).
    return (reasons & SchedUnit::kBlocked) != 0 ? abi::RunState::kBlocked : abi::RunState::kOffline;
}

// ---- switching

void RunQueue::SliceTimer::ended(Timer& timer) {
    request_reschedule(static_cast<SliceTimer&>(timer).cpu);
}

// Another CPU that waits for a unit to stop may take its stack away as soon as it doesn't count as running.
// So that is said by whoever runs next, on its own stack.
void RunQueue::arrived() {
    SchedUnit* const left = leaving_;
    if (left == nullptr) return;
    leaving_ = nullptr;
    if (left->moving_) [[unlikely]]
        return finish_move(*left);
    left->running_.store(false, std::memory_order_release);
}

void RunQueue::put_away(SchedUnit& unit, bool yielding) {
    if (unit.capped_) [[unlikely]]
        unit.group_->give_back(unit);
    if (!unit.is_runnable() || unit.moving_) {
        if (unit.active_) deactivate(unit);
        return;
    }
    if (yielding) give_slice(unit, kSlice);
    enqueue(unit);
}

void RunQueue::begin_running(SchedUnit& from, SchedUnit& to, Nanoseconds time) {
    from.clock.change(&from == idle_ ? abi::RunState::kRunnable : idle_state(from), time);
    to.clock.change(abi::RunState::kRunning, time);
    to.on_since_ = time;
    to.charged_until_ = time;
    to.running_.store(true, std::memory_order_relaxed);
    current_ = &to;
}

// lock_ held, but for a while in between. The CPU would become idle: before it does it looks for a unit that
// waits elsewhere. `from` may be woken meanwhile.
[[gnu::noinline]] SchedUnit& RunQueue::look_around(SchedUnit& from, Nanoseconds time) {
    marked_idle_ = true;
    lock_.unlock();
    pull();
    lock_.lock();
    charge(from, time);
    if (&from != idle_ && from.is_runnable() && !from.moving_) {
        activate(from);
        enqueue(from);
    }
    return pick_with_quota(&pick(nullptr), nullptr);
}

// What a choice asks for once the lock is given back.
[[gnu::noinline]] void RunQueue::finish_choice(const SchedUnit& to, Nanoseconds time) {
    if (helper_ != nullptr) request_reschedule(helper_->cpu_);
    helper_ = nullptr;
    if (to.group_ != nullptr && to.group_->cap() != 0) to.group_->keep_filling(time);
}

void RunQueue::switch_from_current(bool yielding) {
    const Nanoseconds time = now();
    bool unfinished = there_are_many_cpus();
    if (unfinished && time >= next_balance_) balance(time);
    SchedUnit& from = *current_;
    SchedUnit* to;
    Nanoseconds slice_end = kNever;
    {
        const LockGuard guard(lock_);
        charge(from, time);
        if (&from != idle_) put_away(from, yielding);
        to = &pick(yielding ? &from : nullptr);
        if (to->capped_) [[unlikely]]
            to = &pick_with_quota(to, yielding ? &from : nullptr);
        if (to == idle_ && unfinished) to = &look_around(from, time);
        if (to != idle_) {
            dequeue(*to);
            if (to->capped_) [[unlikely]] {
                slice_end = time + static_cast<Nanoseconds>(std::min(to->slice_left_, to->quota_));
                unfinished = true;
            } else if (!tree_.empty()) {
                slice_end = time + static_cast<Nanoseconds>(to->slice_left_);
            }
        }
        if (to != &from) begin_running(from, *to, time);
        if (there_are_many_cpus()) helper_ = after_choice(*to);
    }
    if (slice_end != kNever || slice_timer_.armed()) timer_set(slice_timer_, slice_end);
    if (unfinished) finish_choice(*to, time);
    if (to == &from) return;
    leaving_ = &from;
    sched_switch_to(from, *to);
    // A vCPU has arrived already, perhaps on another CPU.
    if (&from == idle_) arrived();
}

void RunQueue::schedule() {
    switch_from_current(false);
}

void RunQueue::yield() {
    if (waiting() == 0) return;
    switch_from_current(true);
}

// ---- from anywhere

[[gnu::cold]] void RunQueue::place(SchedUnit& unit, SchedGroup& group, Nanoseconds time) {
    placed_.fetch_add(1, std::memory_order_relaxed);
    const LockGuard guard(lock_);
    unit.group_ = &group;
    unit.weight_ = bounded_weight(group.weight());
    unit.capped_ = group.cap() != 0;
    unit.virtual_time_ = virtual_now();
    unit.clock.begin(time);
    unit.queue_.store(this, std::memory_order_release);
}

[[gnu::cold]] void RunQueue::remove(SchedUnit& unit) {
    at_home(unit, [&unit](RunQueue& queue) {
        BUG_ON(&unit == queue.current_);
        queue.placed_.fetch_sub(1, std::memory_order_relaxed);
        if (unit.queued_) queue.dequeue(unit);
        if (unit.active_) queue.deactivate(unit);
    });
}

[[gnu::cold]] void RunQueue::set_weight(SchedUnit& unit, uint32_t weight) {
    at_home(unit, [&unit, weight](RunQueue& queue) {
        if (&unit == queue.current_) queue.charge(unit, now());
        const bool queued = unit.queued_;
        const bool active = unit.active_;
        if (queued) queue.dequeue(unit);
        if (active) queue.deactivate(unit);
        unit.weight_ = bounded_weight(weight);
        if (active) queue.activate(unit);
        if (queued) queue.enqueue(unit);
    });
}

[[gnu::cold]] void RunQueue::set_capped(SchedUnit& unit, bool capped) {
    const bool runs_here = at_home(unit, [&](RunQueue& queue) {
        const bool current = &unit == queue.current_;
        if (current) queue.charge(unit, now());
        unit.capped_ = capped;
        unit.quota_ = 0;
        return current;
    });
    if (runs_here) request_reschedule(unit.cpu());
    if (!capped && (unit.held_back_.fetch_and(~SchedUnit::kCapped) & SchedUnit::kCapped) != 0)
        reconsider(unit);
}

// Its home isn't where it was, or it must go and is still leaving its stack. Whoever changed the home has
// looked for a good one.
[[gnu::cold]] void RunQueue::reconsider_again(SchedUnit& unit) {
    do {
        if (unit.is_running()) serve_while_waiting();
    } while (!unit.queue_.load(std::memory_order_acquire)->try_reconsider(unit, true));
}

bool RunQueue::try_reconsider(SchedUnit& unit, bool placed) {
    bool preempt = false;
    Nanoseconds rescheduling_at = kNever;
    {
        const LockGuard guard(lock_);
        if (unit.queue_.load(std::memory_order_relaxed) != this) [[unlikely]]
            return false;
        const bool runnable = unit.is_runnable();
        if (&unit == current_) {
            // It stops on its way out of the hypervisor; going on needs nothing, it hasn't been taken off.
            preempt = !runnable;
        } else if (runnable == unit.queued_) {
            // Another call has seen to it, or one reason not to run has taken over from another.
            if (!runnable && unit.clock.state() != idle_state(unit))
                unit.clock.change(idle_state(unit), now());
            // Chosen for it, and then it was held back: this CPU is free for others again.
            if (placed && !runnable && current_ == idle_) [[unlikely]]
                (void)after_choice(*idle_);
        } else if (runnable) {
            if (there_are_many_cpus() && !stays(unit, placed)) return false;
            const Nanoseconds time = now();
            charge(*current_, time);
            unit.clock.change(abi::RunState::kRunnable, time);
            activate(unit);
            enqueue(unit);
            preempt = should_preempt(unit);
            if (current_ != idle_) {
                const Nanoseconds shortest =
                    current_->on_since_ + shortest_run_.load(std::memory_order_relaxed);
                if (!preempt) {
                    rescheduling_at = time + static_cast<Nanoseconds>(current_->slice_left_);
                } else if (time < shortest && cpu_ == this_cpu()) {
                    preempt = false;
                    rescheduling_at = shortest;
                }
            }
        } else {
            dequeue(unit);
            deactivate(unit);
            unit.clock.change(idle_state(unit), now());
        }
    }
    if (preempt || (rescheduling_at != kNever && cpu_ != this_cpu())) {
        request_reschedule(cpu_);
    } else if (rescheduling_at != kNever &&
               (!slice_timer_.armed() || rescheduling_at < slice_timer_.deadline)) {
        timer_set(slice_timer_, rescheduling_at);
    }
    return true;
}

abi::VcpuRunstateInfo sched_runstate(const SchedUnit& unit) {
    return RunQueue::at_home(unit, [&unit](RunQueue&) { return unit.clock.snapshot(now()); });
}

abi::VcpuRunstateInfo sched_last_runstate(const SchedUnit& unit) {
    // As of its last change: no time has passed since.
    return RunQueue::at_home(unit, [&unit](RunQueue&) { return unit.clock.snapshot(0); });
}

[[gnu::cold]] void sched_place(SchedUnit& unit, SchedGroup& group, Nanoseconds now) {
    RunQueue* best = nullptr;
    group.pool().cpus.for_each([&best](CpuId cpu) {
        RunQueue& queue = cpu_scheduler(cpu).queue;
        if (best == nullptr || queue.is_emptier_than(*best)) best = &queue;
    });
    // A pool with domains has a CPU, but it may be exchanging the last one; the unit moves when it wakes.
    if (best == nullptr) best = &this_cpu_scheduler().queue;
    best->place(unit, group, now);
    group.add(unit);
}

[[gnu::cold]] void sched_remove(SchedUnit& unit) {
    RunQueue::remove(unit);
}

void sched_yield() {
    this_cpu_scheduler().queue.yield();
}

void sched_reschedule() {
    this_cpu_scheduler().queue.schedule();
}

void sched_arrived() {
    this_cpu_scheduler().queue.arrived();
}

void sched_begin_block(SchedUnit& unit) {
    unit.held_back_.fetch_or(SchedUnit::kBlocked);
}

bool sched_cancel_block(SchedUnit& unit) {
    return (unit.held_back_.fetch_and(~SchedUnit::kBlocked) & SchedUnit::kBlocked) != 0;
}

void sched_wake(SchedUnit& unit) {
    if (!unit.is_blocked()) return;
    if (sched_cancel_block(unit)) RunQueue::reconsider(unit);
}

void sched_pause(SchedUnit& unit) {
    unit.held_back_.fetch_add(SchedUnit::kPause);
    RunQueue::reconsider(unit);
}

void sched_unpause(SchedUnit& unit) {
    const uint32_t before = unit.held_back_.fetch_sub(SchedUnit::kPause);
    if ((before & ~SchedUnit::kCapped) == SchedUnit::kPause) RunQueue::reconsider(unit);
}

}  // namespace torii
