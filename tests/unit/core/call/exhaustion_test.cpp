// Memory runs out at the first allocation of an operation, at the second, and so on: whoever asked gets an
// error, and once the domain is gone every frame is back.
#include <torii/abi/domctl.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/grant_table.h>
#include <torii/abi/memory.h>
#include <torii/abi/trap.h>
#include <torii/abi/vcpu.h>

#include <cstring>
#include <functional>

#include "core/memory/allocator.h"
#include "core/memory/reservation.h"
#include "fakes/fake_machine.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::DomctlCommand;
using abi::Hypercall;

class ExhaustionTest : public CallWorld {
protected:
    using Operation = std::function<void(Domain&)>;

    // Runs `operation` on a new domain, with an allocation failing ever later until none does. `least`: so
    // many times it must have failed.
    void fail_each(unsigned least, const Operation& operation) {
        run(operation, ~uint64_t{0});  // what stays for good is there from here on
        const uint64_t before = free_frame_count();
        for (uint64_t successes = 0;; ++successes) {
            const bool refused = run(operation, successes);
            ASSERT_EQ(free_frame_count(), before) << "lost when allocation " << successes + 1 << " fails";
            if (!refused) {
                EXPECT_GE(successes, least);
                return;
            }
            ASSERT_LT(successes, 1000u);
        }
    }

    // Zero or more, or ENOMEM.
    void expect_done_or_no_memory(int64_t result) {
        EXPECT_TRUE(result >= 0 || result == failure(Errno::kENOMEM)) << result;
    }
    int64_t domctl(DomctlCommand command, const Domain& domain,
                   const std::function<void(abi::Domctl&)>& fill) {
        abi::Domctl op;
        memset(static_cast<void*>(&op), 0, sizeof(op));
        op.cmd = static_cast<uint32_t>(command);
        op.interface_version = abi::kDomctlInterfaceVersion;
        op.domain = domain.id.raw();
        fill(op);
        return call(control(), Hypercall::kDomctl, {address(&op)});
    }
    template <class Request>
    int64_t events(Domain& from, abi::EventChannelOp op, Request request) {
        return call(from, Hypercall::kEventChannelOp, {static_cast<uint64_t>(op), address(&request)});
    }

private:
    bool run(const Operation& operation, uint64_t successes) {
        constexpr uint16_t kId = 77;
        Result<Domain*> made = create_domain(DomId(kId), DomainLimits{2, 1000, 4, 4}, false);
        EXPECT_TRUE(made.ok());
        Domain& domain = *made.value();
        EXPECT_TRUE(create_vcpu(domain, VcpuId(0)).ok());
        domain.frame_limit = 1000;
        domain.life = Life::kAlive;
        fail_allocation_after(successes);
        operation(domain);
        const bool refused = allocation_was_refused();
        stop_failing_allocations();
        destroy(domain);
        EXPECT_FALSE(DomainRef(find_domain(DomId(kId))));
        return refused;
    }
};

TEST_F(ExhaustionTest, Vcpus) {
    fail_each(3, [this](Domain& domain) {
        expect_done_or_no_memory(
            domctl(DomctlCommand::kMaxVcpus, domain, [](abi::Domctl& op) { op.u.max_vcpus.max = 2; }));
    });
}

TEST_F(ExhaustionTest, VcpuContexts) {
    static abi::VcpuGuestContext context;
    context = {};
    fail_each(2, [this](Domain& domain) {
        const auto name_context = [](abi::Domctl& op) { op.u.vcpucontext = {0, 0, {address(&context)}}; };
        vcpu(domain).initialised = true;
        expect_done_or_no_memory(domctl(DomctlCommand::kGetvcpucontext, domain, name_context));
        context.flags = abi::kVgcfInKernel;
        // Without page tables it is refused in the end, but not before it was copied.
        EXPECT_LT(domctl(DomctlCommand::kSetvcpucontext, domain, name_context), 0);
        vcpu(domain).initialised = false;
        EXPECT_LT(call(domain, Hypercall::kVcpuOp,
                       {static_cast<uint64_t>(abi::VcpuOp::kInitialise), 0, address(&context)}),
                  0);
    });
}

TEST_F(ExhaustionTest, Ports) {
    fail_each(4, [this](Domain& domain) {
        // Over several pages of ports.
        for (unsigned i = 0; i < 300; ++i)
            expect_done_or_no_memory(
                events(domain, abi::EventChannelOp::kAllocUnbound, abi::EventAllocUnbound{0x7ff0, 0, 0}));
        domain.events.limit_pirqs(16);
        const Result<Port> line = domain.events.bind_pirq(3);
        EXPECT_TRUE(line.ok() || line.error() == Errno::kENOMEM);
    });
}

