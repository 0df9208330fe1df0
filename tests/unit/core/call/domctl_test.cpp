#include <torii/abi/domctl.h>
#include <torii/abi/memory.h>
#include <torii/abi/torii_control.h>
#include <torii/abi/virq.h>

#include <cstring>

#include "core/domain/registry.h"
#include "core/memory/allocator.h"
#include "core/memory/reservation.h"
#include "fakes/fake_machine.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::DomctlCommand;
using abi::Hypercall;

class DomctlTest : public CallWorld {
protected:
    using CallWorld::issue;
    int64_t issue(DomctlCommand command, uint16_t domain) {
        abi::Domctl op = request(command, domain);
        return issue(op);
    }
    static abi::Domctl create_request(uint16_t domain, uint32_t vcpus = 1) {
        abi::Domctl op = request(DomctlCommand::kCreatedomain, domain);
        auto& wish = op.u.createdomain;
        wish.max_vcpus = vcpus;
        wish.max_evtchn_port = 1023;
        wish.max_grant_frames = -1;
        wish.max_maptrack_frames = -1;
        wish.grant_opts = 1;
        wish.handle.bytes[0] = 0x42;
        return op;
    }
    void end(uint16_t domain) { EXPECT_EQ(issue(DomctlCommand::kDestroydomain, domain), 0); }
};

TEST_F(DomctlTest, TheInterfaceVersionIsCheckedFirst) {
    abi::Domctl op = request(DomctlCommand::kPausedomain, 1);
    op.interface_version = 0x14;
    EXPECT_EQ(issue(op), failure(Errno::kEACCES));
    EXPECT_EQ(issue(DomctlCommand::kPausedomain, 1234), failure(Errno::kESRCH));
    EXPECT_EQ(issue(static_cast<DomctlCommand>(2000), 1), failure(Errno::kENOSYS));
}

TEST_F(DomctlTest, IdsAreGivenInTurnAndNotAgainAtOnce) {
    abi::Domctl first = create_request(0);
    ASSERT_EQ(issue(first), 0);
    end(first.domain);
    abi::Domctl second = create_request(0);
    ASSERT_EQ(issue(second), 0);
    EXPECT_NE(second.domain, first.domain);
    abi::Domctl same = create_request(second.domain);
    EXPECT_EQ(issue(same), failure(Errno::kEEXIST));
    end(second.domain);
    EXPECT_EQ(issue(DomctlCommand::kDestroydomain, second.domain), failure(Errno::kESRCH));
}

// Between two parts the calling kernel may run other tasks, which it can't while a call goes on by itself.
TEST_F(DomctlTest, ALargeDomainIsDestroyedInPartsThatTheToolAsksFor) {
    const uint64_t free_before = free_frame_count();
    abi::Domctl created = create_request(0);
    ASSERT_EQ(issue(created), 0);
    abi::Domctl limit = request(DomctlCommand::kMaxMem, created.domain);
    limit.u.max_mem.max_memkb = 64 << 10;
    ASSERT_EQ(issue(limit), 0);
    constexpr unsigned kFrames = 5000;
    {
        const DomainRef domain(find_domain(DomId(created.domain)));
        give_frames(*domain, kFrames);
    }
    continuations = 0;
    unsigned parts = 1;
    while (issue(DomctlCommand::kDestroydomain, created.domain) == failure(Errno::kEAGAIN))
        ++parts;
    EXPECT_EQ(parts, 3u);
    EXPECT_EQ(continuations, 0u);
    EXPECT_EQ(issue(DomctlCommand::kDestroydomain, created.domain), failure(Errno::kESRCH));
    EXPECT_EQ(free_frame_count(), free_before);
}

TEST_F(DomctlTest, CreationChecksEveryWish) {
    const auto refused = [&](auto change) {
        abi::Domctl op = create_request(0);
        change(op.u.createdomain);
        return issue(op) == failure(Errno::kEINVAL);
    };
    EXPECT_TRUE(refused([](auto& w) { w.max_vcpus = 0; }));
    EXPECT_TRUE(refused([](auto& w) { w.max_vcpus = 10000; }));
    EXPECT_TRUE(refused([](auto& w) { w.flags = abi::kCreateHvm; }));
    EXPECT_TRUE(refused([](auto& w) { w.grant_opts = 0; }));
    EXPECT_TRUE(refused([](auto& w) { w.max_grant_frames = 0; }));
    EXPECT_TRUE(refused([](auto& w) { w.max_grant_frames = 1 << 30; }));
    EXPECT_TRUE(refused([](auto& w) { w.arch.emulation_flags = abi::kX86EmulateLapic; }));
    EXPECT_TRUE(refused([](auto& w) { w.cpupool_id = 3; }));
}

