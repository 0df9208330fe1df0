// Ports: allocation, binding, closing, and delivery in the two-level layout.
#include <gtest/gtest.h>

#include "unit/core/event/event_world.h"

namespace torii::test {
namespace {

class EventChannelTest : public ::testing::Test {
protected:
    EventChannelTest() { event_log = {}; }
    ~EventChannelTest() override {}

    static abi::EventStatus status(TestDomain& domain, Port port) {
        abi::EventStatus out{};
        EXPECT_TRUE(domain.table.status(port, out).ok());
        return out;
    }
    static abi::EventStatusKind kind(TestDomain& domain, Port port) {
        return static_cast<abi::EventStatusKind>(status(domain, port).status);
    }
    // A connected pair: a's port, b's port.
    static std::pair<Port, Port> connect(TestDomain& a, TestDomain& b) {
        const Port there = b.table.alloc_unbound(a.table.id()).take();
        const Port here = a.table.bind_interdomain(b.table, there).take();
        a.set_pending(here.raw(), false);
        a.take_upcall(0);
        a.info(0).evtchn_pending_sel = 0;
        event_log.kicks.clear();
        return {here, there};
    }
};

TEST_F(EventChannelTest, PortsAreTakenLowestFirstAndPortZeroNever) {
    TestDomain a(1);
    for (uint32_t i = 1; i <= 200; ++i)
        EXPECT_EQ(a.table.alloc_unbound(DomId(0)).take(), Port(i));
    EXPECT_TRUE(a.table.close(Port(70)).ok());
    EXPECT_TRUE(a.table.close(Port(7)).ok());
    EXPECT_EQ(a.table.alloc_unbound(DomId(0)).take(), Port(7));
    EXPECT_EQ(a.table.alloc_unbound(DomId(0)).take(), Port(70));
    EXPECT_EQ(a.table.alloc_unbound(DomId(0)).take(), Port(201));
    EXPECT_EQ(a.table.ports_in_use(), 201u);
}

TEST_F(EventChannelTest, ALimitEndsAllocation) {
    TestDomain a(1);
    a.table.limit_ports(3);
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(a.table.alloc_unbound(DomId(0)).ok());
    EXPECT_EQ(a.table.alloc_unbound(DomId(0)).error(), Errno::kENOSPC);
    EXPECT_TRUE(a.table.close(Port(2)).ok());
    EXPECT_EQ(a.table.alloc_unbound(DomId(0)).take(), Port(2));
}

TEST_F(EventChannelTest, TheTwoLevelLayoutEndsAt4096) {
    TestDomain a(1);
    for (uint32_t i = 1; i < 4096; ++i)
        ASSERT_EQ(a.table.bind_ipi(0).take(), Port(i));
    EXPECT_EQ(a.table.bind_ipi(0).error(), Errno::kENOSPC);
    EXPECT_TRUE(a.table.send(Port(4095)).ok());
    EXPECT_TRUE(a.pending(4095));
    EXPECT_EQ(a.info(0).evtchn_pending_sel, uint64_t{1} << 63);
}

TEST_F(EventChannelTest, BindingAsksForTheRightDomainAndAnUnboundPort) {
    TestDomain a(1), b(2), c(3);
    const Port there = b.table.alloc_unbound(DomId(1)).take();
    EXPECT_EQ(c.table.bind_interdomain(b.table, there).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.bind_interdomain(b.table, Port(there.raw() + 1)).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.bind_interdomain(b.table, Port(0)).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.bind_interdomain(b.table, Port(1u << 31)).error(), Errno::kEINVAL);
    const Port here = a.table.bind_interdomain(b.table, there).take();
    EXPECT_EQ(a.table.bind_interdomain(b.table, there).error(), Errno::kEINVAL);
    // Pending from the start: the other side may have sent before.
    EXPECT_TRUE(a.pending(here.raw()));
    EXPECT_FALSE(b.pending(there.raw()));

    const abi::EventStatus ours = status(a, here);
    EXPECT_EQ(ours.status, static_cast<uint32_t>(abi::EventStatusKind::kInterdomain));
    EXPECT_EQ(ours.u.interdomain.dom, 2);
    EXPECT_EQ(ours.u.interdomain.port, there.raw());
    const abi::EventStatus theirs = status(b, there);
    EXPECT_EQ(theirs.u.interdomain.dom, 1);
    EXPECT_EQ(theirs.u.interdomain.port, here.raw());
}

TEST_F(EventChannelTest, ASendSetsPendingSelectorAndUpcallOnce) {
    TestDomain a(1), b(2);
    const auto [here, there] = connect(a, b);
    EXPECT_TRUE(a.table.send(here).ok());
    EXPECT_TRUE(b.pending(there.raw()));
    EXPECT_EQ(b.info(0).evtchn_pending_sel, 1u);
    EXPECT_EQ(b.info(0).evtchn_upcall_pending, 1);
    EXPECT_EQ(event_log.kicks, std::vector{b.vcpu_pointers[0].get()});
    EXPECT_TRUE(a.table.send(here).ok());
    EXPECT_EQ(event_log.kicks.size(), 1u);
    // And the other way.
    EXPECT_TRUE(b.table.send(there).ok());
    EXPECT_TRUE(a.pending(here.raw()));
}

TEST_F(EventChannelTest, AMaskedPortWaitsForUnmask) {
    TestDomain a(1), b(2);
    const auto [here, there] = connect(a, b);
    b.set_masked(there.raw(), true);
    EXPECT_TRUE(a.table.send(here).ok());
    EXPECT_TRUE(b.pending(there.raw()));
    EXPECT_EQ(b.info(0).evtchn_upcall_pending, 0);
    EXPECT_TRUE(b.table.unmask(there).ok());
    EXPECT_EQ(b.info(0).evtchn_upcall_pending, 1);
    EXPECT_EQ(b.info(0).evtchn_pending_sel, 1u);
    EXPECT_EQ(b.table.unmask(Port(5000)).error(), Errno::kEINVAL);
}

TEST_F(EventChannelTest, SendsThatNobodyHears) {
    TestDomain a(1), b(2);
    const Port unbound = a.table.alloc_unbound(DomId(2)).take();
    EXPECT_TRUE(a.table.send(unbound).ok());
    EXPECT_FALSE(a.pending(unbound.raw()));
    EXPECT_EQ(a.table.send(Port(unbound.raw() + 1)).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.send(Port(0)).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.send(Port(~0u)).error(), Errno::kEINVAL);
    const Port virq = a.table.bind_virq(0, 0).take();
    EXPECT_EQ(a.table.send(virq).error(), Errno::kEINVAL);
    EXPECT_TRUE(event_log.kicks.empty());
}

TEST_F(EventChannelTest, ClosingOneEndUnbindsTheOther) {
    TestDomain a(1), b(2);
    const auto [here, there] = connect(a, b);
    EXPECT_TRUE(a.table.send(here).ok());
    EXPECT_TRUE(a.table.close(here).ok());
    EXPECT_EQ(kind(a, here), abi::EventStatusKind::kClosed);
    const abi::EventStatus theirs = status(b, there);
    EXPECT_EQ(theirs.status, static_cast<uint32_t>(abi::EventStatusKind::kUnbound));
    EXPECT_EQ(theirs.u.unbound.dom, 1);
    EXPECT_EQ(a.table.close(here).error(), Errno::kEINVAL);
    EXPECT_TRUE(b.table.send(there).ok());
    // And binding again is invisible to the other side.
    const Port again = a.table.bind_interdomain(b.table, there).take();
    EXPECT_EQ(again, here);
    b.set_pending(there.raw(), false);
    EXPECT_TRUE(a.table.send(again).ok());
    EXPECT_TRUE(b.pending(there.raw()));
}

TEST_F(EventChannelTest, ClosingForgetsWhatWasPending) {
    TestDomain a(1);
    const Port port = a.table.bind_ipi(0).take();
    EXPECT_TRUE(a.table.send(port).ok());
    EXPECT_TRUE(a.pending(port.raw()));
    EXPECT_TRUE(a.table.close(port).ok());
    EXPECT_FALSE(a.pending(port.raw()));
}

TEST_F(EventChannelTest, ADomainTalksToItself) {
    TestDomain a(1);
    const Port first = a.table.alloc_unbound(DomId(1)).take();
    const Port second = a.table.bind_interdomain(a.table, first).take();
    EXPECT_NE(first, second);
    EXPECT_TRUE(a.table.send(second).ok());
    EXPECT_TRUE(a.pending(first.raw()));
    EXPECT_TRUE(a.table.close(first).ok());
    EXPECT_EQ(kind(a, second), abi::EventStatusKind::kUnbound);
}

TEST_F(EventChannelTest, VirtualInterrupts) {
    TestDomain a(1, 2);
    const auto timer = static_cast<uint32_t>(abi::Virq::kTimer);
    const auto console = static_cast<uint32_t>(abi::Virq::kConsole);
    const Port first = a.table.bind_virq(timer, 0).take();
    const Port second = a.table.bind_virq(timer, 1).take();
    EXPECT_EQ(a.table.bind_virq(timer, 1).error(), Errno::kEEXIST);
    EXPECT_EQ(a.table.bind_virq(timer, 2).error(), Errno::kENOENT);
    EXPECT_EQ(a.table.bind_virq(24, 0).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.bind_virq(console, 1).error(), Errno::kEINVAL);
    const Port global = a.table.bind_virq(console, 0).take();

    a.table.raise_virq(*a.vcpus[1], abi::Virq::kTimer);
    EXPECT_FALSE(a.pending(first.raw()));
    EXPECT_TRUE(a.pending(second.raw()));
    EXPECT_EQ(event_log.kicks, std::vector{a.vcpu_pointers[1].get()});

    EXPECT_EQ(a.table.bind_vcpu(second, 0).error(), Errno::kEINVAL);
    EXPECT_TRUE(a.table.bind_vcpu(global, 1).ok());
    EXPECT_EQ(a.table.bind_vcpu(global, 7).error(), Errno::kENOENT);
    a.take_upcall(1);
    a.info(1).evtchn_pending_sel = 0;
    a.table.raise_global_virq(abi::Virq::kConsole);
    EXPECT_TRUE(a.pending(global.raw()));
    EXPECT_TRUE(a.take_upcall(1));
    EXPECT_EQ(status(a, global).u.virq, console);
    EXPECT_EQ(status(a, global).vcpu, 1u);

    EXPECT_TRUE(a.table.close(global).ok());
    a.table.raise_global_virq(abi::Virq::kConsole);
    EXPECT_TRUE(a.table.bind_virq(console, 0).ok());
}

TEST_F(EventChannelTest, MachineInterruptsGoToTheirHandler) {
    TestDomain a(0), b(1);
    GlobalVirqs virqs;
    virqs.raise(abi::Virq::kDomExc);  // nobody there yet
    virqs.set_default_handler(a.table);
    const Port ours = a.table.bind_virq(static_cast<uint32_t>(abi::Virq::kDomExc), 0).take();
    const Port theirs = b.table.bind_virq(static_cast<uint32_t>(abi::Virq::kDomExc), 0).take();
    virqs.raise(abi::Virq::kDomExc);
    EXPECT_TRUE(a.pending(ours.raw()));
    EXPECT_FALSE(b.pending(theirs.raw()));
    EXPECT_EQ(virqs.set_handler(static_cast<uint32_t>(abi::Virq::kTimer), b.table).error(), Errno::kEINVAL);
    EXPECT_EQ(virqs.set_handler(24, b.table).error(), Errno::kEINVAL);
    EXPECT_TRUE(virqs.set_handler(static_cast<uint32_t>(abi::Virq::kDomExc), b.table).ok());
    a.set_pending(ours.raw(), false);
    virqs.raise(abi::Virq::kDomExc);
    EXPECT_FALSE(a.pending(ours.raw()));
    EXPECT_TRUE(b.pending(theirs.raw()));
    virqs.forget(b.table);
    virqs.raise(abi::Virq::kDomExc);
    EXPECT_TRUE(a.pending(ours.raw()));
}

TEST_F(EventChannelTest, PhysicalInterrupts) {
    TestDomain a(0);
    EXPECT_EQ(a.table.bind_pirq(3).error(), Errno::kEINVAL);
    a.table.limit_pirqs(16);
    const Port port = a.table.bind_pirq(3).take();
    EXPECT_EQ(a.table.bind_pirq(3).error(), Errno::kEEXIST);
    EXPECT_EQ(a.table.bind_pirq(16).error(), Errno::kEINVAL);
    EXPECT_EQ(status(a, port).u.pirq, 3u);
    a.table.raise_pirq(4);
    EXPECT_FALSE(a.pending(port.raw()));
    a.table.raise_pirq(3);
    EXPECT_TRUE(a.pending(port.raw()));
    event_log.closed_pirqs.clear();
    EXPECT_TRUE(a.table.close(port).ok());
    EXPECT_EQ(event_log.closed_pirqs, std::vector{3u});
    EXPECT_EQ(a.table.raise_pirq(3), nullptr);
    EXPECT_TRUE(a.table.bind_pirq(3).ok());
    EXPECT_EQ(a.table.raise_pirq(3), a.vcpu_pointers[0].get());
}

TEST_F(EventChannelTest, MovingTheNotification) {
    TestDomain a(1, 3), b(2);
    const auto [here, there] = connect(b, a);
    EXPECT_TRUE(a.table.bind_vcpu(there, 2).ok());
    EXPECT_TRUE(b.table.send(here).ok());
    EXPECT_EQ(event_log.kicks, std::vector{a.vcpu_pointers[2].get()});
    const Port ipi = a.table.bind_ipi(1).take();
    EXPECT_EQ(a.table.bind_vcpu(ipi, 0).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.bind_vcpu(Port(99), 0).error(), Errno::kEINVAL);
    // A port that is used anew notifies vCPU 0 again.
    EXPECT_TRUE(a.table.close(there).ok());
    EXPECT_EQ(a.table.alloc_unbound(DomId(2)).take(), there);
    EXPECT_EQ(status(a, there).vcpu, 0u);
}

TEST_F(EventChannelTest, Polling) {
    TestDomain a(1, 2);
    const Port first = a.table.bind_ipi(0).take();
    const Port second = a.table.bind_ipi(0).take();
    a.set_masked(first.raw(), true);  // polled ports mostly are
    const uint32_t one[] = {first.raw()};
    EXPECT_FALSE(a.table.start_polling(*a.vcpus[1], one).take());
    EXPECT_TRUE(a.table.send(second).ok());
    EXPECT_TRUE(event_log.woken_pollers.empty());
    EXPECT_TRUE(a.table.send(first).ok());
    EXPECT_EQ(event_log.woken_pollers, std::vector{a.vcpu_pointers[1].get()});
    a.table.stop_polling(*a.vcpus[1]);

    EXPECT_TRUE(a.table.start_polling(*a.vcpus[1], one).take());  // pending already
    a.table.stop_polling(*a.vcpus[1]);
    const uint32_t bad[] = {first.raw(), 4096};
    EXPECT_EQ(a.table.start_polling(*a.vcpus[1], bad).error(), Errno::kEINVAL);

    event_log.woken_pollers.clear();
    a.set_pending(first.raw(), false);
    EXPECT_TRUE(a.table.send(first).ok());
    EXPECT_TRUE(event_log.woken_pollers.empty());
}

TEST_F(EventChannelTest, MovedInformationLosesNothing) {
    TestDomain a(1, 1);
    abi::VcpuInfo fresh{};
    a.info(0).arch.cr2 = 77;
    a.vcpus[0]->move_info(fresh);
    EXPECT_EQ(fresh.arch.cr2, 77u);
    EXPECT_EQ(fresh.evtchn_upcall_pending, 1);
    EXPECT_EQ(fresh.evtchn_pending_sel, ~uint64_t{0});
    EXPECT_EQ(fresh.evtchn_upcall_mask, 0);
    EXPECT_TRUE(a.vcpus[0]->upcall_due());
    fresh = {};
    const Port port = a.table.bind_ipi(0).take();
    EXPECT_TRUE(a.table.send(port).ok());
    EXPECT_EQ(fresh.evtchn_upcall_pending, 1);
}

TEST_F(EventChannelTest, VcpusWithoutInformationAreNotNotified) {
    TestDomain a(1, 40);
    const Port port = a.table.bind_ipi(35).take();
    EXPECT_TRUE(a.table.send(port).ok());
    EXPECT_TRUE(a.pending(port.raw()));
    EXPECT_TRUE(event_log.kicks.empty());
    abi::VcpuInfo fresh{};
    a.vcpus[35]->move_info(fresh);
    EXPECT_EQ(fresh.evtchn_upcall_pending, 1);
    EXPECT_EQ(fresh.evtchn_upcall_mask, 1);
}

TEST_F(EventChannelTest, ADomainEndsInSteps) {
    TestDomain b(2);
    std::vector<Port> peers;
    {
        TestDomain a(1);
        for (int i = 0; i < 300; ++i) {
            const Port there = b.table.alloc_unbound(DomId(1)).take();
            peers.push_back(there);
            EXPECT_TRUE(a.table.bind_interdomain(b.table, there).ok());
        }
        const Port left = a.table.alloc_unbound(DomId(2)).take();
        int steps = 1;
        while (!a.table.close_all(16))
            ++steps;
        EXPECT_GE(steps, 300 / 16);
        EXPECT_EQ(a.table.ports_in_use(), 0u);
        EXPECT_EQ(a.table.alloc_unbound(DomId(2)).error(), Errno::kESRCH);
        EXPECT_EQ(b.table.bind_interdomain(a.table, left).error(), Errno::kESRCH);
    }
    for (const Port port : peers)
        EXPECT_EQ(kind(b, port), abi::EventStatusKind::kUnbound);
    EXPECT_EQ(event_log.pinned, 0);
}

TEST_F(EventChannelTest, ResetClosesEverythingAndTheTableGoesOn) {
    TestDomain a(1), b(2);
    const auto [here, there] = connect(a, b);
    (void)a.table.bind_virq(0, 0).take();
    int steps = 0;
    for (bool first = true; !a.table.reset(1, first); first = false)
        ++steps;
    EXPECT_GE(steps, 1);
    EXPECT_EQ(a.table.ports_in_use(), 0u);
    EXPECT_EQ(kind(b, there), abi::EventStatusKind::kUnbound);
    EXPECT_EQ(a.table.bind_virq(0, 0).take(), here);
}

TEST_F(EventChannelTest, RunningOutOfMemoryChangesNothing) {
    event_log = {};
    {
        TestDomain a(1), b(2);
        const Port there = b.table.alloc_unbound(DomId(1)).take();
        a.table.limit_pirqs(8);
        event_log.fail_after = 0;
        EXPECT_EQ(a.table.bind_interdomain(b.table, there).error(), Errno::kENOMEM);
        EXPECT_EQ(kind(b, there), abi::EventStatusKind::kUnbound);
        for (int n = 0; n < 3; ++n) {
            event_log.fail_after = n;
            const auto result = a.table.bind_pirq(2);
            EXPECT_EQ(result.ok(), n == 2);
            EXPECT_EQ(a.table.ports_in_use(), n == 2 ? 1u : 0u);
        }
        event_log.fail_after = -1;
    }
    EXPECT_EQ(event_log.pages, 0);
}

}  // namespace
}  // namespace torii::test
