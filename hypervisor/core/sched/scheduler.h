// Who runs where.
//
// Sharing. Every unit has a virtual time that advances as it runs, faster the smaller its weight. The queue's
// virtual time V is the average of those of its active units (running or runnable), weighted. A unit whose
// virtual time is not beyond V has had no more than its share and is *eligible*; among the eligible the one
// with the earliest virtual deadline runs, where the deadline is the moment, in its virtual time, at which it
// will have used up its slice. So each unit gets its share of the CPU by weight, within about a slice.
//
// Sleeping. A unit that wakes keeps its virtual time, so sleeping just before the end of a slice gains
// nothing; a long sleep counts as at most kWakeCredit of waiting. It asks for a short slice first
// (kWakeSlice): its deadline is near, so while it has had less than its share it preempts whoever computes,
// once that one has run for kShortestRun. If it turns out to compute too, its next slice is as long as the
// others'. How soon it runs is all that it gains: what it uses is charged like everyone's.
//
// Time is measured, not sampled: a unit can't hide between ticks. With nobody waiting there is no tick at
// all.
//
// Several CPUs (balance.cpp). Each has its own queue. A unit that wakes goes to its last CPU if that is idle,
// else to another idle one (a whole core before a thread of a busy one, its own package before another), else
// it waits at its last. A CPU that would become idle first takes over a unit that waits elsewhere. Where
// units outnumber CPUs, each CPU on which somebody waits compares the advance of its V with another one's
// every kBalancePeriod: V advances faster where fewer share, so the queue that is ahead has been the better
// one to be in, and one unit of the other moves there and is owed the difference. So three units on two CPUs
// get two thirds each.
//
// A unit takes along its distance to V. It changes its home only while it doesn't run; everything about it is
// guarded by its home's lock (LockRank::kRunQueue), but for the reasons not to run, which are atomic.
#pragma once

#include "core/sched/hooks.h"
#include "core/sched/run_queue.h"

namespace torii {

struct CpuScheduler {
    CpuScheduler(CpuId cpu, CpuPlace place) : timers(cpu), queue(cpu, place) {}
    TimerQueue timers;
    RunQueue queue;
};

// Defined by the platform, which makes one per CPU. Every CPU that some pool has ever had has one.
[[nodiscard]] CpuScheduler& cpu_scheduler(CpuId cpu);
[[nodiscard]] CpuScheduler& this_cpu_scheduler();
// A CPU has come up: it joins the first pool. Its queue has been started.
void sched_cpu_is_up(CpuId cpu);

// ---- what the rest of the hypervisor calls

// Gives a new unit a home, where the fewest are. It doesn't run before sched_unpause().
void sched_place(SchedUnit& unit, SchedGroup& group, Nanoseconds now);
// Takes away a paused unit that doesn't run.
void sched_remove(SchedUnit& unit);

// Lets others run; returns when the calling unit's turn comes again. For the way out of the hypervisor when a
// reschedule was requested, and after the calling unit was paused. The caller may be on another CPU then.
void sched_yield();
void sched_reschedule();
// The first thing a unit does when it comes to run: completes the switch that led to it.
void sched_arrived();

// Blocks the calling unit until sched_wake(). `ready` is asked after the unit counts as blocked: if it says
// true the unit goes on at once. So a wake-up between the caller's last look and its sleep isn't lost, as
// long as who changes the answer calls sched_wake() afterwards.
void sched_begin_block(SchedUnit& unit);
bool sched_cancel_block(SchedUnit& unit);  // false: it was woken already
template <class Ready>
void sched_block(SchedUnit& unit, Ready&& ready) {
    sched_begin_block(unit);
    if (ready()) {
        sched_cancel_block(unit);
        return;
    }
    sched_reschedule();
}
// Where the unit's time went, up to now.
[[nodiscard]] abi::VcpuRunstateInfo sched_runstate(const SchedUnit& unit);
// The same up to the last change of its state: what the guest's area gets.
[[nodiscard]] abi::VcpuRunstateInfo sched_last_runstate(const SchedUnit& unit);

// From any CPU, at any time: nothing happens unless the unit is blocked.
void sched_wake(SchedUnit& unit);

// Pauses add up. The unit may go on running until its CPU has left the guest; wait for !is_running() where it
// matters. A unit that pauses itself calls sched_reschedule() next.
void sched_pause(SchedUnit& unit);
void sched_unpause(SchedUnit& unit);

// Where a unit may run. All under the pools' lock. A running unit that may not stay moves soon.
class Affinity {
public:
    explicit Affinity(SchedUnit& unit) : unit_(unit) {}

    // What was set last; all CPUs of the machine if nothing was.
    void hard(CpuMask& cpus) const;
    void soft(CpuMask& cpus) const;
    // What has an effect: within the pool, and soft within hard.
    void effective_hard(CpuMask& cpus) const;
    // EINVAL: no CPU of the pool is among them. EBUSY: pinned for the time being.
    [[nodiscard]] Result<> check(const CpuMask& cpus, bool hard) const;
    // What check() accepts.
    void set_hard(const CpuMask& cpus);
    void set_soft(const CpuMask& cpus);
    // Runs on all CPUs of the pool again; no pin.
    void reset();

    // To one CPU for the time being, whatever was set. EINVAL: not in the pool. EBUSY: pinned elsewhere.
    [[nodiscard]] Result<> pin(CpuId cpu);
    void unpin();
    [[nodiscard]] bool is_pinned_to(CpuId cpu) const { return unit_.pinned_ && unit_.pinned_to_ == cpu; }
    // The one CPU that it may run on, if it is one. No lock needed for the caller's own.
    [[nodiscard]] bool only_cpu(CpuId& cpu) const;
    // The pool is about to lose the CPU: a unit that could run nowhere else may run everywhere.
    void prepare_loss(CpuId cpu);

private:
    SchedUnit& unit_;
};

}  // namespace torii
