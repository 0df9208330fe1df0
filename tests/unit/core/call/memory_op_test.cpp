#include <torii/abi/memory.h>
#include <torii/abi/mmu.h>

#include <algorithm>

#include "core/memory/allocator.h"
#include "core/memory/m2p.h"
#include "core/memory/machine_map.h"
#include "core/memory/reservation.h"
#include "fakes/fake_machine.h"
#include "fakes/fake_platform.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::Hypercall;
using abi::MemoryOp;

class MemoryOpTest : public CallWorld {
protected:
    int64_t memory_op(Domain& from, MemoryOp op, const void* argument, uint64_t start = 0) {
        return call(from, Hypercall::kMemoryOp, {static_cast<uint64_t>(op) | start << 6, address(argument)});
    }
    static abi::MemoryReservation reservation(std::vector<uint64_t>& extents, unsigned order = 0,
                                              abi::RawDomId domid = abi::kDomIdSelf) {
        abi::MemoryReservation request{};
        request.extent_start.address = address(extents.data());
        request.nr_extents = extents.size();
        request.extent_order = order;
        request.domid = domid;
        return request;
    }
};

TEST_F(MemoryOpTest, PopulateGivesZeroedFramesWithTheirNumbers) {
    std::vector<uint64_t> extents = {100, 7, 8};
    abi::MemoryReservation request = reservation(extents);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request), 3);
    EXPECT_EQ(guest().frame_count, 3u);
    const uint64_t pfns[] = {100, 7, 8};
    for (unsigned i = 0; i < 3; ++i) {
        const Mfn mfn(extents[i]);
        EXPECT_EQ(frame_at(mfn).owner(), guest().id);
        EXPECT_EQ(m2p_get(mfn), Pfn(pfns[i]));
        const uint64_t* const content = fakes::machine().guest_view<uint64_t>(mfn);
        EXPECT_TRUE(std::all_of(content, content + 512, [](uint64_t word) { return word == 0; }));
    }
    EXPECT_EQ(memory_op(guest(), MemoryOp::kDecreaseReservation, &request), 3);
    EXPECT_EQ(guest().frame_count, 0u);
    EXPECT_EQ(m2p_get(Mfn(extents[0])).raw(), abi::kInvalidM2pEntry);
}

TEST_F(MemoryOpTest, PopulateStopsAtTheLimitAndSaysHowFarItCame) {
    guest().frame_limit = 5;
    std::vector<uint64_t> extents(4);
    abi::MemoryReservation request = reservation(extents, 1);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request), 2);
    EXPECT_EQ(guest().frame_count, 4u);
}

TEST_F(MemoryOpTest, DecreaseTakesOnlyTheDomainsOwnFramesOnce) {
    std::vector<uint64_t> extents = give_frames(guest(), 2);
    extents.insert(extents.begin() + 1, give_frames(control(), 1)[0]);
    abi::MemoryReservation request = reservation(extents);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kDecreaseReservation, &request), 1);
    EXPECT_EQ(control().frame_count, 1u);
    // The first is gone already.
    EXPECT_EQ(memory_op(guest(), MemoryOp::kDecreaseReservation, &request), 0);
    for (const uint64_t mfn : {uint64_t{0}, fakes::kFirstIoFrame.raw(), ~uint64_t{0}, fakes::kFrameTableEnd,
                               guest().shared_info_frame.raw()}) {
        std::vector<uint64_t> one = {mfn};
        request = reservation(one);
        EXPECT_EQ(memory_op(guest(), MemoryOp::kDecreaseReservation, &request), 0) << mfn;
    }
    EXPECT_EQ(guest().frame_count, 1u);
}

TEST_F(MemoryOpTest, AFrameThatIsStillReferredToStaysUntilTheEnd) {
    std::vector<uint64_t> extents = give_frames(guest(), 1);
    const Mfn mfn(extents[0]);
    FrameRef held = FrameRef::take(mfn, guest().id);
    ASSERT_TRUE(held);
    abi::MemoryReservation request = reservation(extents);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kDecreaseReservation, &request), 1);
    EXPECT_EQ(guest().frame_count, 1u);
    EXPECT_FALSE(get_frame(mfn, guest().id));
    held.reset();
    EXPECT_EQ(guest().frame_count, 0u);
    EXPECT_EQ(frame_at(mfn).owner(), kOwnerNone);
}

