// Ports: allocation, binding, status, closing.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

// CHECK_EQUAL on the kind of a port.
bool status_is(RawPort port, abi::EventStatusKind kind, abi::EventStatus& status) {
    return CHECK_SUCCEEDS(port_status(port, status)) &&
           CHECK_EQUAL(status.status, static_cast<uint32_t>(kind));
}

}  // namespace

GUEST_TEST(event_unbound, "An unbound port names whom it waits for, and closes") {
    const int64_t port = allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf);
    if (!CHECK(port > 0)) return;
    abi::EventStatus status;
    status_is(static_cast<RawPort>(port), abi::EventStatusKind::kUnbound, status);
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(port)));
    status_is(static_cast<RawPort>(port), abi::EventStatusKind::kClosed, status);
    CHECK_FAILS(close_port(static_cast<RawPort>(port)), kEINVAL);
}

GUEST_TEST(event_interdomain_loopback,
           "Two ports of one domain can be bound to each other; closing one leaves the other unbound") {
    const auto first = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    const int64_t second = bind_interdomain(abi::kDomIdSelf, first);
    if (!CHECK(second > 0)) return;
    abi::EventStatus status;
    if (status_is(static_cast<RawPort>(second), abi::EventStatusKind::kInterdomain, status)) {
        CHECK_EQUAL(status.u.interdomain.port, first);
    }
    if (status_is(first, abi::EventStatusKind::kInterdomain, status)) {
        CHECK_EQUAL(status.u.interdomain.port, static_cast<RawPort>(second));
    }
    CHECK_FAILS(bind_interdomain(abi::kDomIdSelf, first), kEINVAL);
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(second)));
    status_is(first, abi::EventStatusKind::kUnbound, status);
    CHECK_SUCCEEDS(close_port(first));
}

GUEST_TEST(event_bind_refused, "Binding to what is no unbound port for us is refused and takes no port") {
    const auto probe = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    CHECK_SUCCEEDS(close_port(probe));
    CHECK_FAILS(bind_interdomain(abi::kDomIdSelf, probe), kEINVAL);
    CHECK_FAILS(bind_interdomain(abi::kDomIdSelf, 0), kEINVAL);
    CHECK_FAILS(bind_interdomain(abi::kDomIdSelf, 4095), kEINVAL);
    CHECK_FAILS(bind_interdomain(abi::kDomIdSelf, 0xFFFF'FFFF), kEINVAL);
    CHECK_FAILS(bind_interdomain(0x7000, 1), kESRCH);
    // The lowest free port is handed out next: nothing was lost.
    const int64_t again = allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf);
    CHECK_EQUAL(again, static_cast<int64_t>(probe));
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(again)));
}

GUEST_TEST(event_unbound_for_nobody,
           "A port may wait for a domain that does not exist; one of a missing owner may not") {
    const int64_t port = allocate_unbound(abi::kDomIdSelf, 0x7000);
    CHECK(port > 0);
    if (port > 0) CHECK_SUCCEEDS(close_port(static_cast<RawPort>(port)));
    CHECK_FAILS(allocate_unbound(0x7000, abi::kDomIdSelf), kESRCH);
}

GUEST_TEST(event_virq, "A VIRQ binds once per vCPU; unknown ones and missing vCPUs are refused") {
    const int64_t port = bind_virq(abi::Virq::kDebug);
    if (!CHECK(port > 0)) return;
    abi::EventStatus status;
    if (status_is(static_cast<RawPort>(port), abi::EventStatusKind::kVirq, status)) {
        CHECK_EQUAL(status.u.virq, static_cast<uint32_t>(abi::Virq::kDebug));
    }
    CHECK_FAILS(bind_virq(abi::Virq::kDebug), kEEXIST);
    CHECK_FAILS(bind_virq(abi::Virq::kTimer, 77), kENOENT);
    CHECK_FAILS(bind_virq(static_cast<abi::Virq>(abi::kVirqCount)), kEINVAL);
    CHECK_FAILS(bind_virq(static_cast<abi::Virq>(0xFFFF'FFFF)), kEINVAL);
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(port)));
    const int64_t again = bind_virq(abi::Virq::kDebug);
    CHECK(again > 0);
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(again)));
}

GUEST_TEST(event_ipi, "An IPI port belongs to its vCPU") {
    const int64_t port = bind_ipi(0);
    if (!CHECK(port > 0)) return;
    abi::EventStatus status;
    status_is(static_cast<RawPort>(port), abi::EventStatusKind::kIpi, status);
    abi::EventBindVcpu bind{static_cast<RawPort>(port), 0};
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kBindVcpu, bind), kEINVAL);
    CHECK_FAILS(bind_ipi(77), kENOENT);
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(port)));
}

GUEST_TEST(event_bind_vcpu, "A port can be given to an existing vCPU only") {
    const auto port = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    abi::EventBindVcpu bind{port, 0};
    CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kBindVcpu, bind));
    bind.vcpu = 77;
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kBindVcpu, bind), kENOENT);
    abi::EventStatus status;
    CHECK_SUCCEEDS(port_status(port, status));
    CHECK_EQUAL(status.vcpu, 0u);
    CHECK_SUCCEEDS(close_port(port));
    bind = {port, 0};
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kBindVcpu, bind), kEINVAL);
}

GUEST_TEST(event_exhaust, "Ports run out with ENOSPC, and all come back") {
    static RawPort ports[abi::kEventChannels2L];
    size_t count = 0;
    int64_t result = 0;
    while (count < abi::kEventChannels2L) {
        result = allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf);
        if (result < 0) break;
        ports[count++] = static_cast<RawPort>(result);
    }
    CHECK_EQUAL(result, abi::negated(abi::Errno::kENOSPC));
    CHECK(count > 1000);
    for (size_t index = 0; index < count; ++index) {
        if (!CHECK_SUCCEEDS(close_port(ports[index]))) return;
    }
    result = allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf);
    CHECK_EQUAL(result, static_cast<int64_t>(ports[0]));
    CHECK_SUCCEEDS(close_port(static_cast<RawPort>(result)));
}

GUEST_TEST(event_unknown, "Unknown sub-operations are refused") {
    uint64_t words[8] = {};
    CHECK_FAILS(hypercall(abi::Hypercall::kEventChannelOp, 15, words), kENOSYS);
    CHECK_FAILS(hypercall(abi::Hypercall::kEventChannelOp, 0x1000, words), kENOSYS);
}
