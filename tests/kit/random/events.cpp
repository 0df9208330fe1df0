// Event channels: ports of every kind, both layouts.
#include <gtest/gtest.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/virq.h>

#include "kit/random/world.h"

namespace torii::test {
namespace {

using abi::EventChannelOp;
using Kind = abi::EventStatusKind;

uint64_t op(EventChannelOp operation) {
    return static_cast<uint64_t>(operation);
}

Kind kind_of(EventTable& table, uint32_t port, abi::EventStatus& status) {
    if (!table.status(Port(port), status).ok()) return Kind::kClosed;
    return static_cast<Kind>(status.status);
}
// Of a domain that may be gone.
Kind kind_of(const HostedDomain& domain, uint32_t port, abi::EventStatus& status) {
    const DomainRef found(find_domain(domain.id()));
    return found ? kind_of(found->events, port, status) : Kind::kClosed;
}

}  // namespace

// A port of that kind (EventStatusKind), or any number.
uint32_t RandomWorld::some_port(HostedDomain& domain, uint32_t kind_wanted) {
    const uint32_t first = pick(kPorts);
    abi::EventStatus status{};
    for (uint32_t i = 0; i < kPorts; ++i) {
        const uint32_t port = (first + i) % kPorts;
        if (static_cast<uint32_t>(kind_of(domain, port, status)) == kind_wanted) return port;
    }
    return first;
}

void RandomWorld::bind_ports() {
    HostedDomain& domain = caller();
    switch (pick(8)) {
        case 0:
        case 1: {
            abi::EventAllocUnbound request{kSelf, some().id().raw(), 0};
            if (chance(20)) request.dom = guest().id().raw();
            (void)call(domain, "alloc_unbound", Number::kEventChannelOp,
                       {op(EventChannelOp::kAllocUnbound), address(request)});
            return;
        }
        case 2:
        case 3:
        case 4: {
            HostedDomain& remote = some();
            abi::EventBindInterdomain request{remote.id().raw(), 0, 0, 0};
            // One that waits for us, mostly.
            abi::EventStatus status{};
            for (uint32_t i = 0; i < 8; ++i) {
                request.remote_port = some_port(remote, static_cast<uint32_t>(Kind::kUnbound));
                if (kind_of(remote, request.remote_port, status) == Kind::kUnbound &&
                    status.u.unbound.dom == domain.id().raw())
                    break;
            }
            (void)call(domain, "bind_interdomain", Number::kEventChannelOp,
                       {op(EventChannelOp::kBindInterdomain), address(request)});
            return;
        }
        case 5: {
            abi::EventBindVirq request{pick(abi::kVirqCount), pick(2), 0};
            (void)call(domain, "bind_virq", Number::kEventChannelOp,
                       {op(EventChannelOp::kBindVirq), address(request)});
            return;
        }
        case 6: {
            abi::EventBindIpi request{pick(2), 0};
            (void)call(domain, "bind_ipi", Number::kEventChannelOp,
                       {op(EventChannelOp::kBindIpi), address(request)});
            return;
        }
        default: {
            abi::EventBindPirq request{pick(17), 0, 0};
            (void)call(chance(90) ? caller_with_rights() : domain, "bind_pirq", Number::kEventChannelOp,
                       {op(EventChannelOp::kBindPirq), address(request)});
        }
    }
}

void RandomWorld::use_ports() {
    HostedDomain& domain = caller();
    abi::EventStatus status{};
    if (chance(70)) {
        const abi::RawPort port =
            some_port(domain, static_cast<uint32_t>(chance(70) ? Kind::kInterdomain : Kind::kIpi));
        const bool pair = kind_of(domain, port, status) == Kind::kInterdomain;
        const int64_t result =
            call(domain, "send", Number::kEventChannelOp, {op(EventChannelOp::kSend), address(port)});
        if (!pair || domain.unfinished || !is_alone()) return;
        EXPECT_EQ(result, 0);
        const DomainRef peer(find_domain(DomId(status.u.interdomain.dom)));
        ASSERT_TRUE(peer) << "a port is bound to a domain that is gone";
        if (peer->events.uses_fifo()) return;
        const uint32_t at = status.u.interdomain.port;
        EXPECT_NE(peer->shared_info->evtchn_pending[at / 64] >> (at % 64) & 1, 0u) << "a send went astray";
        if (chance(50)) peer->shared_info->evtchn_pending[at / 64] &= ~(uint64_t{1} << (at % 64));
        return;
    }
    const abi::RawPort port = pick(kPorts);
    if (chance(50)) {
        __atomic_fetch_or(&domain.domain().shared_info->evtchn_mask[0], uint64_t{1} << (port % 64),
                          __ATOMIC_SEQ_CST);
        (void)call(domain, "unmask", Number::kEventChannelOp, {op(EventChannelOp::kUnmask), address(port)});
        return;
    }
    status.dom = chance(80) ? kSelf : guest().id().raw();
    status.port = port;
    (void)call(domain, "status", Number::kEventChannelOp, {op(EventChannelOp::kStatus), address(status)});
}

void RandomWorld::change_ports() {
    HostedDomain& domain = caller();
    const uint32_t kind = 1 + pick(5);
    const abi::RawPort port = some_port(domain, kind);
    if (chance(60)) {
        (void)call(domain, "close", Number::kEventChannelOp, {op(EventChannelOp::kClose), address(port)});
        return;
    }
    if (chance(50)) {
        const abi::EventBindVcpu request{port, pick(2)};
        (void)call(domain, "bind_vcpu", Number::kEventChannelOp,
                   {op(EventChannelOp::kBindVcpu), address(request)});
        return;
    }
    if (chance(60)) {
        const abi::EventSetPriority request{port, pick(17)};
        (void)call(domain, "set_priority", Number::kEventChannelOp,
                   {op(EventChannelOp::kSetPriority), address(request)});
        return;
    }
    if (!chance(30)) return;
    const abi::EventReset request{chance(80) ? kSelf : guest().id().raw()};
    (void)call(chance(50) ? caller_with_rights() : domain, "reset", Number::kEventChannelOp,
               {op(EventChannelOp::kReset), address(request)});
}

void RandomWorld::set_up_fifo() {
    HostedDomain& domain = caller();
    const Mfn mfn = chance(85) ? unused_frame(domain) : some_frame(domain);
    if (!domain.domain().events.uses_fifo() || chance(40)) {
        const abi::EventInitControl request{mfn.raw(), pick(4) * 128, pick(2), 0, {}};
        (void)call(domain, "init_control", Number::kEventChannelOp,
                   {op(EventChannelOp::kInitControl), address(request)});
        return;
    }
    // The number of pages is only stable where nobody else works on the domain.
    if (is_alone() && domain.domain().events.fifo()->page_count >= 3) return;
    const abi::EventExpandArray request{mfn.raw()};
    const int64_t result = call(domain, "expand_array", Number::kEventChannelOp,
                                {op(EventChannelOp::kExpandArray), address(request)});
    if (result == 0 && !domain.unfinished) event_words_ = mfn;
}

// What a guest does about its events, so that the next ones are news: in either layout, whichever is in use.
void RandomWorld::take_events() {
    HostedDomain& domain = caller();
    if (abi::VcpuInfo* const info = domain.vcpu().events.info.load(); info != nullptr) {
        __atomic_store_n(&info->evtchn_upcall_mask, uint8_t{chance(20)}, __ATOMIC_SEQ_CST);
        __atomic_store_n(&info->evtchn_upcall_pending, uint8_t{0}, __ATOMIC_SEQ_CST);
        (void)__atomic_exchange_n(&info->evtchn_pending_sel, uint64_t{0}, __ATOMIC_SEQ_CST);
    }
    (void)__atomic_exchange_n(&domain.domain().shared_info->evtchn_pending[0], uint64_t{0}, __ATOMIC_SEQ_CST);
    if (event_words_ == Mfn{}) return;
    const FrameRef frame = FrameRef::take(event_words_, domain.id());
    if (!frame || !get_writable(*frame)) return;
    constexpr abi::FifoEventWord kTaken =
        1u << abi::kFifoPendingBit | 1u << abi::kFifoLinkedBit | abi::kFifoLinkMask;
    auto* const words = fakes::machine().guest_view<abi::FifoEventWord>(event_words_);
    for (uint32_t port = 0; port < kPorts; ++port)
        __atomic_fetch_and(&words[port], ~kTaken, __ATOMIC_SEQ_CST);
    put_writable(*frame);
}

// Of each pair both ends say the same, and a virtual interrupt's port is one of that interrupt.
void RandomWorld::check_ports(Domain& domain, std::vector<std::string>& findings) {
    unsigned used = 0;
    for (uint32_t port = 0; port < kPorts; ++port) {
        abi::EventStatus mine{};
        abi::EventStatus theirs{};
        const Kind kind = kind_of(domain.events, port, mine);
        used += kind != Kind::kClosed;
        const auto find = [&](const char* what) {
            findings.push_back("port " + std::to_string(port) + " of d" + std::to_string(domain.id.raw()) +
                               what);
        };
        if (kind == Kind::kVirq) {
            const auto virq = static_cast<abi::Virq>(mine.u.virq);
            Vcpu* const holder = domain.vcpu(VcpuId(EventTable::is_global(virq) ? 0 : mine.vcpu));
            if (holder->events.virq_port[mine.u.virq].load() != port)
                find(" is not where its interrupt goes");
        }
        if (kind != Kind::kInterdomain) continue;
        const DomainRef peer(find_domain(DomId(mine.u.interdomain.dom)));
        if (!peer || kind_of(peer->events, mine.u.interdomain.port, theirs) != Kind::kInterdomain ||
            theirs.u.interdomain.port != port || theirs.u.interdomain.dom != domain.id.raw())
            find(" has no peer");
    }
    if (used != domain.events.ports_in_use())
        findings.push_back("d" + std::to_string(domain.id.raw()) + " uses " + std::to_string(used) +
                           " ports and counts " + std::to_string(domain.events.ports_in_use()));
}

}  // namespace torii::test