TEST_F(MemoryOpTest, OnlyTheControlDomainChangesOthersMemory) {
    std::vector<uint64_t> extents = {1};
    abi::MemoryReservation request = reservation(extents, 0, control().id.raw());
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request), 0);
    request.domid = guest().id.raw();
    EXPECT_EQ(memory_op(control(), MemoryOp::kPopulatePhysmap, &request), 1);
    EXPECT_EQ(guest().frame_count, 1u);
    request.domid = 99;
    EXPECT_EQ(memory_op(control(), MemoryOp::kPopulatePhysmap, &request), 0);
}

TEST_F(MemoryOpTest, HostileRequestsDoNothing) {
    std::vector<uint64_t> extents = {1, 2};
    abi::MemoryReservation request = reservation(extents, 31);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request), 0);
    request = reservation(extents);
    // Where a continued call goes on is in the guest's hands.
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request, 2), 2);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request, uint64_t{1} << 50), int64_t{1} << 50);
    request.nr_extents = ~uint64_t{0};
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request), 0);
    request = reservation(extents);
    request.mem_flags = 12;  // nothing but frame zero
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, &request), 0);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kPopulatePhysmap, nullptr), 0);
    EXPECT_EQ(guest().frame_count, 0u);
}

class ExchangeTest : public MemoryOpTest {
protected:
    static constexpr unsigned kOrder = 6;
    static constexpr unsigned kFrames = 1u << kOrder;

    void SetUp() override {
        MemoryOpTest::SetUp();
        in_ = give_frames(guest(), kFrames);
        request_.in = reservation(in_);
        request_.out = reservation(out_, kOrder);
        request_.out.mem_flags = 32;
    }
    int64_t exchange() { return memory_op(guest(), MemoryOp::kExchange, &request_); }

    std::vector<uint64_t> in_;
    std::vector<uint64_t> out_ = {0x1000};
    abi::MemoryExchange request_{};
};

// What swiotlb-xen asks for at each boot of a control domain.
TEST_F(ExchangeTest, SingleFramesForABlockThatADeviceReaches) {
    EXPECT_EQ(exchange(), 0);
    EXPECT_EQ(request_.nr_exchanged, kFrames);
    EXPECT_EQ(guest().frame_count, kFrames);
    EXPECT_EQ(out_[0] % kFrames, 0u);
    EXPECT_LT(out_[0] + kFrames, uint64_t{1} << 20);
    for (unsigned i = 0; i < kFrames; ++i) {
        EXPECT_EQ(m2p_get(Mfn(out_[0]) + i), Pfn(0x1000 + i));
        EXPECT_EQ(frame_at(Mfn(out_[0]) + i).owner(), guest().id);
        EXPECT_FALSE(get_frame(Mfn(in_[i]), guest().id) && (in_[i] < out_[0] || in_[i] >= out_[0] + kFrames));
    }
    // And back: one block for single frames.
    std::vector<uint64_t> pfns(kFrames, 5);
    abi::MemoryExchange back{};
    back.in = request_.out;
    back.in.mem_flags = 0;
    back.out = reservation(pfns);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kExchange, &back), 0);
    EXPECT_EQ(back.nr_exchanged, 1u);
    EXPECT_EQ(guest().frame_count, kFrames);
    EXPECT_EQ(frame_at(Mfn(pfns[kFrames - 1])).owner(), guest().id);
}

TEST_F(ExchangeTest, AFrameInUseLeavesEverythingAsItWas) {
    FrameRef held = FrameRef::take(Mfn(in_[40]), guest().id);
    EXPECT_EQ(exchange(), failure(Errno::kEBUSY));
    EXPECT_EQ(request_.nr_exchanged, 0u);
    EXPECT_EQ(guest().frame_count, kFrames);
    for (const uint64_t mfn : in_)
        EXPECT_EQ(frame_at(Mfn(mfn)).owner(), guest().id);
    held.reset();
    EXPECT_EQ(exchange(), 0);
}

TEST_F(ExchangeTest, NamingAFrameTwiceOrAnothersIsRefused) {
    in_[3] = in_[2];
    EXPECT_EQ(exchange(), failure(Errno::kEINVAL));
    in_[3] = give_frames(control(), 1)[0];
    EXPECT_EQ(exchange(), failure(Errno::kEINVAL));
    EXPECT_EQ(request_.nr_exchanged, 0u);
    EXPECT_EQ(guest().frame_count, kFrames);
}

