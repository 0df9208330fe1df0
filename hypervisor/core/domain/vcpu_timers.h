// The timers of a vCPU and of a domain: one-shot and periodic VIRQ_TIMER, the end of a poll, watchdogs.
#pragma once

#include <atomic>

#include "base/result.h"
#include "core/sched/timer.h"

namespace torii {

struct Domain;
struct Vcpu;

// Set by the vCPU itself, or by another vCPU of its domain under the domain's control lock.
class VcpuTimers {
public:
    explicit VcpuTimers(Vcpu& vcpu) : oneshot_(vcpu, &fire), periodic_(vcpu, &tick), poll_(vcpu, &end_poll) {}
    ~VcpuTimers() { stop_all(); }

    // Absolute system time, kNever stops it.
    void set_oneshot(Nanoseconds deadline) { timer_set(oneshot_, deadline); }
    // 0 stops it.
    void set_period(Nanoseconds period);
    [[nodiscard]] bool has_period() const { return periodic_.armed(); }
    void set_poll_end(Nanoseconds deadline) { timer_set(poll_, deadline); }
    void stop_poll() {
        if (poll_.armed()) timer_cancel(poll_);
    }
    void stop_all();

private:
    struct VcpuTimer : Timer {
        VcpuTimer(Vcpu& owner, Callback function) : Timer(function), vcpu(owner) {}
        Vcpu& vcpu;
    };
    static void fire(Timer& timer);
    static void tick(Timer& timer);
    static void end_poll(Timer& timer);

    VcpuTimer oneshot_;
    VcpuTimer periodic_;
    VcpuTimer poll_;
    std::atomic<Nanoseconds> period_{0};
};

// SCHEDOP_watchdog (public sched.h): if nobody pokes one in time, the domain is shut down.
class DomainWatchdogs {
public:
    static constexpr unsigned kCount = 2;

    explicit DomainWatchdogs(Domain& domain) : timers_{WatchdogTimer(domain), WatchdogTimer(domain)} {}
    ~DomainWatchdogs() { stop_all(); }

    // Under the domain's control lock. Times in seconds. `start` returns the new one's id, from 1 on; ENOSPC
    // when all are in use. EINVAL: no such watchdog runs.
    [[nodiscard]] Result<uint32_t> start(uint32_t timeout);
    [[nodiscard]] Result<> poke(uint32_t id, uint32_t timeout);
    [[nodiscard]] Result<> stop(uint32_t id);
    void stop_all();

private:
    struct WatchdogTimer : Timer {
        explicit WatchdogTimer(Domain& owner) : Timer(&expired), domain(owner) {}
        static void expired(Timer& timer);
        Domain& domain;
        bool in_use = false;
    };
    [[nodiscard]] WatchdogTimer* find(uint32_t id);

    WatchdogTimer timers_[kCount];
};

}  // namespace torii