TEST_F(DomctlTest, EachAllocationOfACreationMayFail) {
    const uint64_t free_before = free_frame_count();
    unsigned failures = 0;
    for (uint64_t successes = 0;; ++successes) {
        fail_allocation_after(successes);
        abi::Domctl op = create_request(0, 3);
        int64_t result = issue(op);
        if (result == 0) {
            abi::Domctl vcpus = request(DomctlCommand::kMaxVcpus, op.domain);
            vcpus.u.max_vcpus.max = 3;
            result = issue(vcpus);
            stop_failing_allocations();
            end(op.domain);
        }
        stop_failing_allocations();
        EXPECT_EQ(free_frame_count(), free_before) << "after " << successes << " allocations";
        if (result == 0) break;
        ASSERT_EQ(result, failure(Errno::kENOMEM));
        ++failures;
        ASSERT_LT(successes, 1000u);
    }
    EXPECT_GT(failures, 2u);
}

TEST_F(DomctlTest, InformationNamesTheNextDomain) {
    abi::Domctl op = create_request(0);
    ASSERT_EQ(issue(op), 0);
    const uint16_t id = op.domain;
    abi::Domctl info = request(DomctlCommand::kGetdomaininfo, 2);  // nobody has that one
    ASSERT_EQ(issue(info), 0);
    EXPECT_EQ(info.domain, id);
    EXPECT_EQ(info.u.getdomaininfo.domain, id);
    EXPECT_EQ(info.u.getdomaininfo.max_vcpu_id, abi::kInvalidMaxVcpuId);
    EXPECT_EQ(info.u.getdomaininfo.handle.bytes[0], 0x42);
    EXPECT_NE(info.u.getdomaininfo.flags & abi::kDomainInfoPaused, 0u);
    info = request(DomctlCommand::kGetdomaininfo, static_cast<uint16_t>(id + 1));
    EXPECT_EQ(issue(info), failure(Errno::kESRCH));
    info = request(DomctlCommand::kGetdomaininfo, abi::kDomIdSelf);
    EXPECT_EQ(issue(info), failure(Errno::kEINVAL));
    end(id);
}

