// The rest of grant_table_op: sizes, versions, transfers, swaps.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/domain/domain.h"
#include "core/memory/allocator.h"
#include "fakes/fake_tlb.h"
#include "kit/call_domain.h"

namespace torii::test {
namespace {

using abi::GrantStatus;
using abi::GrantTableOp;

constexpr uint32_t kRef = 9;
constexpr int16_t raw(GrantStatus status) {
    return static_cast<int16_t>(status);
}
constexpr int64_t error(Errno number) {
    return abi::negated(number);
}

class GrantTableOpTest : public testing::Test {
protected:
    CallDomain control{0, true};
    CallDomain guest{1};
};

TEST_F(GrantTableOpTest, SetupGrowsTheTable) {
    uint64_t list[5] = {};
    abi::GrantSetupTable request{abi::kDomIdSelf, 0, 3, 1, {}, {reinterpret_cast<uint64_t>(list)}};
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, 0);
    for (unsigned i = 0; i < 3; ++i) {
        const Mfn page(list[i]);
        EXPECT_EQ(page, guest.domain().grants.frame(i));
        // The guest maps its table itself, writable.
        EXPECT_TRUE(
            guest.write_pte(i, pv::Pte{address_of(page).raw() | pv::kPtePresent | pv::kPteWrite}).ok());
        EXPECT_FALSE(control.write_pte(i, pv::Pte{address_of(page).raw() | pv::kPtePresent}).ok());
        EXPECT_TRUE(guest.write_pte(i, pv::Pte{}).ok());
    }
    EXPECT_EQ(list[3], 0u);
    abi::GrantQuerySize size{abi::kDomIdSelf, 0, 0, 0, 1, 0};
    EXPECT_EQ(guest.call(GrantTableOp::kQuerySize, size), 0);
    EXPECT_EQ(size.status, 0);
    EXPECT_EQ(size.nr_frames, 3u);
    EXPECT_EQ(size.max_nr_frames, 4u);

    request.nr_frames = 5;
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, raw(GrantStatus::kGeneralError)) << "beyond the limit";
    request.nr_frames = 1;
    request.frame_list.address = 0;
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, raw(GrantStatus::kBadVirtAddr));
    request.nr_frames = 0;
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, 0);
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, &request, 2), error(Errno::kEINVAL));
    EXPECT_EQ(guest.call(GrantTableOp::kQuerySize, &size, 0), error(Errno::kEINVAL));
    EXPECT_EQ(guest.call(GrantTableOp::kQuerySize, nullptr, 1), error(Errno::kEFAULT));
}

TEST_F(GrantTableOpTest, OtherDomainsTablesAreTheControlDomains) {
    uint64_t list[1] = {};
    abi::GrantSetupTable request{1, 0, 1, 1, {}, {reinterpret_cast<uint64_t>(list)}};
    EXPECT_EQ(control.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, 0);
    EXPECT_EQ(list[0], guest.domain().grants.frame(0).raw());
    request.dom = 0;
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, raw(GrantStatus::kPermissionDenied));
    request.dom = 99;
    EXPECT_EQ(guest.call(GrantTableOp::kSetupTable, request), 0);
    EXPECT_EQ(request.status, raw(GrantStatus::kBadDomain));
    abi::GrantGetVersion version{0, 0, 9};
    EXPECT_EQ(guest.call(GrantTableOp::kGetVersion, version), error(Errno::kEPERM));
    version.dom = 99;
    EXPECT_EQ(guest.call(GrantTableOp::kGetVersion, version), error(Errno::kESRCH));
    version.dom = abi::kDomIdSelf;
    EXPECT_EQ(guest.call(GrantTableOp::kGetVersion, version), 0);
    EXPECT_EQ(version.version, 1u);
}

TEST_F(GrantTableOpTest, OnlyVersionOne) {
    abi::GrantSetVersion request{1};
    EXPECT_EQ(guest.call(GrantTableOp::kSetVersion, request), 0);
    request.version = 2;
    EXPECT_EQ(guest.call(GrantTableOp::kSetVersion, request), error(Errno::kENOSYS));
    request.version = 3;
    EXPECT_EQ(guest.call(GrantTableOp::kSetVersion, request), error(Errno::kEINVAL));
    abi::GrantGetStatusFrames frames{1, abi::kDomIdSelf, 1, {0}};
    EXPECT_EQ(guest.call(GrantTableOp::kGetStatusFrames, frames), 0);
    EXPECT_EQ(frames.status, raw(GrantStatus::kGeneralError));
    EXPECT_EQ(guest.call(GrantTableOp::kDumpTable, frames), error(Errno::kENOSYS));
    EXPECT_EQ(guest.call(GrantTableOp::kCacheFlush, frames), error(Errno::kEOPNOTSUPP));
    EXPECT_EQ(guest.call(static_cast<GrantTableOp>(13), frames), error(Errno::kENOSYS));
    EXPECT_EQ(guest.call(static_cast<GrantTableOp>(~0u), frames), error(Errno::kENOSYS));
}

TEST_F(GrantTableOpTest, SwapsItsOwnEntries) {
    guest.grant(kRef, DomId(0), guest.mfn(0));
    abi::GrantSwapRef requests[2] = {{kRef, kRef + 1, 1, 0}, {kRef, 5000, 1, 0}};
    EXPECT_EQ(guest.call(GrantTableOp::kSwapGrantRef, requests, 2), 0);
    EXPECT_EQ(requests[0].status, 0);
    EXPECT_EQ(requests[1].status, raw(GrantStatus::kBadGntref));
    EXPECT_EQ(guest.entry(kRef).flags, 0);
    EXPECT_EQ(guest.entry(kRef + 1).frame, guest.mfn(0).raw());
}

