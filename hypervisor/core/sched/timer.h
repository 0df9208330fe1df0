// One-shot timers. Each CPU has a queue, ordered by deadline; the CPU's timer device is set for its head.
#pragma once

#include <array>
#include <atomic>

#include "base/ids.h"
#include "base/lock.h"
#include "core/sched/intrusive.h"

namespace torii {

class TimerQueue;

// Belongs to whoever embeds it; disarmed before it goes. Calls that set or cancel one timer are the owner's
// to serialise among themselves; against the callback they are safe.
struct Timer {
    using Callback = void (*)(Timer&);
    explicit Timer(Callback function) : callback(function) {}
    Timer(const Timer&) = delete;
    ~Timer() { ASSERT(home.load(std::memory_order_relaxed) == nullptr); }

    [[nodiscard]] bool armed() const { return linked.load(std::memory_order_relaxed); }

    boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>> hook;
    Nanoseconds deadline = kNever;
    const Callback callback;  // on the CPU of the queue, no lock held; may set its own timer again
    std::atomic<TimerQueue*> home{nullptr};  // the queue it stands in, or whose CPU runs its callback
    std::atomic<bool> linked{false};         // stands in the queue
};

class TimerQueue {
public:
    explicit TimerQueue(CpuId cpu) : cpu_(cpu) {}
    TimerQueue(const TimerQueue&) = delete;

    // Runs what is due at `now`, then sets the device for what is next. On the queue's own CPU.
    void expire(Nanoseconds now);
    [[nodiscard]] Nanoseconds next_deadline();

private:
    friend void timer_set(Timer& timer, Nanoseconds deadline);
    friend void timer_cancel(Timer& timer);

    struct Earlier {
        bool operator()(const Timer& a, const Timer& b) const { return a.deadline < b.deadline; }
    };
    using Tree = boost::intrusive::multiset<
        Timer,
        boost::intrusive::member_hook<
            Timer,
            boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>,
            &Timer::hook>,
        boost::intrusive::compare<Earlier>, boost::intrusive::constant_time_size<false>>;

    [[nodiscard]] bool move_in_place(Timer& timer, Nanoseconds deadline);
    void program();
    static void detach(Timer& timer);

    const CpuId cpu_;
    Spinlock lock_{LockRank::kTimer};
    // Below: lock_.
    Tree tree_;
    Timer* running_ = nullptr;         // whose callback runs now
    Nanoseconds programmed_ = kNever;  // what the device is set for
};

// Arms `timer` on the calling CPU, wherever it stood before. A deadline in the past fires at once, though not
// from within this call. kNever disarms. If another CPU runs the callback, waits for its end: so the caller
// holds no lock that the callback takes.
void timer_set(Timer& timer, Nanoseconds deadline);
// On return the timer isn't armed, and its callback doesn't run (unless it is the caller).
void timer_cancel(Timer& timer);

}  // namespace torii