TEST_F(ExchangeTest, UnequalSidesAreRefused) {
    request_.in.nr_extents = kFrames - 1;
    EXPECT_EQ(exchange(), failure(Errno::kEINVAL));
    request_.in.nr_extents = kFrames;
    request_.nr_exchanged = kFrames + 1;
    EXPECT_EQ(exchange(), failure(Errno::kEINVAL));
    request_.nr_exchanged = 0;
    request_.out.extent_order = 20;
    EXPECT_EQ(exchange(), failure(Errno::kEPERM));
    request_.out.extent_order = kOrder;
    request_.in.nr_extents = uint64_t{1} << 60;
    request_.out.nr_extents = uint64_t{1} << 54;
    EXPECT_EQ(exchange(), failure(Errno::kEINVAL));
}

TEST_F(ExchangeTest, EachAllocationMayFail) {
    std::vector<uint64_t> pfns(kFrames, 9);
    request_.out = reservation(pfns);
    for (uint64_t successes = 1; successes < kFrames; successes += 7) {
        request_.nr_exchanged = 0;
        request_.in = reservation(in_);
        fail_allocation_after(successes);
        EXPECT_EQ(exchange(), failure(Errno::kENOMEM));
        stop_failing_allocations();
        EXPECT_EQ(request_.nr_exchanged, successes);  // order 0 for order 0: each is a chunk
        EXPECT_EQ(guest().frame_count, kFrames);
        std::copy_n(pfns.begin(), successes, in_.begin());
    }
}

TEST_F(MemoryOpTest, Questions) {
    abi::MemoryDomain self{abi::kDomIdSelf};
    (void)give_frames(guest(), 3);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kCurrentReservation, &self), 3);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kMaximumReservation, &self), 4096);
    abi::MemoryDomain other{control().id.raw()};
    EXPECT_EQ(memory_op(guest(), MemoryOp::kCurrentReservation, &other), failure(Errno::kEPERM));
    abi::MachphysMapping mapping{};
    EXPECT_EQ(memory_op(guest(), MemoryOp::kMachphysMapping, &mapping), 0);
    EXPECT_EQ(mapping.v_start, 0xffff800000000000u);
    EXPECT_EQ(memory_op(guest(), static_cast<MemoryOp>(63), &mapping), failure(Errno::kENOSYS));
}

TEST_F(MemoryOpTest, TheMachinesMapIsTheControlDomains) {
    boot_memory_map.count = 2;
    boot_memory_map.entries[0] = {0, 0x9f000, static_cast<uint32_t>(abi::E820Type::kRam)};
    boot_memory_map.entries[1] = {0x100000, 0x7000000, static_cast<uint32_t>(abi::E820Type::kRam)};
    abi::E820Entry entries[4]{};
    abi::MemoryMap request{4, 0, {address(entries)}};
    EXPECT_EQ(memory_op(guest(), MemoryOp::kMachineMemoryMap, &request), failure(Errno::kEPERM));
    EXPECT_EQ(memory_op(control(), MemoryOp::kMachineMemoryMap, &request), 0);
    EXPECT_EQ(request.nr_entries, 2u);
    EXPECT_EQ(entries[1].address, 0x100000u);
    request.nr_entries = 1;
    entries[0].type = 77;
    EXPECT_EQ(memory_op(control(), MemoryOp::kMachineMemoryMap, &request), failure(Errno::kEINVAL));
    EXPECT_EQ(entries[0].type, 77u);
}

TEST_F(MemoryOpTest, AToolMayGetAnothersGrantFrames) {
    uint64_t frames[2] = {};
    abi::AcquireResource request{};
    request.domid = guest().id.raw();
    request.type = static_cast<uint16_t>(abi::ResourceType::kGrantTable);
    EXPECT_EQ(memory_op(control(), MemoryOp::kAcquireResource, &request), 0);
    EXPECT_EQ(request.nr_frames, guest().grants.frame_limit());
    request.nr_frames = 2;
    request.frame_list.address = address(frames);
    EXPECT_EQ(memory_op(guest(), MemoryOp::kAcquireResource, &request), failure(Errno::kEPERM));
    EXPECT_EQ(memory_op(control(), MemoryOp::kAcquireResource, &request), 0);
    EXPECT_EQ(guest().grants.frame(1).raw(), frames[1]);
    EXPECT_EQ(frame_at(Mfn(frames[0])).owner(), guest().id);
    request.frame = guest().grants.frame_limit() - 1;
    EXPECT_EQ(memory_op(control(), MemoryOp::kAcquireResource, &request), failure(Errno::kEINVAL));
    request.type = static_cast<uint16_t>(abi::ResourceType::kIoreqServer);
    EXPECT_EQ(memory_op(control(), MemoryOp::kAcquireResource, &request), failure(Errno::kEOPNOTSUPP));
}

}  // namespace
}  // namespace torii::test
