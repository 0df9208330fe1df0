// set_timer_op, the vCPU timers, the pvclock.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kMillisecond = 1'000'000;

struct TimerPort {
    RawPort port;
    volatile uint32_t ticks = 0;

    TimerPort() : port(static_cast<RawPort>(bind_virq(abi::Virq::kTimer))) {
        handle_event(
            port,
            [](RawPort, void* argument) {
                auto* timer = static_cast<TimerPort*>(argument);
                timer->ticks = timer->ticks + 1;
            },
            this);
        // A vCPU starts with a periodic timer of 10 ms running.
        vcpu_op(abi::VcpuOp::kStopPeriodicTimer, 0);
        unmask_upcalls();
    }
    ~TimerPort() {
        mask_upcalls();
        handle_event(port, nullptr);
        close_port(port);
    }

    // Until there were so many ticks, for two seconds at most: on a busy host an interrupt may come late.
    void await(uint32_t wanted) const {
        const uint64_t end = system_time() + 2000 * kMillisecond;
        while (ticks < wanted && system_time() < end) {
            sched_op(abi::SchedOp::kYield);
        }
    }
    // By the clock alone, so that no timer of the kit's own interferes.
    void spin(uint64_t nanoseconds) const {
        const uint64_t end = system_time() + nanoseconds;
        while (system_time() < end) {
            sched_op(abi::SchedOp::kYield);
        }
    }
    // Sets the timer to a moment that is given, and stops it before; again, when a busy host was late and it
    // may have fired. The ticks until then.
    template <class Set, class Stop>
    uint32_t stop_in_time(Set set, Stop stop) const {
        for (;;) {
            const uint32_t before = ticks;
            const uint64_t moment = system_time() + 20 * kMillisecond;
            set(moment);
            stop();
            if (system_time() < moment) return before;
        }
    }
};

}  // namespace

GUEST_TEST(timer_set, "The timer fires once, not before its time") {
    TimerPort timer;
    const uint64_t start = system_time();
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetTimerOp, start + 20 * kMillisecond));
    timer.await(1);
    CHECK_EQUAL(timer.ticks, 1u);
    CHECK(system_time() >= start + 20 * kMillisecond);
    timer.spin(30 * kMillisecond);
    CHECK_EQUAL(timer.ticks, 1u);
}

GUEST_TEST(timer_stopped, "A timer set to zero does not fire") {
    TimerPort timer;
    const uint32_t before = timer.stop_in_time(
        [&](uint64_t moment) { CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetTimerOp, moment)); },
        [&] { CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetTimerOp, 0)); });
    timer.spin(50 * kMillisecond);
    CHECK_EQUAL(timer.ticks, before);
}

GUEST_TEST(timer_in_the_past, "A timer in the past fires at once") {
    TimerPort timer;
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetTimerOp, system_time() - kMillisecond));
    timer.await(1);
    timer.spin(20 * kMillisecond);
    CHECK_EQUAL(timer.ticks, 1u);
}

GUEST_TEST(timer_singleshot,
           "vcpu_op's one-shot timer; a past moment fires at once, the future flag is ignored") {
    TimerPort timer;
    abi::VcpuSetSingleshotTimer shot{system_time() + 10 * kMillisecond, abi::kSingleshotTimerFuture, 0};
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kSetSingleshotTimer, 0, shot));
    timer.await(1);
    timer.spin(20 * kMillisecond);
    CHECK_EQUAL(timer.ticks, 1u);
    shot.timeout_abs_ns = system_time() - kMillisecond;
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kSetSingleshotTimer, 0, shot));
    timer.await(2);
    timer.spin(10 * kMillisecond);
    CHECK_EQUAL(timer.ticks, 2u);
    const uint32_t before = timer.stop_in_time(
        [&](uint64_t moment) {
            shot = {moment, 0, 0};
            CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kSetSingleshotTimer, 0, shot));
        },
        [&] { CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kStopSingleshotTimer, 0)); });
    timer.spin(50 * kMillisecond);
    CHECK_EQUAL(timer.ticks, before);
}

GUEST_TEST(timer_periodic, "The periodic timer ticks until it is stopped; too short a period is refused") {
    TimerPort timer;
    abi::VcpuSetPeriodicTimer period{20 * kMillisecond};
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kSetPeriodicTimer, 0, period));
    timer.await(3);
    CHECK(timer.ticks >= 3);
    period.period_ns = 1000;
    CHECK_FAILS(vcpu_op(abi::VcpuOp::kSetPeriodicTimer, 0, period), kEINVAL);
    CHECK_SUCCEEDS(vcpu_op(abi::VcpuOp::kStopPeriodicTimer, 0));
    timer.spin(20 * kMillisecond);
    const uint32_t ticks = timer.ticks;
    timer.spin(60 * kMillisecond);
    CHECK_EQUAL(timer.ticks, ticks);
}

GUEST_TEST(clock_monotonic, "The pvclock never goes back and its fields make sense") {
    uint64_t last = system_time();
    for (int round = 0; round < 20'000; ++round) {
        const uint64_t now = system_time();
        if (now < last) {
            CHECK(now >= last);
            return;
        }
        last = now;
        if (round % 100 == 0) sched_op(abi::SchedOp::kYield);
    }
    CHECK_EQUAL(vcpu_info().time.version & 1, 0u);
    CHECK(vcpu_info().time.tsc_to_system_mul != 0);
    CHECK(shared_info().wc_sec != 0 || shared_info().wc_sec_hi != 0);
    CHECK_EQUAL(shared_info().wc_version & 1, 0u);
}

GUEST_TEST(timer_time_limit,
           "Waiting for what does not happen ends in time, with no port for the timer; the port is free "
           "afterwards") {
    const uint64_t start = system_time();
    CHECK(!wait_until([](void*) { return false; }, nullptr, 20 * kMillisecond));
    CHECK(system_time() - start >= 20 * kMillisecond);
    const int64_t port = bind_virq(abi::Virq::kTimer);
    CHECK(port >= 0);
    close_port(static_cast<RawPort>(port));
}
