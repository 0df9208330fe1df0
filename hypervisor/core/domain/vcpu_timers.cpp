#include "core/domain/vcpu_timers.h"

#include <torii/abi/sched.h>
#include <torii/abi/virq.h>

#include "base/bounded_index.h"
#include "base/log.h"
#include "core/call/counters.h"
#include "core/domain/domain.h"
#include "port/machine.h"

namespace torii {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;

void raise_timer_virq(Vcpu& vcpu) {
    count_event(EventKind::kVirtualInterrupt);
    vcpu.domain->events.raise_virq(vcpu.events, abi::Virq::kTimer);
}

}  // namespace

void VcpuTimers::fire(Timer& timer) {
    raise_timer_virq(static_cast<VcpuTimer&>(timer).vcpu);
}

void VcpuTimers::tick(Timer& timer) {
    Vcpu& vcpu = static_cast<VcpuTimer&>(timer).vcpu;
    const Nanoseconds period = vcpu.timers.period_.load(std::memory_order_relaxed);
    if (period == 0) return;
    raise_timer_virq(vcpu);
    // Ticks that nobody could see are left out; those that come keep their rhythm.
    const Nanoseconds time = now();
    Nanoseconds next = timer.deadline + period;
    if (next <= time) next = time + period - (time - timer.deadline) % period;
    timer_set(timer, next);
}

void VcpuTimers::end_poll(Timer& timer) {
    sched_wake(static_cast<VcpuTimer&>(timer).vcpu.unit);
}

void VcpuTimers::set_period(Nanoseconds period) {
    period_.store(period, std::memory_order_relaxed);
    timer_set(periodic_, period == 0 ? kNever : now() + period);
}

void VcpuTimers::stop_all() {
    period_.store(0, std::memory_order_relaxed);
    timer_cancel(oneshot_);
    timer_cancel(periodic_);
    timer_cancel(poll_);
}

void DomainWatchdogs::WatchdogTimer::expired(Timer& timer) {
    Domain& domain = static_cast<WatchdogTimer&>(timer).domain;
    log_guest(LogLevel::kWarning, "d{}: watchdog expired", domain.id);
    shut_down_domain(domain, static_cast<uint32_t>(abi::ShutdownReason::kWatchdog));
}

DomainWatchdogs::WatchdogTimer* DomainWatchdogs::find(uint32_t id) {
    if (id == 0 || id > kCount) return nullptr;
    WatchdogTimer& timer = timers_[bounded<kCount>(id - 1)];
    return timer.in_use ? &timer : nullptr;
}

Result<uint32_t> DomainWatchdogs::start(uint32_t timeout) {
    for (uint32_t i = 0; i < kCount; ++i) {
        if (timers_[i].in_use) continue;
        timers_[i].in_use = true;
        timer_set(timers_[i], now() + timeout * kSecond);
        return i + 1;
    }
    return Errno::kENOSPC;
}

Result<> DomainWatchdogs::poke(uint32_t id, uint32_t timeout) {
    WatchdogTimer* const timer = find(id);
    if (timer == nullptr) return Errno::kEINVAL;
    timer_set(*timer, now() + timeout * kSecond);
    return {};
}

Result<> DomainWatchdogs::stop(uint32_t id) {
    WatchdogTimer* const timer = find(id);
    if (timer == nullptr) return Errno::kEINVAL;
    timer_cancel(*timer);
    timer->in_use = false;
    return {};
}

void DomainWatchdogs::stop_all() {
    for (WatchdogTimer& timer : timers_) {
        timer_cancel(timer);
        timer.in_use = false;
    }
}

}  // namespace torii
