// What is scheduled (a unit, embedded in a vCPU), and what the units of one domain have in common (a group).
#pragma once

#include <atomic>

#include "base/cpu_mask.h"
#include "base/result.h"
#include "core/sched/intrusive.h"
#include "core/sched/pool.h"
#include "core/sched/runstate.h"
#include "core/sched/timer.h"

namespace torii {

inline constexpr uint32_t kDefaultWeight = 256;
inline constexpr uint32_t kLeastWeight = 1;
inline constexpr uint32_t kMostWeight = 65535;

inline constexpr Nanoseconds kCapPeriod = 10'000'000;

class RunQueue;
class SchedGroup;

// One per vCPU, and one per CPU for idling. Starts with one pause, which sched_unpause() takes away when the
// vCPU comes up.
struct SchedUnit {
    SchedUnit() = default;
    SchedUnit(const SchedUnit&) = delete;

    RunstateClock clock;

    [[nodiscard]] bool is_blocked() const { return (held_back_.load() & kBlocked) != 0; }
    [[nodiscard]] bool is_runnable() const { return held_back_.load() == 0; }
    // On a CPU right now, or still leaving it.
    [[nodiscard]] bool is_running() const { return running_.load(std::memory_order_acquire); }
    // Where it runs, or ran last. Unless it is the caller itself it may be elsewhere in the next moment.
    [[nodiscard]] CpuId cpu() const;
    [[nodiscard]] uint32_t weight() const { return weight_; }

private:
    friend class RunQueue;
    friend class SchedGroup;
    friend class Affinity;
    friend struct RunQueueAudit;
    friend void sched_begin_block(SchedUnit& unit);
    friend bool sched_cancel_block(SchedUnit& unit);
    friend void sched_wake(SchedUnit& unit);
    friend void sched_pause(SchedUnit& unit);
    friend void sched_unpause(SchedUnit& unit);

    // Reasons not to run: waiting for an event, the group has used up its cap, and a count of pauses.
    static constexpr uint32_t kBlocked = 1;
    static constexpr uint32_t kCapped = 2;
    static constexpr uint32_t kPause = 4;
    std::atomic<uint32_t> held_back_{kPause};
    std::atomic<bool> running_{false};

    // Home: the queue whose lock guards all that follows. It changes under that lock, and only while the unit
    // doesn't run; whoever takes the lock looks again whether it is still the home.
    std::atomic<RunQueue*> queue_{nullptr};
    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>> hook_;
    bool queued_ = false;   // in the tree: runnable and not running
    bool active_ = false;   // counted in the queue's virtual time
    bool carried_ = false;  // virtual_time_ is the distance to V, as the unit has come from another queue
    bool capped_ = false;   // runs on quota_, which is from the group's budget
    // Runs where it may not stay: it moves once it has left its stack. Set only while the unit is the current
    // one, so that its own CPU may look without the lock once it is not.
    bool moving_ = false;
    uint32_t weight_ = kDefaultWeight;
    int64_t virtual_time_ = 0;       // nanoseconds at kDefaultWeight; wraps, so only differences count
    int64_t deadline_ = 0;           // virtual
    int64_t slice_left_ = 0;         // nanoseconds
    int64_t quota_ = 0;              // nanoseconds
    Nanoseconds on_since_ = 0;       // when it last came to run
    Nanoseconds charged_until_ = 0;  // how far its running is accounted

    // Where it may run, within its pool; changes under the pools' lock too.
    bool bound_ = false;         // to hard_, or to pinned_to_: else to nothing
    bool prefers_ = false;       // soft_ over the rest: else nothing
    bool pinned_ = false;        // for the time being, to pinned_to_, whatever hard_ says
    bool bound_before_ = false;  // bound_ as it was before the pin
    CpuId pinned_to_{};
    CpuMask hard_;
    CpuMask soft_;

    SchedGroup* group_ = nullptr;  // null: an idle unit
    SchedUnit* next_in_group_ = nullptr;
};

// A cap is a budget that all units of the group draw on, filled up every kCapPeriod by the cap's part of it.
// A unit that comes to run takes a quota out of it, and gives back what it doesn't use; without a budget its
// units are held back until the next filling. What is left over is kept for two more periods, so that a group
// which had to wait for a CPU still gets its cap.
class SchedGroup {
public:
    SchedGroup() = default;
    SchedGroup(const SchedGroup&) = delete;

    [[nodiscard]] CpuPool& pool() const { return *pool_.load(std::memory_order_acquire); }
    [[nodiscard]] uint32_t weight() const { return weight_.load(std::memory_order_relaxed); }
    // Percent of one CPU; zero: none.
    [[nodiscard]] uint32_t cap() const { return cap_.load(std::memory_order_relaxed); }

    // Serialised by the caller against themselves and against new units.
    void set_weight(uint32_t weight);
    void set_cap(uint32_t percent);

    // A group is born outside of every pool, looks as if it were in the first, and joins one before it has
    // units. EINVAL: no such pool, or one without CPUs. `leave` when its units will never run again. `close`
    // when nothing else knows it any more.
    [[nodiscard]] Result<> join(uint32_t pool_id);
    void leave();
    void close() { timer_cancel(refill_); }
    // To another pool; affinities go back to "all". Under the pools' lock. EINVAL: it can't.
    [[nodiscard]] Result<> move_to(CpuPool& pool);

    template <class Visit>
    void for_each_unit(Visit&& visit) {
        for (SchedUnit* unit = first_.load(std::memory_order_acquire); unit != nullptr;
             unit = unit->next_in_group_)
            visit(*unit);
    }

private:
    friend class RunQueue;
    friend void sched_place(SchedUnit& unit, SchedGroup& group, Nanoseconds now);

    void add(SchedUnit& unit);
    // Up to one share of the budget; false when there is none.
    [[nodiscard]] bool take_quota(SchedUnit& unit);
    void give_back(SchedUnit& unit);
    // After one of its units came to run, without locks.
    void keep_filling(Nanoseconds now);
    [[nodiscard]] int64_t per_period() const { return int64_t{cap()} * int64_t{kCapPeriod} / 100; }
    void fill();
    [[nodiscard]] bool wants_more();

    struct Refill : Timer {
        explicit Refill(SchedGroup& owner) : Timer(&due), group(owner) {}
        static void due(Timer& timer);
        SchedGroup& group;
    };

    std::atomic<CpuPool*> pool_{&first_cpu_pool};
    bool counted_ = false;                    // in pool_->domains; the pools' lock
    std::atomic<SchedUnit*> first_{nullptr};  // all of them; grows only
    std::atomic<uint32_t> units_{0};
    std::atomic<uint32_t> weight_{kDefaultWeight};
    std::atomic<uint32_t> cap_{0};
    std::atomic<int64_t> budget_{0};    // may fall below zero: then the next filling is that much smaller
    std::atomic<bool> filling_{false};  // refill_ is set, or about to be
    Refill refill_{*this};
};

}  // namespace torii