TEST_F(ExhaustionTest, PairsOfPorts) {
    fail_each(1, [this](Domain& domain) {
        abi::EventAllocUnbound offer{0x7ff0, 0, 0};
        if (call(domain, Hypercall::kEventChannelOp,
                 {static_cast<uint64_t>(abi::EventChannelOp::kAllocUnbound), address(&offer)}) != 0)
            return;
        expect_done_or_no_memory(events(control(), abi::EventChannelOp::kBindInterdomain,
                                        abi::EventBindInterdomain{domain.id.raw(), 0, offer.port, 0}));
        expect_done_or_no_memory(
            events(control(), abi::EventChannelOp::kReset, abi::EventReset{abi::kDomIdSelf}));
    });
}

TEST_F(ExhaustionTest, FifoEvents) {
    fail_each(3, [this](Domain& domain) {
        Result<Mfn> control_frame = allocate_domain_frames(domain, 0);
        Result<Mfn> array = allocate_domain_frames(domain, 0);
        if (!control_frame.ok() || !array.ok()) return;
        const int64_t result = events(domain, abi::EventChannelOp::kInitControl,
                                      abi::EventInitControl{control_frame.value().raw(), 0, 0, 0, {}});
        expect_done_or_no_memory(result);
        if (result != 0) {
            // Nothing of it is left: the frame is the guest's to give up.
            EXPECT_EQ(frame_at(control_frame.value()).references(), 1u);
            return;
        }
        expect_done_or_no_memory(
            events(domain, abi::EventChannelOp::kExpandArray, abi::EventExpandArray{array.value().raw()}));
    });
}

TEST_F(ExhaustionTest, GrantTables) {
    fail_each(8, [this](Domain& domain) {
        uint64_t frames[4] = {};
        abi::GrantSetupTable request{abi::kDomIdSelf, 0, 4, 1, {}, {address(frames)}};
        EXPECT_EQ(call(domain, Hypercall::kGrantTableOp,
                       {static_cast<uint64_t>(abi::GrantTableOp::kSetupTable), address(&request), 1}),
                  0);
        EXPECT_LE(request.status, 0);
    });
}

TEST_F(ExhaustionTest, GrantHandles) {
    fail_each(3, [this](Domain& domain) {
        uint64_t table = 0;
        abi::GrantSetupTable request{abi::kDomIdSelf, 0, 1, 1, {}, {address(&table)}};
        (void)call(domain, Hypercall::kGrantTableOp,
                   {static_cast<uint64_t>(abi::GrantTableOp::kSetupTable), address(&request), 1});
        Result<Mfn> frame = allocate_domain_frames(domain, 0);
        if (request.status != 0 || !frame.ok()) return;
        fakes::machine().guest_view<abi::GrantEntryV1>(Mfn(table))[3] = {
            abi::kGtfPermitAccess, domain.id.raw(), static_cast<uint32_t>(frame.value().raw())};
        // To itself: its own handles are those that need memory, and they go with it.
        abi::GrantMap map{0, abi::kGrantMapDevice, 3, domain.id.raw(), 1, 0, 0};
        EXPECT_EQ(call(domain, Hypercall::kGrantTableOp,
                       {static_cast<uint64_t>(abi::GrantTableOp::kMapGrantRef), address(&map), 1}),
                  0);
        EXPECT_TRUE(map.status == 0 || map.status == static_cast<int16_t>(abi::GrantStatus::kNoSpace))
            << map.status;
        EXPECT_EQ(frame_at(frame.value()).references(), map.status == 0 ? 2u : 1u);
    });
}

TEST_F(ExhaustionTest, Memory) {
    fail_each(10, [this](Domain& domain) {
        uint64_t extents[10];
        for (unsigned i = 0; i < 10; ++i)
            extents[i] = i;
        abi::MemoryReservation request{{address(extents)}, 10, 0, 0, domain.id.raw(), {}};
        const int64_t done =
            call(control(), Hypercall::kMemoryOp,
                 {static_cast<uint64_t>(abi::MemoryOp::kPopulatePhysmap), address(&request)});
        EXPECT_EQ(done, static_cast<int64_t>(domain.frame_count));
        if (done < 4) return;
        uint64_t got[4]{};
        abi::MemoryExchange exchange{};
        exchange.in = {{address(extents)}, 4, 0, 0, abi::kDomIdSelf, {}};
        exchange.out = {{address(got)}, 1, 2, 0, abi::kDomIdSelf, {}};
        expect_done_or_no_memory(call(domain, Hypercall::kMemoryOp,
                                      {static_cast<uint64_t>(abi::MemoryOp::kExchange), address(&exchange)}));
        EXPECT_EQ(domain.frame_count, static_cast<uint64_t>(done));
    });
}

}  // namespace
}  // namespace torii::test
