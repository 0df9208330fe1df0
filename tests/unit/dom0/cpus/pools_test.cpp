// CPU pools with names, over the fake hypervisor's four CPUs.

#include "cpus/pools.h"

#include "unit/dom0/kit/lifecycle_world.h"

namespace torii::dom0 {
namespace {

class PoolsTest : public test::Lifecycle {
protected:
    Pools& pools() { return manager().pools(); }
    void free_cpus(const CpuSet& cpus) {
        for (const uint32_t cpu : cpus)
            fake_.cpus.pools[0].cpus.erase(cpu);
        fake_.cpus.free = cpus;
    }
    template <typename Call>
    static void expect_refused(Call call, ErrorCode code, std::initializer_list<const char*> words) {
        try {
            call();
            ADD_FAILURE() << "not refused";
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.code(), code) << failure.what();
            for (const char* word : words) {
                EXPECT_NE(std::string(failure.what()).find(word), std::string::npos)
                    << failure.what() << " lacks " << word;
            }
        }
    }
};

TEST_F(PoolsTest, TheFirstHasAName) {
    EXPECT_EQ(node("/local/pool/0/name"), "Pool-0");
    ASSERT_EQ(pools().list().size(), 1u);
    EXPECT_EQ(pools().list()[0].name, "Pool-0");
    EXPECT_EQ(pools().list()[0].info.cpus, first_cpus(4));
    EXPECT_EQ(pools().find("").info.id, kFirstPool);
    EXPECT_EQ(pools().find("0").name, "Pool-0");
    daemon_->store.client().write("/local/pool/0/name", "mine");
    restart_daemon();
    EXPECT_EQ(node("/local/pool/0/name"), "mine");
}

TEST_F(PoolsTest, MadeFilledEmptiedRemoved) {
    pools().remove_cpus("Pool-0", "2-3");
    EXPECT_EQ(fake_.cpus.free, (CpuSet{2, 3}));
    pools().create("batch", "2");
    EXPECT_EQ(node("/local/pool/1/name"), "batch");
    EXPECT_TRUE(node("/local/pool/1/uuid"));
    pools().add_cpus("batch", "3");
    EXPECT_EQ(fake_.cpus.pools.at(1).cpus, (CpuSet{2, 3}));
    EXPECT_EQ(pools().find("1").name, "batch");
    const uint16_t id = create("g1").id;
    const auto info = daemon_->hypervisor.domain(DomId(id));
    pools().move(*info, "g1", "batch");
    EXPECT_EQ(pools().find("batch").info.domains, 1u);
    expect_refused([&] { pools().destroy("batch"); }, ErrorCode::kOperationInvalid,
                   {"cannot destroy the pool batch", "torii pool move"});
    expect_refused([&] { pools().remove_cpus("batch", "all,^0-1"); }, ErrorCode::kOperationInvalid,
                   {"all CPUs (2-3)"});
    pools().remove_cpus("batch", "3");
    pools().move(*daemon_->hypervisor.domain(DomId(id)), "g1", "Pool-0");
    pools().destroy("batch");
    EXPECT_FALSE(fake_.cpus.pools.contains(1));
    EXPECT_FALSE(node("/local/pool/1"));
    EXPECT_EQ(fake_.cpus.free, (CpuSet{2, 3}));
    pools().add_cpus("Pool-0", "2-3");
    EXPECT_EQ(fake_.cpus.pools.at(0).cpus, first_cpus(4));
}

TEST_F(PoolsTest, NamesSurviveTheDaemon) {
    free_cpus({3});
    pools().create("batch", "3");
    restart_daemon();
    EXPECT_EQ(pools().find("batch").info.cpus, CpuSet{3});
}

TEST_F(PoolsTest, APoolWithoutANameIsKnownByItsNumber) {
    fake_.cpus.pools[5] = {};
    EXPECT_EQ(pools().find("5").name, "Pool-5");
    EXPECT_EQ(pools().find("Pool-5").info.id, PoolId(5));
}

TEST_F(PoolsTest, WhatCannotBe) {
    free_cpus({3});
    for (const char* name : {"", "7", "a b", "-x", ".x", "a/b"}) {
        expect_refused([&] { pools().create(name, ""); }, ErrorCode::kInvalidArgument,
                       {"cannot name a pool"});
    }
    expect_refused([&] { pools().create("Pool-0", ""); }, ErrorCode::kOperationInvalid, {"Pool-0 already"});
    expect_refused([&] { pools().create("b", "1"); }, ErrorCode::kOperationInvalid,
                   {"make the pool b", "CPU 1 belongs to pool Pool-0", "remove-cpu Pool-0 1"});
    expect_refused([&] { pools().create("b", "9"); }, ErrorCode::kInvalidArgument, {"no CPU 9", "0-3"});
    expect_refused([&] { pools().find("b"); }, ErrorCode::kInvalidArgument,
                   {"no CPU pool \"b\"", "there are: Pool-0"});
    expect_refused([&] { pools().destroy("0"); }, ErrorCode::kOperationInvalid,
                   {"Pool-0 cannot be destroyed"});
    expect_refused([&] { pools().add_cpus("0", "2"); }, ErrorCode::kOperationInvalid, {"CPU 2 belongs to"});
    expect_refused([&] { pools().remove_cpus("0", "3"); }, ErrorCode::kInvalidArgument,
                   {"CPU 3 is not in the pool Pool-0", "0-2"});
    EXPECT_EQ(fake_.cpus.pools.size(), 1u);
}

TEST_F(PoolsTest, DomainsStayOutOfPoolsWithoutCpus) {
    pools().create("empty", "");
    const uint16_t id = create("g1").id;
    expect_refused([&] { pools().move(*daemon_->hypervisor.domain(DomId(id)), "g1", "empty"); },
                   ErrorCode::kOperationInvalid, {"it has no CPUs", "add-cpu empty"});
    DomainInfo own;
    own.domain = kDom0;
    expect_refused([&] { pools().move(own, "Domain-0", "empty"); }, ErrorCode::kOperationInvalid,
                   {"the control domain stays in Pool-0"});
    v1::DomainConfig description = config("g2");
    description.set_pool("empty");
    expect_refused([&] { ask_create(description); }, ErrorCode::kOperationInvalid,
                   {"the pool empty has no CPUs"});
}

TEST_F(PoolsTest, AHypervisorWithoutPoolsSaysSo) {
    fake_.cpus.supports_pools = false;
    expect_refused([&] { pools().create("b", ""); }, ErrorCode::kNotSupported, {"does not support it"});
    expect_refused([&] { pools().remove_cpus("0", "1"); }, ErrorCode::kNotSupported, {"CPU 1"});
    EXPECT_EQ(pools().list().size(), 1u);
}

// The second CPU cannot be had: the pool and the first are given back.
TEST_F(PoolsTest, AFailedCreationLeavesNothing) {
    free_cpus({2, 3});
    int64_t calls = fake_.calls_made;
    pools().create("probe", "2-3");
    const int64_t needed = fake_.calls_made - calls;
    pools().destroy("probe");
    for (int64_t step = 1; step <= needed; step++) {
        fake_.fail_call = fake_.calls_made + step;
        fake_.fail_error = abi::Errno::kEBUSY;
        EXPECT_THROW(pools().create("b", "2-3"), Failure) << step;
        fake_.fail_call = 0;
        EXPECT_EQ(fake_.cpus.pools.size(), 1u) << step;
        EXPECT_EQ(fake_.cpus.free, (CpuSet{2, 3})) << step;
    }
}

TEST_F(PoolsTest, Ratelimit) {
    pools().set_ratelimit("", 500);
    EXPECT_EQ(fake_.cpus.pools.at(0).ratelimit_us, 500u);
    EXPECT_EQ(daemon_->hypervisor.ratelimit(pools().find("").info), 500u);
    pools().set_ratelimit("Pool-0", 0);
    EXPECT_EQ(fake_.cpus.pools.at(0).ratelimit_us, 0u);
    for (const uint32_t wrong : {1u, 99u, 500'001u}) {
        expect_refused([&] { pools().set_ratelimit("", wrong); }, ErrorCode::kInvalidArgument,
                       {"100 to 500000"});
    }
    fake_.cpus.pools.at(0).scheduler = abi::SchedulerId::kRtds;
    EXPECT_FALSE(daemon_->hypervisor.ratelimit(pools().find("").info));
    expect_refused([&] { pools().set_ratelimit("", 500); }, ErrorCode::kNotSupported, {"rate limit"});
}

TEST_F(PoolsTest, WhereCpusAre) {
    const auto places = daemon_->hypervisor.cpu_topology();
    ASSERT_EQ(places.size(), 5u);
    EXPECT_EQ(places[3]->core, 1u);
    EXPECT_EQ(places[3]->package, 0u);
    EXPECT_FALSE(places[4]);
}

}  // namespace
}  // namespace torii::dom0