TEST_F(DomctlTest, PausesAreCountedAndNeverFallBelowZero) {
    EXPECT_EQ(issue(DomctlCommand::kPausedomain, 1), 0);
    EXPECT_EQ(issue(DomctlCommand::kUnpausedomain, 1), 0);
    EXPECT_EQ(issue(DomctlCommand::kUnpausedomain, 1), 0);  // the builder's own
    EXPECT_EQ(issue(DomctlCommand::kUnpausedomain, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(guest().life.load(), Life::kAlive);
    EXPECT_EQ(issue(DomctlCommand::kPausedomain, 0), failure(Errno::kEINVAL));
}

TEST_F(DomctlTest, ADyingDomainKeepsItsIdUntilItsLastFrameIsBack) {
    abi::Domctl op = create_request(0);
    ASSERT_EQ(issue(op), 0);
    const uint16_t id = op.domain;
    Domain* const domain = find_domain(DomId(id));
    domain->frame_limit = 100;
    const Mfn held = Mfn(give_frames(*domain, 20)[7]);
    put_domain(*domain);
    ASSERT_TRUE(get_frame(held, DomId(id)));
    end(id);
    abi::Domctl info = request(DomctlCommand::kGetdomaininfo, id);
    ASSERT_EQ(issue(info), 0);
    EXPECT_NE(info.u.getdomaininfo.flags & abi::kDomainInfoDying, 0u);
    EXPECT_EQ(info.u.getdomaininfo.tot_pages, 1u);
    abi::Domctl same = create_request(id);
    EXPECT_EQ(issue(same), failure(Errno::kEEXIST));
    fakes::machine().guest_view<uint64_t>(held)[0] = 0x736563726574;  // a secret
    put_frame(frame_at(held));
    info = request(DomctlCommand::kGetdomaininfo, id);
    EXPECT_EQ(issue(info), failure(Errno::kESRCH));
}

// Dead, and listed for as long as somebody holds one of its frames.
class DeadDomainTest : public DomctlTest {
protected:
    void SetUp() override {
        DomctlTest::SetUp();
        abi::Domctl op = create_request(0);
        ASSERT_EQ(issue(op), 0);
        id = op.domain;
        const DomainRef domain(find_domain(DomId(id)));
        domain->frame_limit = 10;
        held = Mfn(give_frames(*domain, 1)[0]);
        shared = domain->shared_info_frame;
        ASSERT_TRUE(get_frame(held, DomId(id)));
        end(id);
    }
    void TearDown() override {
        put_frame(frame_at(held));
        DomctlTest::TearDown();
    }
    uint16_t id = 0;
    Mfn held{};
    Mfn shared{};
};

TEST_F(DeadDomainTest, NobodyWritesToTheSharedPageThatItHad) {
    auto* const page = fakes::machine().guest_view(shared);
    memset(page, 0x5a, kPageSize);
    abi::Domctl op = request(DomctlCommand::kSettimeoffset, id);
    op.u.settimeoffset.time_offset_seconds = 1234;
    EXPECT_EQ(issue(op), 0);
    abi::MemoryDomain about{id};
    EXPECT_EQ(call(control(), Hypercall::kMemoryOp,
                   {static_cast<uint64_t>(abi::MemoryOp::kMaximumGpfn), address(&about)}),
              -1);
    for (uint64_t i = 0; i < kPageSize; ++i)
        ASSERT_EQ(page[i], 0x5a) << i;
}

TEST_F(DeadDomainTest, ItHandlesNoInterrupts) {
    abi::Domctl op = request(DomctlCommand::kSetVirqHandler, id);
    op.u.set_virq_handler.virq = static_cast<uint32_t>(abi::Virq::kDomExc);
    EXPECT_EQ(issue(op), failure(Errno::kESRCH));
}

TEST_F(DomctlTest, TheReasonOfAnEnd) {
    char text[128];
    memset(text, 0x7f, sizeof(text));
    abi::Domctl op = request(static_cast<DomctlCommand>(abi::kDomctlGetEndReason), 1);
    abi::DomctlEndReason reason{{address(text)}, sizeof(text), 0};
    memcpy(op.u.payload, &reason, sizeof(reason));
    EXPECT_EQ(issue(op), failure(Errno::kENODATA));
    kill_domain(guest(), "frame {x} is a page table", 0x1234);
    EXPECT_EQ(issue(op), 0);
    EXPECT_STREQ(text, "frame 0x1234 is a page table");
    memcpy(&reason, op.u.payload, sizeof(reason));
    EXPECT_EQ(reason.size, strlen(text));
    EXPECT_EQ(issue(op), failure(Errno::kENOBUFS));
    EXPECT_EQ(issue(DomctlCommand::kResumedomain, 1), failure(Errno::kEINVAL));
}

TEST_F(DomctlTest, WhereTheTimeOfAVcpuWent) {
    abi::Domctl op = request(static_cast<DomctlCommand>(abi::kDomctlGetVcpuRunstate), 1);
    const auto ask = [&](uint32_t vcpu) {
        const abi::DomctlVcpuRunstate wish{vcpu, 0, {}};
        memcpy(op.u.payload, &wish, sizeof(wish));
        return issue(op);
    };
    fakes::machine().advance(Nanoseconds(1000));
    ASSERT_EQ(ask(0), 0);
    abi::DomctlVcpuRunstate answer;
    memcpy(&answer, op.u.payload, sizeof(answer));
    const abi::VcpuRunstateInfo own = sched_runstate(vcpu(guest()).unit);
    EXPECT_EQ(answer.vcpu, 0u);
    EXPECT_EQ(answer.info.state, own.state);
    EXPECT_EQ(answer.info.state_entry_time, own.state_entry_time);
    uint64_t told = 0;
    for (unsigned i = 0; i < 4; ++i) {
        EXPECT_EQ(answer.info.time[i], own.time[i]) << i;
        told += answer.info.time[i];
    }
    EXPECT_GE(told, 1000u);
    EXPECT_EQ(ask(1), failure(Errno::kENOENT));
    EXPECT_EQ(ask(0xffff'ffff), failure(Errno::kENOENT));
    op.domain = 1234;
    EXPECT_EQ(ask(0), failure(Errno::kESRCH));
}

TEST_F(DomctlTest, LimitsAndHandles) {
    abi::Domctl op = request(DomctlCommand::kMaxMem, 1);
    op.u.max_mem.max_memkb = 8193;
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(guest().frame_limit, 2048u);
    op = request(DomctlCommand::kMaxVcpus, 1);
    op.u.max_vcpus.max = 2;
    EXPECT_EQ(issue(op), failure(Errno::kEINVAL));
    op = request(DomctlCommand::kGetAddressSize, 1);
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(op.u.address_size.size, 64u);
}

TEST_F(DomctlTest, TheHypercallPageGoesToAFrameOfTheDomainOnly) {
    const Mfn own(give_frames(guest(), 1)[0]);
    const Mfn others(give_frames(control(), 1)[0]);
    abi::Domctl op = request(DomctlCommand::kHypercallInit, 1);
    op.u.hypercall_init.gmfn = others.raw();
    EXPECT_EQ(issue(op), failure(Errno::kEINVAL));
    op.u.hypercall_init.gmfn = own.raw();
    EXPECT_EQ(issue(op), 0);
    const uint8_t* const page = fakes::machine().guest_view<uint8_t>(own);
    const uint8_t memory_op[] = {0x51, 0x41, 0x53, 0xb8, 12,   0,    0,   0,
                                 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3, 0xcc};
    EXPECT_EQ(memcmp(page + 12 * 32, memory_op, sizeof(memory_op)), 0);
    const uint8_t iret[] = {0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05, 0xcc};
    EXPECT_EQ(memcmp(page + 23 * 32, iret, sizeof(iret)), 0);
}

TEST_F(DomctlTest, NobodyGivesPortsThatTheyDontHave) {
    abi::Domctl op = request(DomctlCommand::kIoportPermission, 1);
    op.u.ioport_permission = {.first_port = 0x3f8, .nr_ports = 8, .allow_access = 1, .padding = {}};
    EXPECT_EQ(issue(op), failure(Errno::kEPERM));
    op.u.ioport_permission.first_port = 65535;
    EXPECT_EQ(issue(op), failure(Errno::kEINVAL));
}

TEST_F(DomctlTest, PageTypes) {
    std::vector<uint64_t> frames = give_frames(guest(), 1);
    frames.push_back(give_frames(control(), 1)[0]);
    frames.push_back(~uint64_t{0});
    abi::Domctl op = request(DomctlCommand::kGetpageframeinfo3, 1);
    op.u.getpageframeinfo3 = {frames.size(), {address(frames.data())}};
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(frames[0], abi::kPageInfoNoTable);
    EXPECT_EQ(frames[1], abi::kPageInfoInvalid);
    EXPECT_EQ(frames[2], abi::kPageInfoInvalid);
    op.u.getpageframeinfo3.num = 1025;
    EXPECT_EQ(issue(op), failure(Errno::kE2BIG));
}

TEST_F(DomctlTest, ContextsOfOthersOnly) {
    std::vector<char> context(sizeof(abi::VcpuGuestContext), 0);
    abi::Domctl op = request(DomctlCommand::kGetvcpucontext, 1);
    op.u.vcpucontext.ctxt.address = address(context.data());
    EXPECT_EQ(issue(op), failure(Errno::kENODATA));  // never set
    vcpu(guest()).initialised = true;
    registers(guest()).rip = 0x1234;
    EXPECT_EQ(issue(op), 0);
    EXPECT_EQ(reinterpret_cast<abi::VcpuGuestContext*>(context.data())->user_regs.rip, 0x1234u);
    EXPECT_EQ(guest().pauses.load(), 1u);
    op.domain = 0;
    EXPECT_EQ(issue(op), failure(Errno::kEINVAL));
    op = request(DomctlCommand::kSetvcpucontext, 1);
    op.u.vcpucontext.vcpu = 1;
    op.u.vcpucontext.ctxt.address = address(context.data());
    EXPECT_EQ(issue(op), failure(Errno::kENOENT));
}

}  // namespace
}  // namespace torii::test