// A frame moves with what is in it.
TEST_F(GrantTableOpTest, TransfersAFrame) {
    guest.grant(kRef, DomId(0), Mfn(0), abi::kGtfAcceptTransfer);
    control.fill(2, 0x77);
    const uint64_t had = control.domain().frame_count;
    const uint64_t received = guest.domain().frame_count;
    abi::GrantTransfer request{control.mfn(2).raw(), 1, 0, kRef, 1, {}};
    EXPECT_EQ(control.call(GrantTableOp::kTransfer, request), 0);
    EXPECT_EQ(request.status, 0);
    EXPECT_EQ(control.domain().frame_count, had - 1);
    EXPECT_EQ(guest.domain().frame_count, received + 1);
    EXPECT_EQ(control.frame(2).owner(), guest.id());
    EXPECT_EQ(guest.entry(kRef).frame, control.mfn(2).raw());
    EXPECT_EQ(guest.entry(kRef).flags,
              abi::kGtfAcceptTransfer | abi::kGtfTransferCommitted | abi::kGtfTransferCompleted);
    EXPECT_EQ(fakes::machine().guest_view(control.mfn(2))[9], 0x77);
    EXPECT_EQ(control.call(GrantTableOp::kTransfer, request), 0);
    EXPECT_EQ(request.status, raw(GrantStatus::kBadPage)) << "no longer its own";
}

// Not even to be read: what the next owner writes there is its own business.
TEST_F(GrantTableOpTest, ATransferredFrameIsForgottenByItsFormerOwner) {
    fakes::Tlb& tlb = fakes::tlb();
    const auto remembered = [&] {
        return std::ranges::count(tlb.entries(CpuId(0)), control.mfn(2), &fakes::Translation::mfn);
    };
    ASSERT_TRUE(control.write_pte(1, pv::Pte{address_of(control.mfn(2)).raw() | pv::kPtePresent}).ok());
    ASSERT_TRUE(tlb.touch(CpuId(0), control.id(), control.table(4), CallDomain::va(1)));
    ASSERT_TRUE(control.write_pte(1, pv::Pte{}).ok());
    ASSERT_EQ(remembered(), 1) << "nothing asked for a flush yet";
    guest.grant(kRef, DomId(0), Mfn(0), abi::kGtfAcceptTransfer);
    abi::GrantTransfer request{control.mfn(2).raw(), 1, 0, kRef, 1, {}};
    ASSERT_EQ(control.call(GrantTableOp::kTransfer, request), 0);
    ASSERT_EQ(request.status, 0);
    EXPECT_EQ(remembered(), 0);
}

// Whatever else fails, the frame is gone for the caller, as the public header says.
TEST_F(GrantTableOpTest, AFailedTransferGivesTheFrameUp) {
    const uint64_t free_before = free_frame_count();
    abi::GrantTransfer requests[2] = {{control.mfn(0).raw(), 1, 0, kRef, 1, {}},
                                      {control.mfn(1).raw(), 99, 0, kRef, 1, {}}};
    EXPECT_EQ(control.call(GrantTableOp::kTransfer, requests, 2), 0);
    EXPECT_EQ(requests[0].status, raw(GrantStatus::kBadGntref));
    EXPECT_EQ(requests[1].status, raw(GrantStatus::kBadDomain));
    EXPECT_EQ(free_frame_count(), free_before + 2);

    guest.grant(kRef, DomId(0), Mfn(0), abi::kGtfAcceptTransfer);
    guest.domain().frame_limit = guest.domain().frame_count;
    abi::GrantTransfer full{control.mfn(2).raw(), 1, 0, kRef, 1, {}};
    EXPECT_EQ(control.call(GrantTableOp::kTransfer, full), 0);
    EXPECT_EQ(full.status, raw(GrantStatus::kGeneralError));
    EXPECT_EQ(guest.entry(kRef).flags, abi::kGtfAcceptTransfer) << "the guest doesn't wait for it";
    EXPECT_EQ(free_frame_count(), free_before + 3);
}

TEST_F(GrantTableOpTest, FramesInUseAreNotTransferred) {
    guest.grant(kRef, DomId(0), Mfn(0), abi::kGtfAcceptTransfer);
    const auto status = [&](Mfn mfn) {
        abi::GrantTransfer request{mfn.raw(), 1, 0, kRef, 1, {}};
        EXPECT_EQ(control.call(GrantTableOp::kTransfer, request), 0);
        return request.status;
    };
    ASSERT_TRUE(control.write_pte(0, pv::Pte{address_of(control.mfn(3)).raw() | pv::kPtePresent}).ok());
    EXPECT_EQ(status(control.mfn(3)), raw(GrantStatus::kBadPage)) << "mapped";
    EXPECT_EQ(status(control.l1()), raw(GrantStatus::kBadPage)) << "a page table";
    EXPECT_EQ(status(control.domain().grants.frame(0)), raw(GrantStatus::kBadPage)) << "the hypervisor's";
    EXPECT_EQ(status(control.domain().shared_info_frame), raw(GrantStatus::kBadPage));
    EXPECT_EQ(status(guest.mfn(0)), raw(GrantStatus::kBadPage)) << "another's";
    EXPECT_EQ(guest.entry(kRef).flags, abi::kGtfAcceptTransfer);
    ASSERT_TRUE(control.write_pte(0, pv::Pte{}).ok());
    EXPECT_EQ(status(control.mfn(3)), 0);
}

}  // namespace
}  // namespace torii::test
