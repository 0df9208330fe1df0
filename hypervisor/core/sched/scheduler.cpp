#include "core/sched/scheduler.h"

#include "port/machine.h"

namespace torii {

namespace {

constinit CpuScheduler* schedulers[kMostScheduledCpus];

constexpr int64_t virtual_length(int64_t nanoseconds, uint32_t weight) {
    return nanoseconds * static_cast<int64_t>(kDefaultWeight) / weight;
}

// How many units pick() looks at before it takes the earliest deadline regardless. The eligible ones are
// nearly always among the first: this only bounds the work.
constexpr unsigned kPickDepth = 16;

}  // namespace

void enter_cpu_scheduler(CpuId cpu, CpuScheduler& scheduler) {
    BUG_ON(cpu.raw() >= kMostScheduledCpus);
    schedulers[cpu.raw()] = &scheduler;
}

CpuScheduler& cpu_scheduler(CpuId cpu) {
    return *schedulers[cpu.raw()];
}

RunQueue::RunQueue(CpuId cpu) : cpu_(cpu), slice_timer_(cpu) {}

void RunQueue::start(SchedUnit& idle, Nanoseconds now) {
    idle.cpu_ = cpu_;
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
    if (unit.virtual_time_ - earliest < 0) unit.virtual_time_ = earliest;
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
    if (total_weight_ == 0) weighted_offset_ = 0;
}

void RunQueue::charge(SchedUnit& unit, Nanoseconds now) {
    if (&unit == idle_ || now <= unit.charged_until_) return;
    const auto ran = static_cast<int64_t>(now - unit.charged_until_);
    unit.charged_until_ = now;
    const int64_t step = virtual_length(ran, unit.weight_);
    unit.virtual_time_ += step;
    unit.slice_left_ -= ran;
    if (unit.active_) weighted_offset_ += step * unit.weight_;
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
        if (&unit == passed_over) continue;
        if (earliest == nullptr) earliest = &unit;
        if (unit.virtual_time_ - v <= 0) return unit;
        if (++depth == kPickDepth) break;
    }
    if (earliest != nullptr) return *earliest;
    return tree_.empty() ? *idle_ : *tree_.begin();
}

bool RunQueue::should_preempt(const SchedUnit& woken) {
    if (current_ == idle_ || !current_->active_) return true;
    return woken.virtual_time_ - virtual_now() <= 0 && woken.deadline_ - current_->deadline_ < 0;
}

abi::RunState RunQueue::idle_state(const SchedUnit& unit) {
    const uint32_t reasons = unit.held_back_.load();
    if (reasons == 0) return abi::RunState::kRunnable;
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
    if (leaving_ == nullptr) return;
    leaving_->running_.store(false, std::memory_order_release);
    leaving_ = nullptr;
}

void RunQueue::switch_from_current(bool yielding) {
    const Nanoseconds time = now();
    SchedUnit& from = *current_;
    SchedUnit* to;
    Nanoseconds slice_end = kNever;
    {
        LockGuard guard(lock_);
        charge(from, time);
        if (&from != idle_) {
            if (from.is_runnable()) {
                if (yielding) give_slice(from, kSlice);
                enqueue(from);
            } else if (from.active_) {
                deactivate(from);
            }
        }
        to = &pick(yielding ? &from : nullptr);
        if (to != idle_) dequeue(*to);
        if (to != &from) {
            from.clock.change(&from == idle_ ? abi::RunState::kRunnable : idle_state(from), time);
            to->clock.change(abi::RunState::kRunning, time);
            to->on_since_ = time;
            to->charged_until_ = time;
            to->running_.store(true, std::memory_order_relaxed);
            current_ = to;
        }
        if (to != idle_ && !tree_.empty()) slice_end = time + static_cast<Nanoseconds>(to->slice_left_);
    }
    if (slice_end != kNever || slice_timer_.armed()) timer_set(slice_timer_, slice_end);
    if (to == &from) return;
    leaving_ = &from;
    sched_switch_to(from, *to);
    arrived();
}

void RunQueue::schedule() {
    switch_from_current(false);
}

void RunQueue::yield() {
    if (waiting() == 0) return;
    switch_from_current(true);
}

// ---- from anywhere

