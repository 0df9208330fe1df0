// The FIFO layout: queues, priorities, and what a guest that corrupts its words can do (nothing, to others).
#include <gtest/gtest.h>

#include <random>

#include "unit/core/event/event_world.h"

namespace torii::test {
namespace {

constexpr uint32_t kLinked = 1u << abi::kFifoLinkedBit;
constexpr uint32_t kBusy = 1u << abi::kFifoBusyBit;

class EventFifoTest : public ::testing::Test {
protected:
    EventFifoTest() { event_log = {}; }
    using Ports = std::vector<uint32_t>;

    static uint32_t ipi(TestDomain& domain, unsigned vcpu = 0) {
        return domain.table.bind_ipi(vcpu).take().raw();
    }
    static void send(TestDomain& domain, std::initializer_list<uint32_t> ports) {
        for (const uint32_t port : ports)
            EXPECT_TRUE(domain.table.send(Port(port)).ok());
    }
};

TEST_F(EventFifoTest, EventsComeInOrderAndByPriority) {
    TestDomain a(1);
    a.use_fifo();
    const uint32_t p1 = ipi(a), p2 = ipi(a), p3 = ipi(a), p4 = ipi(a);
    EXPECT_TRUE(a.table.set_priority(Port(p3), 2).ok());
    EXPECT_TRUE(a.table.set_priority(Port(p4), 15).ok());
    EXPECT_EQ(a.table.set_priority(Port(p4), 16).error(), Errno::kEINVAL);
    send(a, {p4, p1, p2, p1, p3});
    EXPECT_EQ(a.control(0).ready, 1u << 15 | 1u << 7 | 1u << 2);
    EXPECT_TRUE(a.take_upcall(0));
    EXPECT_EQ(event_log.kicks.size(), 1u);
    EXPECT_EQ(a.consume(0), (Ports{p3, p1, p2, p4}));
    EXPECT_EQ(a.consume(0), Ports{});
    send(a, {p2, p1});
    EXPECT_EQ(a.consume(0), (Ports{p2, p1}));
}

TEST_F(EventFifoTest, APortThatWasLastMayBeQueuedAgain) {
    TestDomain a(1);
    a.use_fifo();
    const uint32_t p1 = ipi(a), p2 = ipi(a);
    for (int i = 0; i < 5; ++i) {
        send(a, {p1});
        EXPECT_EQ(a.consume(0), Ports{p1});
    }
    send(a, {p1, p2});
    EXPECT_EQ(a.consume(0), (Ports{p1, p2}));
}

TEST_F(EventFifoTest, AMovedPortLeavesNoTraceInItsOldQueue) {
    TestDomain a(1, 2), b(2);
    a.use_fifo();
    const Port there = a.table.alloc_unbound(DomId(2)).take();
    const Port here = b.table.bind_interdomain(a.table, there).take();
    const uint32_t other = ipi(a, 0);
    EXPECT_TRUE(b.table.send(here).ok());
    EXPECT_EQ(a.consume(0), Ports{there.raw()});  // `there` is the tail of vCPU 0's queue, and off it
    EXPECT_TRUE(a.table.bind_vcpu(there, 1).ok());
    EXPECT_TRUE(b.table.send(here).ok());
    send(a, {other});  // must not be hung behind `there`, which is on vCPU 1 now
    EXPECT_EQ(a.consume(0), Ports{other});
    EXPECT_EQ(a.consume(1), Ports{there.raw()});
    // The same between priorities.
    EXPECT_TRUE(a.table.bind_vcpu(there, 0).ok());
    EXPECT_TRUE(b.table.send(here).ok());
    EXPECT_EQ(a.consume(0), Ports{there.raw()});
    EXPECT_TRUE(a.table.set_priority(there, 3).ok());
    EXPECT_TRUE(b.table.send(here).ok());
    send(a, {other});
    EXPECT_EQ(a.consume(0), (Ports{there.raw(), other}));
}

TEST_F(EventFifoTest, MaskedEventsAreQueuedByUnmask) {
    TestDomain a(1);
    a.use_fifo();
    const uint32_t p1 = ipi(a);
    a.set_masked(p1, true);
    send(a, {p1});
    EXPECT_EQ(a.control(0).ready, 0u);
    EXPECT_TRUE(a.pending(p1));
    EXPECT_TRUE(a.table.unmask(Port(p1)).ok());
    EXPECT_EQ(a.consume(0), Ports{p1});
    // Unmasking what isn't pending queues nothing.
    EXPECT_TRUE(a.table.unmask(Port(p1)).ok());
    EXPECT_EQ(a.consume(0), Ports{});
}

TEST_F(EventFifoTest, AnEventBeforeItsWordExistsIsDeliveredWhenItDoes) {
    TestDomain a(1);
    a.use_fifo(0);
    const uint32_t p1 = ipi(a), p2 = ipi(a);
    send(a, {p1, p2});
    EXPECT_EQ(a.control(0).ready, 0u);
    EXPECT_TRUE(a.table.close(Port(p2)).ok());
    EXPECT_TRUE(a.table.expand_array(Mfn(10)).ok());
    EXPECT_EQ(a.consume(0), Ports{p1});
    EXPECT_EQ(ipi(a), p2);
    send(a, {p2});
    EXPECT_EQ(a.consume(0), Ports{p2});
}

TEST_F(EventFifoTest, TheSwitchFromTwoLevelsKeepsWhatIsPending) {
    TestDomain a(1);
    const uint32_t p1 = ipi(a), p2 = ipi(a);
    send(a, {p1});
    a.use_fifo();
    EXPECT_EQ(a.consume(0), Ports{p1});
    send(a, {p2});
    EXPECT_EQ(a.consume(0), Ports{p2});
}

TEST_F(EventFifoTest, SettingUpChecksItsArguments) {
    TestDomain a(1, 2);
    uint8_t bits = 0;
    EXPECT_EQ(a.table.expand_array(Mfn(10)).error(), Errno::kEOPNOTSUPP);
    EXPECT_EQ(a.table.set_priority(Port(1), 3).error(), Errno::kEINVAL);
    const uint32_t port = ipi(a);
    EXPECT_EQ(a.table.set_priority(Port(port), 3).error(), Errno::kENOSYS);
    EXPECT_EQ(a.table.init_control(0, Mfn(0), 4, bits).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.init_control(0, Mfn(0), 4096 - 64, bits).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.init_control(0, Mfn(0), ~0u - 7, bits).error(), Errno::kEINVAL);
    EXPECT_EQ(a.table.init_control(2, Mfn(0), 0, bits).error(), Errno::kENOENT);
    EXPECT_EQ(a.table.init_control(0, Mfn(100000), 0, bits).error(), Errno::kEINVAL);
    EXPECT_FALSE(a.table.uses_fifo());
    EXPECT_TRUE(a.table.init_control(0, Mfn(0), 4096 - 72, bits).ok());
    EXPECT_EQ(bits, 17);
    EXPECT_EQ(a.table.init_control(0, Mfn(0), 0, bits).error(), Errno::kEINVAL);
    EXPECT_EQ(event_log.pinned, 1);
    EXPECT_EQ(a.table.expand_array(Mfn(100000)).error(), Errno::kEINVAL);
    for (uint32_t i = 0; i < 128; ++i)
        EXPECT_TRUE(a.table.expand_array(Mfn(10 + i)).ok());
    EXPECT_EQ(a.table.expand_array(Mfn(150)).error(), Errno::kENOSPC);
    EXPECT_EQ(event_log.pinned, 129);

    EXPECT_TRUE(a.table.reset(1000, true));
    EXPECT_FALSE(a.table.uses_fifo());
    EXPECT_EQ(event_log.pinned, 0);
    EXPECT_TRUE(a.table.init_control(0, Mfn(0), 0, bits).ok());
}

TEST_F(EventFifoTest, AVcpuWithoutAControlBlockGetsNothing) {
    TestDomain a(1, 2);
    uint8_t bits = 0;
    EXPECT_TRUE(a.table.init_control(0, Mfn(0), 0, bits).ok());
    EXPECT_TRUE(a.table.expand_array(Mfn(10)).ok());
    const uint32_t port = ipi(a, 1);
    send(a, {port});
    EXPECT_TRUE(a.pending(port));
    EXPECT_TRUE(event_log.kicks.empty());
}

TEST_F(EventFifoTest, ManyPorts) {
    TestDomain a(1);
    a.use_fifo(8);
    for (uint32_t i = 1; i < 8192; ++i)
        ASSERT_EQ(ipi(a), i);
    send(a, {8191, 4096, 1});
    EXPECT_EQ(a.consume(0), (Ports{8191, 4096, 1}));
    EXPECT_TRUE(a.table.close(Port(4097)).ok());
    EXPECT_EQ(ipi(a), 4097u);
}

TEST_F(EventFifoTest, APortIsNotReusedWhileAQueueLinksIt) {
    TestDomain a(1);
    a.use_fifo();
    const uint32_t p1 = ipi(a), p2 = ipi(a);
    send(a, {p1, p2});
    EXPECT_TRUE(a.table.close(Port(p1)).ok());
    EXPECT_EQ(ipi(a), p2 + 1);
    EXPECT_EQ(a.consume(0), Ports{p2});  // p1 goes off the queue and isn't pending
    EXPECT_EQ(ipi(a), p1);
}

TEST_F(EventFifoTest, AGuestThatLinksAllItsWordsOnlyRunsOutOfPorts) {
    TestDomain a(1);
    a.use_fifo(8);
    for (uint32_t port = 1; port < 8192; ++port)
        a.word(port) = kLinked;
    EXPECT_EQ(a.table.bind_ipi(0).error(), Errno::kENOSPC);
    a.word(77) = 0;
    EXPECT_EQ(ipi(a), 77u);
}

TEST_F(EventFifoTest, FailuresOfMemoryLeakNothing) {
    for (int n = 0; n < 6; ++n) {
        event_log = {};
        {
            TestDomain a(1);
            uint8_t bits = 0;
            event_log.fail_after = n;
            if (a.table.init_control(0, Mfn(0), 0, bits).ok()) (void)a.table.expand_array(Mfn(10)).ok();
            event_log.fail_after = -1;
        }
        EXPECT_EQ(event_log.pages, 0);
        EXPECT_EQ(event_log.pinned, 0);
    }
}

// One domain scribbles over everything it shares; the other, which it exchanges events with, must not notice,
// and the hypervisor must come back from every call.
TEST_F(EventFifoTest, CorruptWordsHurtOnlyTheirOwner) {
    for (uint32_t seed = 0; seed < 20; ++seed) {
        std::mt19937 random(seed);
        auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
        event_log = {};
        event_log.record = false;
        TestDomain evil(1, 3), good(2, 1);
        evil.use_fifo(2);
        good.use_fifo(1);
        std::vector<std::pair<uint32_t, uint32_t>> pairs;  // evil's, good's
        for (int i = 0; i < 20; ++i) {
            const Port there = good.table.alloc_unbound(DomId(1)).take();
            const Port here = evil.table.bind_interdomain(good.table, there).take();
            pairs.emplace_back(here.raw(), there.raw());
        }
        good.consume(0);
        for (int step = 0; step < 3000; ++step) {
            switch (below(9)) {
                case 0:
                    evil.word(below(2048)) = random();
                    break;
                case 1:
                    evil.control(below(3)).head[below(16)] = random();
                    break;
                case 2:
                    evil.control(below(3)).ready = random();
                    break;
                case 3: {  // a loop
                    const uint32_t x = 1 + below(40), y = 1 + below(40);
                    evil.word(x) = kLinked | y;
                    evil.word(y) = kLinked | x;
                    break;
                }
                case 4:
                    (void)evil.table.bind_vcpu(Port(below(60)), below(4)).ok();
                    break;
                case 5:
                    (void)evil.table.set_priority(Port(below(60)), below(17)).ok();
                    break;
                case 6:
                    (void)evil.table.unmask(Port(below(60))).ok();
                    break;
                case 7: {
                    const auto port = evil.table.bind_ipi(below(3));
                    if (port.ok() && below(2) == 0) (void)const_cast<Result<Port>&>(port).value();
                    break;
                }
                default:
                    EXPECT_TRUE(good.table.send(Port(pairs[below(20)].second)).ok());
                    break;
            }
            const auto& [mine, theirs] = pairs[below(20)];
            ASSERT_TRUE(evil.table.send(Port(mine)).ok());
            ASSERT_EQ(good.consume(0), Ports{theirs});
        }
    }
}

TEST_F(EventFifoTest, BusyIsNotLeftBehind) {
    TestDomain a(1);
    a.use_fifo();
    const uint32_t p1 = ipi(a), p2 = ipi(a);
    send(a, {p1});
    a.word(p1) |= kBusy;  // as if a link had been under way
    send(a, {p2});
    EXPECT_EQ(a.word(p1) & kBusy, 0u);
    EXPECT_EQ(a.consume(0), (Ports{p1, p2}));
}

}  // namespace
}  // namespace torii::test
