#include "core/sched/timer.h"

#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii {

// Takes the timer out of whatever queue it stands in and waits for a callback that runs on another CPU.
void TimerQueue::detach(Timer& timer) {
    for (;;) {
        TimerQueue* const queue = timer.home.load(std::memory_order_acquire);
        if (queue == nullptr) return;
        LockGuard guard(queue->lock_);
        if (timer.home.load(std::memory_order_relaxed) != queue) continue;
        if (queue->running_ == &timer && queue->cpu_ != this_cpu()) {
            guard.unlock();
            serve_while_waiting();
            continue;
        }
        if (timer.linked.load(std::memory_order_relaxed)) queue->tree_.erase(queue->tree_.iterator_to(timer));
        timer.linked.store(false, std::memory_order_relaxed);
        timer.home.store(nullptr, std::memory_order_release);
        return;
    }
}

// A guest's next tick mostly lands where the last one stood: then the tree stays as it is.
bool TimerQueue::move_in_place(Timer& timer, Nanoseconds deadline) {
    const auto here = tree_.iterator_to(timer);
    if (here != tree_.begin()) {
        auto before = here;
        if (deadline < (--before)->deadline) return false;
    }
    auto after = here;
    if (++after != tree_.end() && after->deadline < deadline) return false;
    timer.deadline = deadline;
    return true;
}

// lock_ held, own CPU.
void TimerQueue::program() {
    const Nanoseconds head = tree_.empty() ? kNever : tree_.begin()->deadline;
    if (head == programmed_) return;
    programmed_ = head;
    set_cpu_timer(cpu_, head);
}

void timer_set(Timer& timer, Nanoseconds deadline) {
    if (deadline == kNever) return timer_cancel(timer);
    TimerQueue& queue = this_cpu_scheduler().timers;
    if (timer.home.load(std::memory_order_relaxed) == &queue) {
        LockGuard guard(queue.lock_);
        if (timer.linked.load(std::memory_order_relaxed) && queue.move_in_place(timer, deadline)) {
            queue.program();
            return;
        }
    }
    TimerQueue::detach(timer);
    LockGuard guard(queue.lock_);
    timer.deadline = deadline;
    timer.home.store(&queue, std::memory_order_release);
    timer.linked.store(true, std::memory_order_relaxed);
    queue.tree_.insert(timer);
    queue.program();
}

void timer_cancel(Timer& timer) {
    // The device may fire once for nothing; setting it anew costs more than that.
    TimerQueue::detach(timer);
}

void TimerQueue::expire(Nanoseconds now) {
    LockGuard guard(lock_);
    programmed_ = kNever;  // the device has fired, or lost what it was set for
    while (!tree_.empty() && tree_.begin()->deadline <= now) {
        Timer& timer = *tree_.begin();
        tree_.erase(tree_.begin());
        timer.linked.store(false, std::memory_order_relaxed);
        running_ = &timer;
        lock_.unlock();
        timer.callback(timer);
        lock_.lock();
        // The callback may have armed it again, or its owner cancelled it from within.
        const bool still_ours = timer.home.load(std::memory_order_relaxed) == this;
        running_ = nullptr;
        if (still_ours && !timer.linked.load(std::memory_order_relaxed)) {
            timer.home.store(nullptr, std::memory_order_release);
        }
    }
    program();
}

Nanoseconds TimerQueue::next_deadline() {
    LockGuard guard(lock_);
    return tree_.empty() ? kNever : tree_.begin()->deadline;
}

}  // namespace torii
