// Who runs where and how much, as tools set it: affinities, weights, caps, pools. Nothing runs here; every
// CPU is idle.
#include <torii/abi/domctl.h>
#include <torii/abi/sched.h>
#include <torii/abi/sysctl.h>
#include <torii/abi/vcpu.h>

#include <cstring>

#include "core/call/control_bitmap.h"
#include "core/memory/heap.h"
#include "port/machine.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::CpupoolOp;
using abi::DomctlCommand;
using abi::DomctlSchedulerCommand;
using abi::Hypercall;
using abi::SysctlCommand;

constexpr uint64_t kAllCpus = 0b1111;

class SchedulingTest : public CallWorld {
protected:
    // What came back is in hard_bits and soft_bits.
    int64_t set_affinity(uint16_t domain, uint32_t flags, uint64_t hard, uint64_t soft, uint32_t vcpu = 0) {
        hard_bits = hard;
        soft_bits = soft;
        return affinity(DomctlCommand::kSetvcpuaffinity, domain, flags, vcpu);
    }
    int64_t get_affinity(uint16_t domain) {
        return affinity(DomctlCommand::kGetvcpuaffinity, domain,
                        abi::kVcpuAffinityHard | abi::kVcpuAffinitySoft, 0);
    }
    int64_t affinity(DomctlCommand command, uint16_t domain, uint32_t flags, uint32_t vcpu) {
        abi::Domctl op = request(command, domain);
        op.u.vcpuaffinity = {vcpu, flags, {{address(&hard_bits)}, 64, 0}, {{address(&soft_bits)}, 64, 0}};
        return issue(op);
    }
    void expect_affinity(uint16_t domain, uint64_t hard, uint64_t soft) {
        ASSERT_EQ(get_affinity(domain), 0);
        EXPECT_EQ(hard_bits, hard);
        EXPECT_EQ(soft_bits, soft);
    }
    uint64_t hard_bits = 0;
    uint64_t soft_bits = 0;

    int64_t pool_op(CpupoolOp operation, uint32_t pool, uint32_t cpu = 0, uint32_t domain = 0) {
        pool_answer = request(SysctlCommand::kCpupoolOp);
        cpus = ~uint64_t{0};
        auto& op = pool_answer.u.cpupool_op;
        op.op = static_cast<uint32_t>(operation);
        op.cpupool_id = pool;
        op.sched_id = static_cast<uint32_t>(abi::SchedulerId::kCredit2);
        op.domid = domain;
        op.cpu = cpu;
        op.cpumap = {{address(&cpus)}, 64, 0};
        return issue(pool_answer);
    }
    void expect_pool(uint32_t pool, uint64_t expected_cpus, uint32_t domains) {
        ASSERT_EQ(pool_op(CpupoolOp::kInfo, pool), 0);
        EXPECT_EQ(pool_answer.u.cpupool_op.cpupool_id, pool);
        EXPECT_EQ(pool_answer.u.cpupool_op.n_dom, domains);
        EXPECT_EQ(cpus, expected_cpus);
    }
    void expect_free(uint64_t expected) {
        ASSERT_EQ(pool_op(CpupoolOp::kFreeInfo, 0), 0);
        EXPECT_EQ(cpus, expected);
    }
    abi::Sysctl pool_answer{};
    uint64_t cpus = 0;

    int64_t sched(DomctlSchedulerCommand command, uint16_t weight = 0, uint16_t cap = 0, uint16_t domain = 1,
                  abi::SchedulerId scheduler = abi::SchedulerId::kCredit2) {
        sched_answer = request(DomctlCommand::kSchedulerOp, domain);
        auto& op = sched_answer.u.scheduler_op;
        op.sched_id = static_cast<uint32_t>(scheduler);
        op.cmd = static_cast<uint32_t>(command);
        op.u.credit2 = {weight, cap};
        return issue(sched_answer);
    }
    void expect_sched(uint16_t weight, uint16_t cap) {
        ASSERT_EQ(sched(DomctlSchedulerCommand::kGetinfo), 0);
        EXPECT_EQ(sched_answer.u.scheduler_op.u.credit2.weight, weight);
        EXPECT_EQ(sched_answer.u.scheduler_op.u.credit2.cap, cap);
    }
    abi::Domctl sched_answer{};
};

