// Who runs on a CPU (scheduler.h says how it is decided).
#pragma once

#include <atomic>

#include "base/ids.h"
#include "base/lock.h"
#include "core/sched/unit.h"

namespace torii {

inline constexpr Nanoseconds kSlice = 10'000'000;
inline constexpr Nanoseconds kWakeSlice = 1'000'000;
inline constexpr Nanoseconds kWakeCredit = 5'000'000;
// How often a CPU on which somebody waits compares itself with another one; how much more a unit must have
// missed than it would have there before it moves; how far two CPUs' times may drift apart when nothing can
// be done about it, which is what a unit can bring along at most.
inline constexpr Nanoseconds kBalancePeriod = 10'000'000;
inline constexpr Nanoseconds kBalanceLag = 20'000'000;
inline constexpr Nanoseconds kMostDrift = 100'000'000;

// Where a CPU is in the machine: CPUs with the same core in the same package are its threads.
struct CpuPlace {
    uint32_t core = 0;
    uint32_t package = 0;
};

// Whether there is more than one CPU. One that is alone has nobody to compare itself with.
extern std::atomic<bool> many_cpus;

#ifdef TORII_HOST
inline thread_local uint64_t sched_steps = 0;  // comparisons and units looked at, by this thread
#define COUNT_SCHED_STEP() ++sched_steps
#else
#define COUNT_SCHED_STEP() (void)0
#endif

class RunQueue {
public:
    RunQueue(CpuId cpu, CpuPlace place);
    RunQueue(const RunQueue&) = delete;

    // `idle` runs when nothing else can; it is what the CPU runs now. Once per CPU.
    void start(SchedUnit& idle, Nanoseconds now);
    // The CPU takes part from now on, in a pool; under the pools' lock. `leave` when it is_vacant().
    void join(CpuPool& pool);
    void find_siblings(const CpuPool& others);
    void leave();
    // No unit is at home here, and nothing runs. Units must have been kept from coming here before.
    [[nodiscard]] bool is_vacant();

    // On the queue's own CPU, no lock held. Returns when the unit that called runs again.
    void schedule();
    void yield();
    void arrived();

    [[nodiscard]] CpuId cpu() const { return cpu_; }
    [[nodiscard]] SchedUnit& idle() const { return *idle_; }
    [[nodiscard]] SchedUnit& current() const { return *current_; }
    [[nodiscard]] bool is_idle() const { return current_ == idle_; }
    [[nodiscard]] CpuPool* pool() const { return pool_.load(std::memory_order_relaxed); }
    [[nodiscard]] unsigned waiting() const { return waiting_.load(std::memory_order_relaxed); }
    // Units that are at home here, whether they want to run or not.
    [[nodiscard]] unsigned placed() const { return placed_.load(std::memory_order_relaxed); }
    // Has fewer units, or as many on a core that has fewer.
    [[nodiscard]] bool is_emptier_than(const RunQueue& other) const;
    void set_shortest_run(Nanoseconds time) { shortest_run_.store(time, std::memory_order_relaxed); }

    void place(SchedUnit& unit, SchedGroup& group, Nanoseconds now);

    // From any CPU, about a unit wherever it is.
    static void remove(SchedUnit& unit);
    static void set_weight(SchedUnit& unit, uint32_t weight);
    static void set_capped(SchedUnit& unit, bool capped);
    // Something was taken off, or put on, the unit's reasons not to run.
    static void reconsider(SchedUnit& unit) {
        if (!unit.queue_.load(std::memory_order_acquire)->try_reconsider(unit, false)) reconsider_again(unit);
    }
    // The unit leaves a CPU that it may not run on, now or when it has left its stack there.
    static void relocate(SchedUnit& unit);
    [[nodiscard]] static bool may_run(const SchedUnit& unit, CpuId cpu);
    // Runs `action(queue)` with the lock of the unit's home held.
    template <class Action>
    static auto at_home(const SchedUnit& unit, Action&& action) {
        for (;;) {
            RunQueue& queue = *unit.queue_.load(std::memory_order_acquire);
            const LockGuard guard(queue.lock_);
            if (unit.queue_.load(std::memory_order_relaxed) == &queue) return action(queue);
        }
    }

private:
    friend struct RunQueueAudit;  // tests recount everything

