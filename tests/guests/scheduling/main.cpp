// sched_op.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kMillisecond = 1'000'000;

}  // namespace

GUEST_TEST(sched_yield, "Yield returns") {
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kYield));
}

GUEST_TEST(sched_block_pending, "Block with an event pending unmasks and returns at once") {
    const auto port = static_cast<RawPort>(bind_ipi(0));
    volatile bool seen = false;
    handle_event(
        port, [](RawPort, void* argument) { *static_cast<volatile bool*>(argument) = true; },
        const_cast<bool*>(&seen));
    mask_upcalls();
    CHECK_SUCCEEDS(send_event(port));
    CHECK(!seen);
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kBlock));
    CHECK(seen);
    CHECK_EQUAL(vcpu_info().evtchn_upcall_mask, 0);
    mask_upcalls();
    handle_event(port, nullptr);
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(sched_block_timer, "Block sleeps until the timer") {
    const auto port = static_cast<RawPort>(bind_virq(abi::Virq::kTimer));
    handle_event(port, [](RawPort, void*) {});
    // A block with an upcall pending, even one that has no event behind it any more, returns at once: take it
    // first.
    unmask_upcalls();
    mask_upcalls();
    const uint64_t start = system_time();
    CHECK_SUCCEEDS(hypercall(abi::Hypercall::kSetTimerOp, start + 30 * kMillisecond));
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kBlock));
    CHECK(system_time() >= start + 30 * kMillisecond);
    mask_upcalls();
    handle_event(port, nullptr);
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(sched_poll_timeout, "Poll ends at its time limit though nothing came") {
    RawPort port = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    const uint64_t start = system_time();
    abi::SchedPoll poll{{reinterpret_cast<uint64_t>(&port)}, 1, 0, start + 20 * kMillisecond};
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kPoll, poll));
    CHECK(system_time() >= start + 20 * kMillisecond);
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(sched_poll_pending,
           "Poll returns at once for a port that is pending, masked or not, and delivers no upcall") {
    RawPort port = static_cast<RawPort>(bind_ipi(0));
    __atomic_fetch_or(&shared_info().evtchn_mask[port / 64], uint64_t{1} << (port % 64), __ATOMIC_SEQ_CST);
    CHECK_SUCCEEDS(send_event(port));
    const uint64_t start = system_time();
    abi::SchedPoll poll{{reinterpret_cast<uint64_t>(&port)}, 1, 0, start + 3000 * kMillisecond};
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kPoll, poll));
    CHECK(system_time() < start + 2000 * kMillisecond);
    CHECK((shared_info().evtchn_pending[port / 64] >> (port % 64) & 1) != 0);
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(sched_poll_refused, "Poll refuses ports beyond the last, too many ports and bad pointers") {
    RawPort port = 0xFFFF'FFF0;
    abi::SchedPoll poll{{reinterpret_cast<uint64_t>(&port)}, 1, 0, 0};
    poll.timeout = system_time() + 10 * kMillisecond;
    CHECK_FAILS(sched_op(abi::SchedOp::kPoll, poll), kEINVAL);
    poll.nr_ports = 129;
    CHECK_FAILS(sched_op(abi::SchedOp::kPoll, poll), kEINVAL);
    poll.nr_ports = 1;
    poll.ports.address = kNeverMapped;
    CHECK_FAILS(sched_op(abi::SchedOp::kPoll, poll), kEFAULT);
}

GUEST_TEST(sched_watchdog, "A watchdog can be made, petted and destroyed; a wrong id is refused") {
    abi::SchedWatchdog watchdog{0, 60};
    const int64_t id = sched_op(abi::SchedOp::kWatchdog, watchdog);
    if (!CHECK(id > 0)) return;
    watchdog.id = static_cast<uint32_t>(id);
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kWatchdog, watchdog));
    watchdog.timeout = 0;
    CHECK_SUCCEEDS(sched_op(abi::SchedOp::kWatchdog, watchdog));
    CHECK_FAILS(sched_op(abi::SchedOp::kWatchdog, watchdog), kEINVAL);
    watchdog = {77, 60};
    CHECK_FAILS(sched_op(abi::SchedOp::kWatchdog, watchdog), kEINVAL);
}

GUEST_TEST(sched_remote_shutdown_refused,
           "Shutting down a domain that is not there, or oneself, from afar is refused") {
    if (!is_control_domain()) return skip("an ordinary domain");
    abi::SchedRemoteShutdown remote{0x7000, 0, 0};
    CHECK_FAILS(sched_op(abi::SchedOp::kRemoteShutdown, remote), kESRCH);
}

GUEST_TEST(sched_unknown, "Unknown sub-operations are refused") {
    uint64_t words[4] = {};
    CHECK_FAILS(hypercall(abi::Hypercall::kSchedOp, 8, words), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kSchedOp, 0x1000, words), kENOSYS);
}
