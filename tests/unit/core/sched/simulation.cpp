#include "unit/core/sched/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "port/machine.h"

namespace torii {

using test::machine;

namespace test {
Machine machine;
}

void panic_at(const char* reason, const char* file, unsigned line) {
    std::fprintf(stderr, "panic: %s at %s:%u\n", reason, file, line);
    std::abort();
}
// Alone on its thread, the simulation waits for nobody: whoever waited would wait for ever.
void serve_while_waiting() {
    BUG("a wait that never ends");
}
namespace {
struct HeldLock {
    LockRank rank;
    const void* lock;
};
std::vector<HeldLock> held;
}  // namespace
void lock_rank_enter(LockRank rank, const void* lock) {
    BUG_ON(!held.empty() &&
           (held.back().rank < rank || (held.back().rank == rank && held.back().lock >= lock)));
    held.push_back({rank, lock});
}
void lock_rank_leave(LockRank, const void* lock) {
    for (size_t i = held.size(); i-- > 0;) {
        if (held[i].lock != lock) continue;
        held.erase(held.begin() + static_cast<ptrdiff_t>(i));
        return;
    }
    BUG("a lock that isn't held");
}
Nanoseconds now() {
    return machine.time;
}
CpuId this_cpu() {
    return machine.cpu;
}
unsigned cpu_count() {
    return static_cast<unsigned>(machine.cpus.size());
}
void request_reschedule(CpuId cpu) {
    machine.cpus[cpu.raw()].reschedule = true;
}
void set_cpu_timer(CpuId cpu, Nanoseconds deadline) {
    BUG_ON(cpu != machine.cpu);
    machine.cpus[cpu.raw()].device = deadline;
    ++machine.device_sets;
}
CpuScheduler& cpu_scheduler(CpuId cpu) {
    return machine.simulation->cpu_scheduler(cpu.raw());
}
CpuScheduler& this_cpu_scheduler() {
    return cpu_scheduler(machine.cpu);
}
// Nothing has a stack here: who was switched to goes on at once.
void sched_switch_to(SchedUnit&, SchedUnit&) {
    BUG_ON(!held.empty());
    ++machine.switches;
    sched_arrived();
}

// Looks into the queues.
struct RunQueueAudit {
    static void check(RunQueue& queue, std::set<const SchedUnit*>& queued) {
        unsigned count = 0;
        int64_t weight = 0;
        int64_t offset = 0;
        const auto add = [&](const SchedUnit& unit) {
            EXPECT_TRUE(unit.active_);
            weight += unit.weight_;
            offset += (unit.virtual_time_ - queue.base_) * unit.weight_;
        };
        for (const SchedUnit& unit : queue.tree_) {
            EXPECT_TRUE(unit.queued_);
            EXPECT_TRUE(unit.is_runnable());
            EXPECT_FALSE(unit.is_running());
            EXPECT_EQ(unit.queue_.load(), &queue);
            EXPECT_TRUE(RunQueue::may_run(unit, queue.cpu_));
            EXPECT_TRUE(queued.insert(&unit).second);
            add(unit);
            ++count;
        }
        if (queue.current_ != queue.idle_) add(*queue.current_);
        EXPECT_EQ(count, queue.waiting());
        EXPECT_EQ(weight, queue.total_weight_);
        EXPECT_EQ(offset, queue.weighted_offset_);
        EXPECT_FALSE(queue.is_idle() && count != 0);
    }
    static RunQueue& home(const SchedUnit& unit) { return *unit.queue_.load(); }
    static bool is_queued(const SchedUnit& unit) { return unit.queued_; }
    static bool is_held_by_cap(const SchedUnit& unit) { return unit.held_back_.load() == SchedUnit::kCapped; }
};

namespace test {

void Simulation::Guest::Alarm::ring(Timer& timer) {
    Guest& guest = static_cast<Alarm&>(timer).guest;
    guest.woken_at = machine.time;
    sched_wake(guest.unit);
}

Nanoseconds Simulation::Guest::worst_delay() const {
    return delays.empty() ? 0 : *std::max_element(delays.begin(), delays.end());
}

Nanoseconds Simulation::Guest::delay_percentile(double part) const {
    std::vector<Nanoseconds> sorted = delays;
    std::sort(sorted.begin(), sorted.end());
    return sorted.empty() ? 0 : sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
}

Simulation::Simulation(unsigned cpus, std::function<CpuPlace(unsigned)> place) {
    machine = {};
    machine.simulation = this;
    machine.cpus.resize(cpus);
    cover_cpus(cpus);
    for (unsigned i = 0; i < cpus; ++i) {
        schedulers_.push_back(
            std::make_unique<CpuScheduler>(CpuId(i), place ? place(i) : CpuPlace{.core = i, .package = 0}));
        idle_.push_back(std::make_unique<SchedUnit>());
        queue(i).start(*idle_.back(), machine.time);
    }
    for (unsigned i = 0; i < cpus; ++i)
        sched_cpu_is_up(CpuId(i));
    deliver();
}

Simulation::~Simulation() {
    for (auto& guest : guests) {
        if (guest != nullptr) timer_cancel(guest->alarm);
    }
    for (auto& group : groups_)
        group->close();
    // The slice timers belong to the queues and go with them.
    for (unsigned i = 0; i < cpus(); ++i) {
        on(i, [&] {
            while (timers(i).next_deadline() != kNever)
                timers(i).expire(kNever - 1);
        });
    }
    for (auto& group : groups_)
        group->leave();
    const LockGuard guard(cpu_pools_lock);
    for (unsigned i = 0; i < cpus(); ++i) {
        if (queue(i).pool() != nullptr) queue(i).pool()->cpus.remove(CpuId(i));
        queue(i).leave();
    }
    EXPECT_TRUE(first_cpu_pool.idle.is_empty());
    many_cpus = false;
}

SchedGroup& Simulation::new_group(uint32_t weight) {
    groups_.push_back(std::make_unique<SchedGroup>());
    EXPECT_TRUE(groups_.back()->join(0).ok());
    groups_.back()->set_weight(weight);
    return *groups_.back();
}

Simulation::Guest& Simulation::add(Program program, uint32_t weight) {
    return add_to(new_group(weight), std::move(program));
}

Simulation::Guest& Simulation::add_to(SchedGroup& group, Program program) {
    guests.push_back(std::make_unique<Guest>(*this, std::move(program)));
    Guest& guest = *guests.back();
    sched_place(guest.unit, group, machine.time);
    start_next_step(guest);
    sched_unpause(guest.unit);
    return guest;
}

void Simulation::deliver() {
    bool any = true;
    while (any) {
        any = false;
        for (unsigned i = 0; i < cpus(); ++i) {
            if (!machine.cpus[i].reschedule) continue;
            machine.cpus[i].reschedule = false;
            any = true;
            ++machine.decisions;
            on(i, [] { sched_reschedule(); });
        }
    }
}

Simulation::Guest* Simulation::running(unsigned cpu) {
    RunQueue& queue = this->queue(cpu);
    return queue.is_idle() ? nullptr : static_cast<Unit&>(queue.current()).guest;
}

void Simulation::start_next_step(Guest& guest) {
    guest.step = guest.program();
    guest.left = guest.step.run;
}

// Its stretch of computing is over; it is the current one of machine.cpu.
void Simulation::finish_step(Guest& guest) {
    const Nanoseconds sleep = guest.step.sleep;
    start_next_step(guest);
    ++machine.decisions;
    if (sleep == 0) {
        sched_yield();
    } else {
        timer_set(guest.alarm, machine.time + sleep);
        sched_block(guest.unit, [] { return false; });
    }
}

Nanoseconds Simulation::next_event(Nanoseconds end) {
    Nanoseconds next = end;
    for (unsigned i = 0; i < cpus(); ++i) {
        next = std::min(next, std::max(machine.cpus[i].device, machine.time));
        const Guest* const guest = running(i);
        if (guest != nullptr && guest->left != kNever) next = std::min(next, machine.time + guest->left);
    }
    return next;
}

void Simulation::run_for(Nanoseconds length) {
    const Nanoseconds end = machine.time + length;
    deliver();
    while (machine.time < end) {
        for (unsigned i = 0; i < cpus(); ++i) {
            Guest* const guest = running(i);
            if (guest == nullptr || guest->woken_at == kNever) continue;
            guest->delays.push_back(machine.time - guest->woken_at);
            guest->woken_at = kNever;
        }
        // The next thing to happen: a timer, or the end of a stretch of computing.
        const Nanoseconds next = next_event(end);
        const Nanoseconds passed = next - machine.time;
        for (unsigned i = 0; i < cpus(); ++i) {
            Guest* const guest = running(i);
            if (guest != nullptr && guest->left != kNever) guest->left -= passed;
        }
        machine.time = next;
        for (unsigned i = 0; i < cpus(); ++i) {
            on(i, [&] {
                Guest* const guest = running(i);
                if (guest != nullptr && guest->left == 0) finish_step(*guest);
                if (machine.cpus[i].device > machine.time) return;
                machine.cpus[i].device = kNever;
                timers(i).expire(machine.time);
            });
        }
        deliver();
    }
}

void Simulation::end(size_t index) {
    Guest& guest = *guests[index];
    timer_cancel(guest.alarm);
    sched_pause(guest.unit);
    deliver();
    ASSERT_FALSE(guest.unit.is_running());
    sched_remove(guest.unit);
}

void Simulation::audit(Nanoseconds bound) {
    std::set<const SchedUnit*> queued;
    for (unsigned i = 0; i < cpus(); ++i)
        RunQueueAudit::check(queue(i), queued);
    for (auto& guest : guests) {
        const SchedUnit& unit = guest->unit;
        const RunQueue& home = RunQueueAudit::home(unit);
        const bool current = &home == &queue(home.cpu().raw()) && &queue(home.cpu().raw()).current() == &unit;
        EXPECT_EQ(unit.is_running(), current);
        EXPECT_EQ(queued.contains(&unit), RunQueueAudit::is_queued(unit));
        if (unit.is_runnable()) {
            EXPECT_TRUE(current != queued.contains(&unit));
        } else {
            EXPECT_FALSE(queued.contains(&unit));
        }
        EXPECT_TRUE(!current || RunQueue::may_run(unit, home.cpu()));
        bool neglected = false;
        for (unsigned i = 0; i < cpus() && queued.contains(&unit); ++i)
            neglected = neglected || (queue(i).is_idle() && RunQueue::may_run(unit, CpuId(i)));
        if (!neglected) {
            guest->waits_since = kNever;
        } else if (guest->waits_since == kNever) {
            guest->waits_since = machine.time;
        } else {
            EXPECT_LE(machine.time - guest->waits_since, bound);
        }
    }
}

}  // namespace test
}  // namespace torii