void RunQueue::place(SchedUnit& unit, uint32_t weight, Nanoseconds time) {
    placed_.fetch_add(1, std::memory_order_relaxed);
    LockGuard guard(lock_);
    unit.cpu_ = cpu_;
    unit.weight_ = weight < kLeastWeight ? kLeastWeight : weight > kMostWeight ? kMostWeight : weight;
    unit.virtual_time_ = virtual_now();
    unit.clock.begin(time);
}

void RunQueue::remove(SchedUnit& unit) {
    placed_.fetch_sub(1, std::memory_order_relaxed);
    LockGuard guard(lock_);
    BUG_ON(&unit == current_);
    if (unit.queued_) dequeue(unit);
    if (unit.active_) deactivate(unit);
}

void RunQueue::set_weight(SchedUnit& unit, uint32_t weight) {
    LockGuard guard(lock_);
    if (&unit == current_) charge(unit, now());
    const bool queued = unit.queued_;
    const bool active = unit.active_;
    if (queued) dequeue(unit);
    if (active) deactivate(unit);
    unit.weight_ = weight < kLeastWeight ? kLeastWeight : weight > kMostWeight ? kMostWeight : weight;
    if (active) activate(unit);
    if (queued) enqueue(unit);
}

void RunQueue::reconsider(SchedUnit& unit) {
    bool preempt = false;
    Nanoseconds rescheduling_at = kNever;
    {
        LockGuard guard(lock_);
        const bool runnable = unit.is_runnable();
        if (&unit == current_) {
            // It stops on its way out of the hypervisor; going on needs nothing, it hasn't been taken off.
            preempt = !runnable;
        } else if (runnable == unit.queued_) {
            // Another call has seen to it, or one reason not to run has taken over from another.
            if (!runnable && unit.clock.state() != idle_state(unit))
                unit.clock.change(idle_state(unit), now());
        } else if (runnable) {
            const Nanoseconds time = now();
            charge(*current_, time);
            unit.clock.change(abi::RunState::kRunnable, time);
            activate(unit);
            enqueue(unit);
            preempt = should_preempt(unit);
            if (current_ != idle_) {
                const Nanoseconds shortest = current_->on_since_ + kShortestRun;
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
}

abi::VcpuRunstateInfo RunQueue::runstate(const SchedUnit& unit, Nanoseconds time) {
    LockGuard guard(lock_);
    return unit.clock.snapshot(time);
}

abi::VcpuRunstateInfo sched_runstate(const SchedUnit& unit) {
    return cpu_scheduler(unit.cpu()).queue.runstate(unit, now());
}

CpuId sched_emptiest_cpu() {
    CpuId best{0};
    for (unsigned i = 1; i < cpu_count(); ++i) {
        const CpuId cpu(i);
        if (cpu_scheduler(cpu).queue.placed() < cpu_scheduler(best).queue.placed()) best = cpu;
    }
    return best;
}

void sched_place(SchedUnit& unit, CpuId cpu, uint32_t weight, Nanoseconds now) {
    cpu_scheduler(cpu).queue.place(unit, weight, now);
}

void sched_remove(SchedUnit& unit) {
    cpu_scheduler(unit.cpu_).queue.remove(unit);
}

void sched_set_weight(SchedUnit& unit, uint32_t weight) {
    cpu_scheduler(unit.cpu_).queue.set_weight(unit, weight);
}

void sched_yield() {
    cpu_scheduler(this_cpu()).queue.yield();
}

void sched_reschedule() {
    cpu_scheduler(this_cpu()).queue.schedule();
}

void sched_arrived() {
    cpu_scheduler(this_cpu()).queue.arrived();
}

void sched_begin_block(SchedUnit& unit) {
    unit.held_back_.fetch_or(SchedUnit::kBlocked);
}

bool sched_cancel_block(SchedUnit& unit) {
    return (unit.held_back_.fetch_and(~SchedUnit::kBlocked) & SchedUnit::kBlocked) != 0;
}

void sched_wake(SchedUnit& unit) {
    if (!unit.is_blocked()) return;
    if (sched_cancel_block(unit)) cpu_scheduler(unit.cpu_).queue.reconsider(unit);
}

void sched_pause(SchedUnit& unit) {
    unit.held_back_.fetch_add(SchedUnit::kPause);
    cpu_scheduler(unit.cpu_).queue.reconsider(unit);
}

void sched_unpause(SchedUnit& unit) {
    if (unit.held_back_.fetch_sub(SchedUnit::kPause) == SchedUnit::kPause) {
        cpu_scheduler(unit.cpu_).queue.reconsider(unit);
    }
}

}  // namespace torii
