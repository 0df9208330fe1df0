#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "unit/core/sched/simulation.h"

namespace torii::test {
namespace {

void bind(Simulation::Guest& guest, std::initializer_list<unsigned> cpus) {
    CpuMask mask;
    for (const unsigned cpu : cpus)
        mask.add(CpuId(cpu));
    const LockGuard guard(cpu_pools_lock);
    Affinity(guest.unit).set_hard(mask);
}

void prefer(Simulation::Guest& guest, std::initializer_list<unsigned> cpus) {
    CpuMask mask;
    for (const unsigned cpu : cpus)
        mask.add(CpuId(cpu));
    const LockGuard guard(cpu_pools_lock);
    Affinity(guest.unit).set_soft(mask);
}

TEST(AffinityTest, ARunningUnitMovesSoon) {
    Simulation s(4);
    Simulation::Guest& guest = s.add(computes());
    s.run_for(kMillisecond);
    for (const unsigned cpu : {3u, 1u, 2u, 0u}) {
        bind(guest, {cpu});
        s.run_for(kMicrosecond);
        EXPECT_TRUE(guest.unit.is_running());
        EXPECT_EQ(guest.unit.cpu(), CpuId(cpu));
        s.audit(0);
    }
}

TEST(AffinityTest, AWaitingAndASleepingUnitMoveToo) {
    Simulation s(2);
    Simulation::Guest& hog = s.add(computes());
    bind(hog, {0});
    Simulation::Guest& waiting = s.add(computes());
    bind(waiting, {0});
    Simulation::Guest& asleep = s.add(alternates(kMicrosecond, kSecond));
    s.run_for(kMillisecond);
    bind(waiting, {1});
    bind(asleep, {1});
    s.run_for(kMillisecond);
    EXPECT_EQ(waiting.unit.cpu(), CpuId(1));
    EXPECT_TRUE(waiting.unit.is_running());
    EXPECT_EQ(asleep.unit.cpu(), CpuId(1));
    s.audit(0);
}

TEST(AffinityTest, BoundUnitsShareWhatTheyAreBoundTo) {
    Simulation s(2);
    for (int i = 0; i < 3; ++i)
        bind(s.add(computes()), {0});
    Simulation::Guest& free = s.add(computes());
    s.run_for(10 * kSecond);
    for (int i = 0; i < 3; ++i)
        EXPECT_NEAR(static_cast<double>(s.guests[static_cast<size_t>(i)]->ran()), 10e9 / 3, 0.1e9);
    EXPECT_GE(free.ran(), 9'900 * kMillisecond);
}

// What happened while nothing could be evened out doesn't weigh on what comes after.
TEST(AffinityTest, OldUnfairnessIsForgotten) {
    Simulation s(2);
    for (int i = 0; i < 10; ++i)
        bind(s.add(computes()), {0});
    bind(s.add(computes()), {1});
    s.run_for(1000 * kSecond);
    for (size_t i = 1; i < 10; ++i)
        s.end(i);
    Simulation::Guest& free = s.add(computes());
    const Nanoseconds first = s.guests[0]->ran(), other = s.guests[10]->ran();
    s.run_for(20 * kSecond);
    EXPECT_NEAR(static_cast<double>(free.ran()), 20e9 * 2 / 3, 0.5e9);
    EXPECT_NEAR(static_cast<double>(s.guests[0]->ran() - first), 20e9 * 2 / 3, 0.5e9);
    EXPECT_NEAR(static_cast<double>(s.guests[10]->ran() - other), 20e9 * 2 / 3, 0.5e9);
}

TEST(AffinityTest, SoftAffinityIsFollowedWhereThereIsRoom) {
    Simulation s(4);
    Simulation::Guest& guest = s.add(alternates(kMillisecond, kMillisecond));
    prefer(guest, {2});
    s.run_for(10 * kMillisecond);
    EXPECT_EQ(guest.unit.cpu(), CpuId(2));
    bind(s.add(computes()), {2});
    s.run_for(5 * kMillisecond);
    const Nanoseconds before = guest.ran();
    s.run_for(kSecond);
    EXPECT_GE(guest.ran() - before, 490 * kMillisecond);  // elsewhere, if need be
}

TEST(AffinityTest, APinHoldsUntilItIsTakenBack) {
    Simulation s(4);
    Simulation::Guest& guest = s.add(computes());
    bind(guest, {1, 2});
    s.run_for(kMillisecond);
    {
        const LockGuard guard(cpu_pools_lock);
        Affinity affinity(guest.unit);
        EXPECT_TRUE(affinity.pin(CpuId(3)).ok());
        EXPECT_EQ(affinity.pin(CpuId(2)).error(), Errno::kEBUSY);
        CpuMask mask{CpuId(0)};
        EXPECT_EQ(affinity.check(mask, true).error(), Errno::kEBUSY);
        CpuId only{};
        EXPECT_TRUE(affinity.only_cpu(only));
        EXPECT_EQ(only, CpuId(3));
        CpuMask set;
        affinity.hard(set);
        EXPECT_EQ(set.word(0), 0b0110u);
    }
    s.run_for(kMillisecond);
    EXPECT_EQ(guest.unit.cpu(), CpuId(3));
    {
        const LockGuard guard(cpu_pools_lock);
        Affinity(guest.unit).unpin();
    }
    s.run_for(kMillisecond);
    EXPECT_TRUE(guest.unit.cpu() == CpuId(1) || guest.unit.cpu() == CpuId(2));
    s.audit(0);
}

class PoolTest : public ::testing::Test {
protected:
    CpuPool& make(uint32_t id) {
        CpuPool& pool = *pools_.emplace_back(std::make_unique<CpuPool>());
        const LockGuard guard(cpu_pools_lock);
        EXPECT_TRUE(add_cpu_pool(id, pool).ok());
        return pool;
    }
    std::vector<std::unique_ptr<CpuPool>> pools_;
    // As sysctl does it; the CPU may have to be left first.
    void move_cpu(Simulation& s, unsigned cpu, CpuPool& to) {
        {
            const LockGuard guard(cpu_pools_lock);
            for (auto& guest : s.guests)
                Affinity(guest->unit).prepare_loss(CpuId(cpu));
            s.queue(cpu).pool()->cpus.remove(CpuId(cpu));
            for (auto& guest : s.guests)
                RunQueue::relocate(guest->unit);
        }
        s.deliver();
        ASSERT_TRUE(s.queue(cpu).is_vacant());
        const LockGuard guard(cpu_pools_lock);
        s.queue(cpu).leave();
        s.queue(cpu).join(to);
    }
};

TEST_F(PoolTest, DomainsStayInTheirPools) {
    CpuPool& pool = make(7);
    {
        Simulation s(4);
        SchedGroup& inside = s.new_group();
        for (int i = 0; i < 3; ++i)
            s.add_to(inside, computes());
        for (int i = 0; i < 3; ++i)
            s.add(computes());
        s.run_for(kSecond);
        move_cpu(s, 2, pool);
        move_cpu(s, 0, pool);
        {
            const LockGuard guard(cpu_pools_lock);
            EXPECT_TRUE(inside.move_to(pool).ok());
            EXPECT_EQ(pool.domains, 1u);
            EXPECT_EQ(remove_cpu_pool(pool).error(), Errno::kEBUSY);
        }
        s.run_for(kMillisecond);
        std::vector<Nanoseconds> before;
        for (const auto& guest : s.guests)
            before.push_back(guest->ran());
        for (int i = 0; i < 1000; ++i) {
            s.run_for(10 * kMillisecond);
            s.audit(kSlice);
        }
        for (size_t i = 0; i < 6; ++i) {
            EXPECT_NEAR(static_cast<double>(s.guests[i]->ran() - before[i]), 10e9 * 2 / 3, 0.1e9);
            const unsigned cpu = s.guests[i]->unit.cpu().raw();
            EXPECT_EQ(cpu == 0 || cpu == 2, i < 3);
        }
        const LockGuard guard(cpu_pools_lock);
        EXPECT_TRUE(inside.move_to(first_cpu_pool).ok());
    }
    const LockGuard guard(cpu_pools_lock);
    EXPECT_TRUE(remove_cpu_pool(pool).ok());
    EXPECT_EQ(find_cpu_pool(7), nullptr);
}

TEST_F(PoolTest, IdsAreUnique) {
    CpuPool& three = make(3);
    CpuPool& one = make(1);
    CpuPool refused;
    const LockGuard guard(cpu_pools_lock);
    EXPECT_EQ(add_cpu_pool(3, refused).error(), Errno::kEEXIST);
    EXPECT_EQ(add_cpu_pool(0, refused).error(), Errno::kEEXIST);
    EXPECT_EQ(free_cpu_pool_id(), 2u);
    EXPECT_EQ(cpu_pool_from(2), &three);
    EXPECT_EQ(cpu_pool_from(4), nullptr);
    EXPECT_EQ(remove_cpu_pool(first_cpu_pool).error(), Errno::kEBUSY);
    EXPECT_TRUE(remove_cpu_pool(three).ok());
    EXPECT_EQ(free_cpu_pool_id(), 2u);
    EXPECT_TRUE(remove_cpu_pool(one).ok());
    EXPECT_EQ(free_cpu_pool_id(), 1u);
}

TEST_F(PoolTest, ACpuIsTakenAwayFromUnitsThatAreBoundToIt) {
    Simulation s(2);
    Simulation::Guest& guest = s.add(computes());
    bind(guest, {1});
    s.run_for(kMillisecond);
    CpuPool& pool = make(9);
    move_cpu(s, 1, pool);
    s.run_for(kMillisecond);
    EXPECT_EQ(guest.unit.cpu(), CpuId(0));
    EXPECT_TRUE(guest.unit.is_running());
    move_cpu(s, 1, first_cpu_pool);
    const LockGuard guard(cpu_pools_lock);
    EXPECT_TRUE(remove_cpu_pool(pool).ok());
}

}  // namespace
}  // namespace torii::test