    struct EarlierDeadline {
        bool operator()(const SchedUnit& a, const SchedUnit& b) const {
            COUNT_SCHED_STEP();
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

    // --- scheduler.cpp; all with lock_ held ---
    [[nodiscard]] int64_t virtual_now();
    void activate(SchedUnit& unit);
    void deactivate(SchedUnit& unit);
    void enqueue(SchedUnit& unit);
    void dequeue(SchedUnit& unit);
    void charge(SchedUnit& unit, Nanoseconds now);
    static void give_slice(SchedUnit& unit, Nanoseconds length);
    [[nodiscard]] SchedUnit& pick(const SchedUnit* passed_over);
    [[nodiscard]] SchedUnit& pick_with_quota(SchedUnit* unit, const SchedUnit* passed_over);
    // Parts of switch_from_current(), on every switch: nothing else uses them.
    [[gnu::always_inline]] inline void put_away(SchedUnit& unit, bool yielding);
    [[gnu::always_inline]] inline void begin_running(SchedUnit& from, SchedUnit& to, Nanoseconds now);
    [[nodiscard]] bool should_preempt(const SchedUnit& woken);
    [[nodiscard]] static abi::RunState idle_state(const SchedUnit& unit);
    // --- scheduler.cpp; no lock held ---
    void switch_from_current(bool yielding);
    SchedUnit& look_around(SchedUnit& from, Nanoseconds now);
    void finish_choice(const SchedUnit& to, Nanoseconds now);
    // False: the unit's home is, or has become, another queue, or has to be asked again. `placed` says
    // whether a home has been looked for.
    [[nodiscard]] bool try_reconsider(SchedUnit& unit, bool placed);
    static void reconsider_again(SchedUnit& unit);

    // --- balance.cpp; all but on machines with one CPU. With lock_ held: ---
    // Whether a unit that is about to wait here does so; if not it has been given another home, or it must
    // not stay and is still leaving its stack.
    [[nodiscard]] bool stays(SchedUnit& unit, bool placed);
    [[nodiscard]] RunQueue& best_home(const SchedUnit& unit);
    [[nodiscard]] RunQueue* best_idle(const SchedUnit& unit, bool only_preferred);
    [[nodiscard]] RunQueue* least_loaded(const SchedUnit& unit);
    [[nodiscard]] bool core_is_idle();
    [[nodiscard]] unsigned placed_on_core() const;
    void carry(SchedUnit& unit, RunQueue& to, int64_t lag);
    [[nodiscard]] int64_t lag_of(const SchedUnit& unit, Nanoseconds most_credit);
    // Marks the CPU as idle or busy, and finds another that should come for what waits here.
    [[nodiscard]] RunQueue* after_choice(const SchedUnit& to);
    [[nodiscard]] SchedUnit* movable_to(CpuId cpu);
    void set_up_comparison(RunQueue& other);
    // No lock held:
    void pull();
    [[nodiscard]] bool take_from(RunQueue& other);
    void balance(Nanoseconds now);
    [[nodiscard]] bool even_out(RunQueue& other, Nanoseconds now);
    void finish_move(SchedUnit& unit);
    [[nodiscard]] RunQueue* next_in_pool();

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
    std::atomic<Nanoseconds> shortest_run_{kShortestRun};

    // For comparing V with that of other queues: V + pool_offset_ is the queue's time in the pool. It means
    // nothing after the queue was empty.
    int64_t pool_offset_ = 0;
    bool comparable_ = false;
    bool marked_idle_ = false;             // in the pool's set of idle CPUs, unless another CPU took it out
    std::atomic<CpuPool*> pool_{nullptr};  // null: none, so nothing runs here

    const CpuPlace place_;
    std::atomic<RunQueue*> next_thread_{this};  // a ring of the threads of this core

    // Only this CPU touches these.
    Nanoseconds next_balance_ = 0;
    uint32_t compared_with_ = 0;  // the CPU that it compared itself with last
    SliceTimer slice_timer_;
    RunQueue* helper_ = nullptr;    // should come for a unit that waits here
    SchedUnit* leaving_ = nullptr;  // whom the last switch took off, until it is off its stack
};

inline CpuId SchedUnit::cpu() const {
    return queue_.load(std::memory_order_acquire)->cpu();
}

}  // namespace torii
