// Who runs on a CPU.
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
// A unit stays on the CPU it was placed on. Everything about it is guarded by that CPU's queue lock
// (LockRank::kRunQueue), but for the reasons not to run, which are atomic.
#pragma once

#include <atomic>

#include "base/ids.h"
#include "base/lock.h"
#include "core/sched/hooks.h"
#include "core/sched/intrusive.h"
#include "core/sched/runstate.h"
#include "core/sched/timer.h"

namespace torii {

inline constexpr uint32_t kDefaultWeight = 256;
inline constexpr uint32_t kLeastWeight = 1;
inline constexpr uint32_t kMostWeight = 65535;
inline constexpr unsigned kMostScheduledCpus = 64;

inline constexpr Nanoseconds kSlice = 10'000'000;
inline constexpr Nanoseconds kWakeSlice = 1'000'000;
inline constexpr Nanoseconds kWakeCredit = 5'000'000;
inline constexpr Nanoseconds kShortestRun = 200'000;

class RunQueue;

// What is scheduled; embedded in a Vcpu, and one per CPU for idling. Starts with one pause, which
// sched_unpause() takes away when the vCPU comes up.
struct SchedUnit {
    SchedUnit() = default;
    SchedUnit(const SchedUnit&) = delete;

    RunstateClock clock;

    [[nodiscard]] bool is_blocked() const { return (held_back_.load() & kBlocked) != 0; }
    [[nodiscard]] bool is_runnable() const { return held_back_.load() == 0; }
    // On a CPU right now, or still leaving it.
    [[nodiscard]] bool is_running() const { return running_.load(std::memory_order_acquire); }
    [[nodiscard]] CpuId cpu() const { return cpu_; }
    [[nodiscard]] uint32_t weight() const { return weight_; }

private:
    friend class RunQueue;
    friend void sched_place(SchedUnit& unit, CpuId cpu, uint32_t weight, Nanoseconds now);
    friend void sched_remove(SchedUnit& unit);
    friend void sched_set_weight(SchedUnit& unit, uint32_t weight);
    friend void sched_begin_block(SchedUnit& unit);
    friend bool sched_cancel_block(SchedUnit& unit);
    friend void sched_wake(SchedUnit& unit);
    friend void sched_pause(SchedUnit& unit);
    friend void sched_unpause(SchedUnit& unit);

    // Reasons not to run: waiting for an event, and a count of pauses.
    static constexpr uint32_t kBlocked = 1;
    static constexpr uint32_t kPause = 2;
    std::atomic<uint32_t> held_back_{kPause};
    std::atomic<bool> running_{false};

    // Below: the queue's lock.
    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>> hook_;
    bool queued_ = false;  // in the tree: runnable and not running
    bool active_ = false;  // counted in the queue's virtual time
    CpuId cpu_{};
    uint32_t weight_ = kDefaultWeight;
    int64_t virtual_time_ = 0;       // nanoseconds at kDefaultWeight; wraps, so only differences count
    int64_t deadline_ = 0;           // virtual
    int64_t slice_left_ = 0;         // nanoseconds
    Nanoseconds on_since_ = 0;       // when it last came to run
    Nanoseconds charged_until_ = 0;  // how far its running is accounted
};

class RunQueue {
public:
    explicit RunQueue(CpuId cpu);
    RunQueue(const RunQueue&) = delete;

    // `idle` runs when nothing else can; it is what the CPU runs now. Once per CPU.
    void start(SchedUnit& idle, Nanoseconds now);

    // On the queue's own CPU, no lock held. Returns when the unit that called runs again.
    void schedule();
    void yield();

    [[nodiscard]] SchedUnit& current() const { return *current_; }
    [[nodiscard]] bool is_idle() const { return current_ == idle_; }
    [[nodiscard]] unsigned waiting() const { return waiting_.load(std::memory_order_relaxed); }
    // Units that were placed here, whether they want to run or not.
    [[nodiscard]] unsigned placed() const { return placed_.load(std::memory_order_relaxed); }

