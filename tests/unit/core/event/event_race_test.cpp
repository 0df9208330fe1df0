// Senders against closers on real threads: what the gates promise.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "unit/core/event/event_world.h"

namespace torii::test {
namespace {

class EventRaceTest : public ::testing::Test {
protected:
    EventRaceTest() {
        event_log = {};
        event_log.record = false;
    }
    ~EventRaceTest() override { event_log = {}; }
};

// One side sends all the time while the other's domain comes, binds and goes.
TEST_F(EventRaceTest, SendingToADomainThatEnds) {
    TestDomain a(1);
    const Port port = a.table.alloc_unbound(DomId(2)).take();
    std::atomic<bool> stop{false};
    std::thread sender([&] {
        while (!stop)
            EXPECT_TRUE(a.table.send(port).ok());
    });
    for (int i = 0; i < 3000; ++i) {
        TestDomain b(2);
        const Port there = b.table.bind_interdomain(a.table, port).take();
        if (i % 2 == 0) {
            EXPECT_TRUE(b.table.close(there).ok());
        }
    }
    stop = true;
    sender.join();
}

// Both ends close at the same time, each with the other's lock to take.
TEST_F(EventRaceTest, BothEndsCloseAtOnce) {
    TestDomain a(1), b(2);
    for (int i = 0; i < 2000; ++i) {
        const Port there = b.table.alloc_unbound(DomId(1)).take();
        const Port here = a.table.bind_interdomain(b.table, there).take();
        std::thread other([&] { EXPECT_TRUE(b.table.close(there).ok()); });
        EXPECT_TRUE(a.table.close(here).ok());
        other.join();
        ASSERT_EQ(a.table.ports_in_use() + b.table.ports_in_use(), 0u);
    }
}

// The peer's whole domain goes while we wait for its lock.
TEST_F(EventRaceTest, ClosingTowardsADomainThatEnds) {
    TestDomain a(1);
    std::atomic<uint32_t> round{0}, done{0};
    std::unique_ptr<TestDomain> b;
    constexpr uint32_t kRounds = 1500;
    std::thread ender([&] {
        for (uint32_t i = 1; i <= kRounds; ++i) {
            while (round != i) {
            }
            b.reset();
            done = i;
        }
    });
    for (uint32_t i = 1; i <= kRounds; ++i) {
        b = std::make_unique<TestDomain>(2, 1);
        const Port here = a.table.bind_interdomain(b->table, b->table.alloc_unbound(DomId(1)).take()).take();
        round = i;
        EXPECT_TRUE(a.table.close(here).ok());
        while (done != i)
            std::this_thread::yield();
    }
    ender.join();
    EXPECT_EQ(a.table.ports_in_use(), 0u);
}

// A closed port gets nothing more: no send that began before the close may arrive after it.
TEST_F(EventRaceTest, NothingArrivesAfterClose) {
    TestDomain a(1), b(2);
    const Port there = b.table.alloc_unbound(DomId(1)).take();
    std::atomic<uint32_t> target{0};
    std::atomic<bool> stop{false};
    std::thread sender([&] {
        while (!stop)
            (void)a.table.send(Port(target.load())).ok();
    });
    for (int i = 0; i < 3000; ++i) {
        const Port here = a.table.bind_interdomain(b.table, there).take();
        target = here.raw();
        std::this_thread::yield();
        ASSERT_TRUE(a.table.close(here).ok());
        b.set_pending(there.raw(), false);
        for (int spin = 0; spin < 50; ++spin)
            ASSERT_FALSE(b.pending(there.raw()));
    }
    stop = true;
    sender.join();
}

// Two senders, one consumer, a port that moves between vCPUs: no event may stay behind.
TEST_F(EventRaceTest, QueuesLoseNothing) {
    TestDomain a(1, 2), b(2), c(3);
    a.use_fifo();
    constexpr unsigned kPorts = 6;
    std::array<uint32_t, kPorts> ours{};
    std::array<std::pair<TestDomain*, Port>, kPorts> theirs{
        {{&b, Port{}}, {&c, Port{}}, {&b, Port{}}, {&c, Port{}}, {&b, Port{}}, {&c, Port{}}}};
    for (unsigned i = 0; i < kPorts; ++i) {
        const Port there = a.table.alloc_unbound(theirs[i].first->table.id()).take();
        ours[i] = there.raw();
        theirs[i].second = theirs[i].first->table.bind_interdomain(a.table, there).take();
    }
    // `sent` is written before the send, `seen` is what the consumer saw of it afterwards.
    std::array<std::atomic<uint32_t>, kPorts> sent{}, seen{};
    std::atomic<bool> stop{false};
    auto send_all = [&](TestDomain* domain) {
        for (uint32_t round = 1; round <= 20000; ++round) {
            for (unsigned i = 0; i < kPorts; ++i) {
                if (theirs[i].first != domain) continue;
                sent[i] = round;
                EXPECT_TRUE(domain->table.send(theirs[i].second).ok());
            }
        }
    };
    std::thread first([&] { send_all(&b); }), second([&] { send_all(&c); });
    std::thread mover([&] {
        for (unsigned n = 0; !stop; ++n) {
            EXPECT_TRUE(a.table.bind_vcpu(Port(ours[n % kPorts]), n / 3 % 2).ok());
            EXPECT_TRUE(a.table.set_priority(Port(ours[n % kPorts]), n / 5 % 16).ok());
            std::this_thread::yield();
        }
    });
    auto consume = [&] {
        for (unsigned vcpu = 0; vcpu < 2; ++vcpu) {
            for (const uint32_t port : a.consume(vcpu)) {
                for (unsigned i = 0; i < kPorts; ++i) {
                    if (ours[i] == port) seen[i] = sent[i].load();
                }
            }
        }
    };
    std::thread consumer([&] {
        while (!stop)
            consume();
    });
    first.join();
    second.join();
    stop = true;
    mover.join();
    consumer.join();
    consume();
    for (unsigned i = 0; i < kPorts; ++i)
        EXPECT_EQ(seen[i], 20000u) << i;
}

// A guest that changes its words as fast as it can holds nobody up.
TEST_F(EventRaceTest, AWordThatNeverHoldsStill) {
    TestDomain a(1);
    a.use_fifo();
    const Port p1 = a.table.bind_ipi(0).take(), p2 = a.table.bind_ipi(0).take();
    std::atomic<bool> stop{false};
    std::thread guest([&] {
        while (!stop) {
            for (uint32_t bits = 0; bits < 64; ++bits) {
                __atomic_store_n(&a.word(p1.raw()), bits << 26 | 5, __ATOMIC_RELAXED);
                __atomic_store_n(&a.word(p2.raw()), bits << 26 | 1, __ATOMIC_RELAXED);
            }
        }
    });
    for (int i = 0; i < 200000; ++i) {
        EXPECT_TRUE(a.table.send(p1).ok());
        EXPECT_TRUE(a.table.send(p2).ok());
    }
    stop = true;
    guest.join();
}

}  // namespace
}  // namespace torii::test