constexpr uint32_t kHard = abi::kVcpuAffinityHard;
constexpr uint32_t kSoft = abi::kVcpuAffinitySoft;
constexpr uint32_t kForce = abi::kVcpuAffinityForce;

TEST_F(SchedulingTest, AffinitiesAreKeptAsSetAndToldAsTheyTakeEffect) {
    expect_affinity(1, kAllCpus, kAllCpus);
    EXPECT_EQ(set_affinity(1, kHard | kSoft, ~uint64_t{0} << 1, 0b0011), 0);
    EXPECT_EQ(hard_bits, 0b1110u);
    EXPECT_EQ(soft_bits, 0b0010u);
    expect_affinity(1, 0b1110, 0b0011);
    EXPECT_NE(vcpu(guest()).unit.cpu(), CpuId(0));
    EXPECT_EQ(set_affinity(1, kSoft, 0, 0b1001), 0);
    EXPECT_EQ(soft_bits, 0b1000u);
    EXPECT_EQ(set_affinity(1, kHard, 0b0100, 0), 0);
    EXPECT_EQ(vcpu(guest()).unit.cpu(), CpuId(2));
    expect_affinity(1, 0b0100, 0b1001);
}

TEST_F(SchedulingTest, RefusedAffinitiesChangeNothing) {
    ASSERT_EQ(set_affinity(1, kHard | kSoft, 0b0110, 0b0010), 0);
    EXPECT_EQ(set_affinity(1, 0, 1, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(set_affinity(1, kForce, 1, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(set_affinity(1, kHard | 8, 1, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(set_affinity(1, kHard, 0, 0), failure(Errno::kEINVAL));
    EXPECT_EQ(set_affinity(1, kHard, 0b10000, 0), failure(Errno::kEINVAL));  // no such CPU
    EXPECT_EQ(set_affinity(1, kHard | kSoft, 1, 0), failure(Errno::kEINVAL));
    EXPECT_EQ(set_affinity(1, kHard, 1, 0, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(set_affinity(7, kHard, 1, 0), failure(Errno::kESRCH));
    abi::Domctl op = request(DomctlCommand::kSetvcpuaffinity, 1);
    hard_bits = 1;
    op.u.vcpuaffinity = {0, kHard | kSoft, {{address(&hard_bits)}, 64, 0}, {{8}, 64, 0}};
    EXPECT_EQ(issue(op), failure(Errno::kEFAULT));
    op.u.vcpuaffinity = {0, kHard, {{address(&hard_bits)}, kMostControlBits + 1, 0}, {}};
    EXPECT_EQ(issue(op), failure(Errno::kEINVAL));
    expect_affinity(1, 0b0110, 0b0010);
}

TEST_F(SchedulingTest, BitmapsOfAnyLength) {
    unsigned char bytes[40];
    for (const uint32_t bits : {1u, 3u, 4u, 5u, 8u, 63u, 64u, 65u, 128u, 300u}) {
        memset(bytes, 0xff, sizeof(bytes));
        abi::Domctl op = request(DomctlCommand::kGetvcpuaffinity, 1);
        op.u.vcpuaffinity = {0, kHard, {{address(bytes)}, bits, 0}, {}};
        ASSERT_EQ(issue(op), 0);
        EXPECT_EQ(bytes[0], bits < 4 ? (1 << bits) - 1 : 0xf) << bits;
        for (uint32_t i = 1; i < (bits + 7) / 8; ++i)
            EXPECT_EQ(bytes[i], 0) << bits << " " << i;
        EXPECT_EQ(bytes[(bits + 7) / 8], 0xff) << bits;
    }
}

TEST_F(SchedulingTest, WeightAndCapAreTheDomains) {
    expect_sched(256, 0);
    EXPECT_EQ(sched(DomctlSchedulerCommand::kPutinfo, 512, 150), 0);
    expect_sched(512, 150);
    EXPECT_EQ(vcpu(guest()).unit.weight(), 512u);
    EXPECT_EQ(sched(DomctlSchedulerCommand::kPutinfo, 65535, 0xffff), 0);  // leaves the cap
    expect_sched(65535, 150);
    EXPECT_EQ(sched(DomctlSchedulerCommand::kPutinfo, 0, 10), failure(Errno::kEINVAL));
    EXPECT_EQ(sched(DomctlSchedulerCommand::kPutinfo, 1, 1, 1, abi::SchedulerId::kCredit),
              failure(Errno::kEINVAL));
    EXPECT_EQ(sched(DomctlSchedulerCommand::kPutvcpuinfo, 1, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(sched(DomctlSchedulerCommand::kGetvcpuinfo, 1, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(sched(static_cast<DomctlSchedulerCommand>(4), 1, 1), failure(Errno::kEINVAL));
    expect_sched(65535, 150);
    EXPECT_EQ(sched(DomctlSchedulerCommand::kPutinfo, 256, 0), 0);
    expect_sched(256, 0);
}

TEST_F(SchedulingTest, TheShortestRunIsThePools) {
    abi::Sysctl op = request(SysctlCommand::kSchedulerOp);
    auto& settings = op.u.scheduler_op;
    const auto with = [&](uint32_t pool, uint32_t scheduler, uint32_t command, uint32_t microseconds) {
        settings.cpupool_id = pool;
        settings.sched_id = scheduler;
        settings.cmd = command;
        settings.u.sched_credit2.ratelimit_us = microseconds;
        return issue(op);
    };
    EXPECT_EQ(with(0, 6, 1, 0), 0);
    EXPECT_EQ(settings.u.sched_credit2.ratelimit_us, 200u);
    for (const uint32_t accepted : {0u, 100u, 500'000u, 1000u}) {
        EXPECT_EQ(with(0, 6, 0, accepted), 0);
        EXPECT_EQ(with(0, 6, 1, 7), 0);
        EXPECT_EQ(settings.u.sched_credit2.ratelimit_us, accepted);
    }
    EXPECT_EQ(with(0, 6, 0, 99), failure(Errno::kEINVAL));
    EXPECT_EQ(with(0, 6, 0, 500'001), failure(Errno::kEINVAL));
    EXPECT_EQ(with(0, 5, 0, 200), failure(Errno::kEINVAL));
    EXPECT_EQ(with(0, 6, 2, 200), failure(Errno::kEINVAL));
    EXPECT_EQ(with(4, 6, 0, 200), failure(Errno::kESRCH));
    EXPECT_EQ(with(0, 6, 1, 7), 0);
    EXPECT_EQ(settings.u.sched_credit2.ratelimit_us, 1000u);
    EXPECT_EQ(with(0, 6, 0, 200), 0);
}

TEST_F(SchedulingTest, PoolsAreMadeFilledEmptiedAndRemoved) {
    expect_pool(0, kAllCpus, 2);
    expect_free(0);
    const uint64_t heap_before = heap_frames_in_use();
    ASSERT_EQ(pool_op(CpupoolOp::kCreate, abi::kCpupoolAny), 0);
    const uint32_t pool = pool_answer.u.cpupool_op.cpupool_id;
    EXPECT_EQ(pool, 1u);
    expect_pool(pool, 0, 0);
    EXPECT_EQ(pool_op(CpupoolOp::kMoveDomain, pool, 0, 1), failure(Errno::kEINVAL));  // no CPU there
    ASSERT_EQ(set_affinity(1, kHard, 0b1000, 0), 0);
    ASSERT_EQ(pool_op(CpupoolOp::kRemoveCpu, 0, 3), 0);
    expect_affinity(1, kAllCpus, kAllCpus);  // it could have run nowhere
    EXPECT_NE(vcpu(guest()).unit.cpu(), CpuId(3));
    expect_free(0b1000);
    ASSERT_EQ(pool_op(CpupoolOp::kAddCpu, pool, 3), 0);
    expect_pool(pool, 0b1000, 0);
    ASSERT_EQ(pool_op(CpupoolOp::kMoveDomain, pool, 0, 1), 0);
    expect_pool(pool, 0b1000, 1);
    expect_pool(0, 0b0111, 1);
    EXPECT_EQ(vcpu(guest()).unit.cpu(), CpuId(3));
    abi::Domctl info = request(DomctlCommand::kGetdomaininfo, 1);
    ASSERT_EQ(issue(info), 0);
    EXPECT_EQ(info.u.getdomaininfo.cpupool, pool);

    EXPECT_EQ(pool_op(CpupoolOp::kRemoveCpu, pool, 3), failure(Errno::kEBUSY));
    EXPECT_EQ(pool_op(CpupoolOp::kDestroy, pool), failure(Errno::kEBUSY));
    ASSERT_EQ(pool_op(CpupoolOp::kMoveDomain, 0, 0, 1), 0);
    EXPECT_EQ(pool_op(CpupoolOp::kDestroy, pool), failure(Errno::kEBUSY));
    ASSERT_EQ(pool_op(CpupoolOp::kRemoveCpu, pool, abi::kCpupoolAny), 0);
    ASSERT_EQ(pool_op(CpupoolOp::kDestroy, pool), 0);
    EXPECT_EQ(heap_frames_in_use(), heap_before);
    ASSERT_EQ(pool_op(CpupoolOp::kAddCpu, 0, abi::kCpupoolAny), 0);
    expect_pool(0, kAllCpus, 2);
}

TEST_F(SchedulingTest, RefusedPoolOperationsChangeNothing) {
    ASSERT_EQ(pool_op(CpupoolOp::kCreate, 5), 0);
    EXPECT_EQ(pool_op(CpupoolOp::kCreate, 5), failure(Errno::kEEXIST));
    EXPECT_EQ(pool_op(CpupoolOp::kCreate, 0), failure(Errno::kEEXIST));
    for (const CpupoolOp each : {CpupoolOp::kDestroy, CpupoolOp::kAddCpu, CpupoolOp::kRemoveCpu,
                                 CpupoolOp::kMoveDomain, CpupoolOp::kInfo})
        EXPECT_EQ(pool_op(each, 6, 0, 1), failure(Errno::kENOENT)) << static_cast<int>(each);
    EXPECT_EQ(pool_op(CpupoolOp::kAddCpu, 5, 1), failure(Errno::kENODEV));  // not free
    EXPECT_EQ(pool_op(CpupoolOp::kAddCpu, 5, abi::kCpupoolAny), failure(Errno::kENODEV));
    EXPECT_EQ(pool_op(CpupoolOp::kAddCpu, 5, 4), failure(Errno::kEINVAL));
    EXPECT_EQ(pool_op(CpupoolOp::kRemoveCpu, 5, 1), failure(Errno::kENODEV));
    EXPECT_EQ(pool_op(CpupoolOp::kRemoveCpu, 5, abi::kCpupoolAny), failure(Errno::kENODEV));
    EXPECT_EQ(pool_op(CpupoolOp::kRemoveCpu, 0, 4), failure(Errno::kEINVAL));
    EXPECT_EQ(pool_op(CpupoolOp::kMoveDomain, 5, 0, 0), failure(Errno::kEINVAL));  // the control domain
    EXPECT_EQ(pool_op(CpupoolOp::kMoveDomain, 5, 0, 77), failure(Errno::kEINVAL));
    EXPECT_EQ(pool_op(CpupoolOp::kMoveDomain, 5, 0, 0x17ff0), failure(Errno::kEINVAL));
    EXPECT_EQ(pool_op(static_cast<CpupoolOp>(8), 0), failure(Errno::kENOSYS));
    abi::Domctl create = request(DomctlCommand::kCreatedomain, 0);
    create.u.createdomain.max_vcpus = 1;
    create.u.createdomain.max_grant_frames = -1;
    create.u.createdomain.max_maptrack_frames = -1;
    create.u.createdomain.grant_opts = 1;
    create.u.createdomain.cpupool_id = 5;  // it has no CPU
    EXPECT_EQ(issue(create), failure(Errno::kEINVAL));
    expect_pool(0, kAllCpus, 2);
    expect_pool(5, 0, 0);
    ASSERT_EQ(pool_op(CpupoolOp::kDestroy, 5), 0);
    EXPECT_EQ(pool_op(CpupoolOp::kInfo, 1), failure(Errno::kENOENT));
}

TEST_F(SchedulingTest, ANewDomainBeginsInItsPoolAndLeavesItAsItDies) {
    ASSERT_EQ(pool_op(CpupoolOp::kCreate, 2), 0);
    ASSERT_EQ(pool_op(CpupoolOp::kRemoveCpu, 0, 2), 0);
    ASSERT_EQ(pool_op(CpupoolOp::kAddCpu, 2, 2), 0);
    abi::Domctl create = request(DomctlCommand::kCreatedomain, 0);
    create.u.createdomain.max_vcpus = 2;
    create.u.createdomain.max_grant_frames = -1;
    create.u.createdomain.max_maptrack_frames = -1;
    create.u.createdomain.grant_opts = 1;
    create.u.createdomain.cpupool_id = 2;
    ASSERT_EQ(issue(create), 0);
    abi::Domctl vcpus = request(DomctlCommand::kMaxVcpus, create.domain);
    vcpus.u.max_vcpus.max = 2;
    ASSERT_EQ(issue(vcpus), 0);
    expect_pool(2, 0b0100, 1);
    {
        const DomainRef domain(find_domain(DomId(create.domain)));
        EXPECT_EQ(domain->vcpus[1]->unit.cpu(), CpuId(2));
    }
    EXPECT_EQ(set_affinity(create.domain, kHard, 0b0011, 0), failure(Errno::kEINVAL));  // not of its pool
    abi::Domctl end = request(DomctlCommand::kDestroydomain, create.domain);
    ASSERT_EQ(issue(end), 0);
    expect_pool(2, 0b0100, 0);
    ASSERT_EQ(pool_op(CpupoolOp::kRemoveCpu, 2, 2), 0);
    ASSERT_EQ(pool_op(CpupoolOp::kDestroy, 2), 0);
    ASSERT_EQ(pool_op(CpupoolOp::kAddCpu, 0, 2), 0);
}

class PinTest : public SchedulingTest {
protected:
    int64_t pin(Domain& domain, int32_t cpu) {
        abi::SchedPinOverride wish{cpu};
        return call(domain, Hypercall::kSchedOp,
                    {static_cast<uint64_t>(abi::SchedOp::kPinOverride), address(&wish)});
    }
    int64_t physical_id(Domain& domain) {
        answer = {~uint64_t{0}};
        return call(domain, Hypercall::kVcpuOp,
                    {static_cast<uint64_t>(abi::VcpuOp::kGetPhysid), 0, address(&answer)});
    }
    abi::VcpuGetPhysid answer{};
};

TEST_F(PinTest, OnlyForTheDomainThatHasTheMachine) {
    EXPECT_EQ(pin(guest(), 0), failure(Errno::kEPERM));
    EXPECT_EQ(pin(guest(), -1), failure(Errno::kEPERM));
    EXPECT_EQ(set_affinity(1, kHard, 0b0010, 0), 0);
    EXPECT_EQ(physical_id(guest()), failure(Errno::kEINVAL));
}

TEST_F(PinTest, APinOverridesTheAffinityUntilItIsUndone) {
    EXPECT_EQ(pin(control(), 4), failure(Errno::kEINVAL));
    EXPECT_EQ(physical_id(control()), failure(Errno::kEINVAL));
    ASSERT_EQ(pin(control(), 2), 0);
    EXPECT_EQ(vcpu(control()).unit.cpu(), CpuId(2));
    EXPECT_EQ(physical_id(control()), 0);
    EXPECT_EQ(answer.phys_id, uint64_t{2} << 32 | 2);
    EXPECT_EQ(pin(control(), 2), 0);
    EXPECT_EQ(pin(control(), 1), failure(Errno::kEBUSY));
    EXPECT_EQ(set_affinity(0, kHard, 0b0001, 0), failure(Errno::kEBUSY));
    EXPECT_EQ(pool_op(CpupoolOp::kRemoveCpu, 0, 2), failure(Errno::kEADDRINUSE));
    expect_pool(0, kAllCpus, 2);
    expect_affinity(0, kAllCpus, kAllCpus);
    EXPECT_EQ(set_affinity(0, kHard | kForce, 0b0001, 0), 0);
    EXPECT_EQ(vcpu(control()).unit.cpu(), CpuId(0));
    EXPECT_EQ(physical_id(control()), 0);
    EXPECT_EQ(answer.phys_id, 0u);
    ASSERT_EQ(pin(control(), 3), 0);
    EXPECT_EQ(pin(control(), -1), 0);
    EXPECT_EQ(vcpu(control()).unit.cpu(), CpuId(0));
    expect_affinity(0, 0b0001, kAllCpus);
}

}  // namespace
}  // namespace torii::test