    // From any CPU.
    void place(SchedUnit& unit, uint32_t weight, Nanoseconds now);
    void remove(SchedUnit& unit);
    void set_weight(SchedUnit& unit, uint32_t weight);
    // Something was taken off, or put on, the unit's reasons not to run.
    void reconsider(SchedUnit& unit);
    [[nodiscard]] abi::VcpuRunstateInfo runstate(const SchedUnit& unit, Nanoseconds now);

private:
    struct EarlierDeadline {
        bool operator()(const SchedUnit& a, const SchedUnit& b) const {
            return a.deadline_ - b.deadline_ < 0;
        }
    };
    using Tree = boost::intrusive::multiset<
        SchedUnit,
        boost::intrusive::member_hook<
            SchedUnit,
            boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>,
            &SchedUnit::hook_>,
        boost::intrusive::compare<EarlierDeadline>, boost::intrusive::constant_time_size<false>>;

    // All with lock_ held.
    [[nodiscard]] int64_t virtual_now();
    void activate(SchedUnit& unit);
    void deactivate(SchedUnit& unit);
    void enqueue(SchedUnit& unit);
    void dequeue(SchedUnit& unit);
    void charge(SchedUnit& unit, Nanoseconds now);
    static void give_slice(SchedUnit& unit, Nanoseconds length);
    [[nodiscard]] SchedUnit& pick(const SchedUnit* passed_over);
    [[nodiscard]] bool should_preempt(const SchedUnit& woken);
    [[nodiscard]] static abi::RunState idle_state(const SchedUnit& unit);

    void switch_from_current(bool yielding);
    void arrived();
    friend void sched_arrived();

    struct SliceTimer : Timer {
        explicit SliceTimer(CpuId on_cpu) : Timer(&ended), cpu(on_cpu) {}
        static void ended(Timer& timer);
        const CpuId cpu;
    };

    const CpuId cpu_;
    Spinlock lock_{LockRank::kRunQueue};
    Tree tree_;  // by virtual deadline
    std::atomic<unsigned> waiting_{0};
    std::atomic<unsigned> placed_{0};
    SchedUnit* current_ = nullptr;
    SchedUnit* idle_ = nullptr;
    // V = base_ + weighted_offset_ / total_weight_, over the active units.
    int64_t base_ = 0;
    int64_t weighted_offset_ = 0;
    int64_t total_weight_ = 0;

    // Only this CPU touches these.
    SliceTimer slice_timer_;
    SchedUnit* leaving_ = nullptr;  // whom the last switch took off, until it is off its stack
};

struct CpuScheduler {
    explicit CpuScheduler(CpuId cpu) : timers(cpu), queue(cpu) {}
    TimerQueue timers;
    RunQueue queue;
};

// The platform makes one per CPU and enters it here before the CPU schedules.
void enter_cpu_scheduler(CpuId cpu, CpuScheduler& scheduler);
[[nodiscard]] CpuScheduler& cpu_scheduler(CpuId cpu);

// ---- what the rest of the hypervisor calls

// The CPU that the fewest units were placed on, the first of several.
[[nodiscard]] CpuId sched_emptiest_cpu();
// Puts a new unit on a CPU. It doesn't run before sched_unpause().
void sched_place(SchedUnit& unit, CpuId cpu, uint32_t weight, Nanoseconds now);
// Takes away a paused unit that doesn't run.
void sched_remove(SchedUnit& unit);
void sched_set_weight(SchedUnit& unit, uint32_t weight);

// Lets others run; returns when the calling unit's turn comes again. For the way out of the hypervisor when a
// reschedule was requested, and after the calling unit was paused.
void sched_yield();
void sched_reschedule();
// The first thing a new unit does when it comes to run: completes the switch that led to it.
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

// From any CPU, at any time: nothing happens unless the unit is blocked.
void sched_wake(SchedUnit& unit);

// Pauses add up. The unit may go on running until its CPU has left the guest; wait for !is_running() where it
// matters. A unit that pauses itself calls sched_reschedule() next.
void sched_pause(SchedUnit& unit);
void sched_unpause(SchedUnit& unit);

}  // namespace torii
