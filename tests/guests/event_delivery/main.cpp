// Sending, masking and upcalls in the two-level layout.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

struct Loop {
    RawPort to;
    RawPort from;

    Loop() {
        to = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
        from = static_cast<RawPort>(bind_interdomain(abi::kDomIdSelf, to));
    }
    ~Loop() {
        handle_event(to, nullptr);
        close_port(from);
        close_port(to);
    }
};

bool pending(RawPort port) {
    return (shared_info().evtchn_pending[port / 64] >> (port % 64) & 1) != 0;
}
void clear_pending(RawPort port) {
    __atomic_fetch_and(&shared_info().evtchn_pending[port / 64], ~(uint64_t{1} << (port % 64)),
                       __ATOMIC_SEQ_CST);
}
void mask_port(RawPort port) {
    __atomic_fetch_or(&shared_info().evtchn_mask[port / 64], uint64_t{1} << (port % 64), __ATOMIC_SEQ_CST);
}

void count_event(RawPort, void* argument) {
    auto* count = static_cast<volatile uint32_t*>(argument);
    *count = *count + 1;
}

}  // namespace

GUEST_TEST(event_send_masked, "A send to a masked port sets its bit and disturbs nobody") {
    Loop loop;
    mask_port(loop.to);
    unmask_upcalls();  // takes what an earlier test left
    const uint64_t before = upcall_count();
    CHECK_SUCCEEDS(send_event(loop.from));
    CHECK(pending(loop.to));
    CHECK_EQUAL(upcall_count(), before);
    mask_upcalls();
    clear_pending(loop.to);
}

GUEST_TEST(event_send_unmasked, "A send to an unmasked port runs its handler at the next chance") {
    Loop loop;
    volatile uint32_t count = 0;
    handle_event(loop.to, count_event, const_cast<uint32_t*>(&count));
    CHECK_SUCCEEDS(send_event(loop.from));
    CHECK_EQUAL(count, 0u);  // upcalls are masked
    CHECK_EQUAL(vcpu_info().evtchn_upcall_pending, 1);
    unmask_upcalls();
    CHECK_EQUAL(count, 1u);
    CHECK_SUCCEEDS(send_event(loop.from));
    CHECK_EQUAL(count, 2u);  // delivered on the way out of the send itself
    mask_upcalls();
    CHECK(!pending(loop.to));
}

GUEST_TEST(event_unmask_delivers, "Unmasking a pending port raises the upcall") {
    Loop loop;
    mask_port(loop.to);
    CHECK_SUCCEEDS(send_event(loop.from));
    volatile uint32_t count = 0;
    unmask_upcalls();
    CHECK_EQUAL(count, 0u);
    handle_event(loop.to, count_event, const_cast<uint32_t*>(&count));  // unmasks by hypercall
    CHECK_EQUAL(count, 1u);
    mask_upcalls();
}

GUEST_TEST(event_ipi_delivery, "An IPI reaches its own vCPU") {
    const auto port = static_cast<RawPort>(bind_ipi(0));
    volatile uint32_t count = 0;
    handle_event(port, count_event, const_cast<uint32_t*>(&count));
    unmask_upcalls();
    CHECK_SUCCEEDS(send_event(port));
    CHECK_EQUAL(count, 1u);
    mask_upcalls();
    handle_event(port, nullptr);
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(event_send_unbound, "A send to an unbound port is dropped without complaint") {
    const auto port = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    CHECK_SUCCEEDS(send_event(port));
    CHECK(!pending(port));
    CHECK_SUCCEEDS(close_port(port));
}

GUEST_TEST(event_send_refused,
           "Sends to closed ports, VIRQs and numbers beyond are refused and set nothing") {
    const auto virq = static_cast<RawPort>(bind_virq(abi::Virq::kDebug));
    CHECK_FAILS(send_event(virq), kEINVAL);
    CHECK(!pending(virq));
    CHECK_SUCCEEDS(close_port(virq));
    CHECK_FAILS(send_event(virq), kEINVAL);
    CHECK(!pending(virq));
    CHECK_FAILS(send_event(0), kEINVAL);
    CHECK_FAILS(send_event(abi::kEventChannels2L), kEINVAL);
    CHECK_FAILS(send_event(0xFFFF'FFFF), kEINVAL);
}

GUEST_TEST(event_unmask_refused, "Unmasking a port beyond the last is refused") {
    abi::EventUnmask unmask{0xFFFF'FFF0};
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kUnmask, unmask), kEINVAL);
}

GUEST_TEST(event_closed_clears_pending, "A port that is used again starts without its old event") {
    RawPort port;
    {
        Loop loop;
        port = loop.to;
        mask_port(port);
        CHECK_SUCCEEDS(send_event(loop.from));
        CHECK(pending(port));
    }
    const int64_t again = allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf);
    CHECK(!pending(static_cast<RawPort>(again)));
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(again)));
}

GUEST_TEST(event_reset, "A reset closes every port") {
    if (!is_control_domain())
        return skip("the console and xenstore ports of an ordinary domain would go too");
    const auto first = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    const auto second = static_cast<RawPort>(bind_interdomain(abi::kDomIdSelf, first));
    const auto third = static_cast<RawPort>(bind_virq(abi::Virq::kDebug));
    abi::EventReset reset{abi::kDomIdSelf};
    CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kReset, reset));
    for (const RawPort port : {first, second, third}) {
        abi::EventStatus status;
        CHECK_SUCCEEDS(port_status(port, status));
        CHECK_EQUAL(status.status, static_cast<uint32_t>(abi::EventStatusKind::kClosed));
    }
}
