// Pins and what they hold, case by case.
#include "core/grant/grant_table.h"

#include <gtest/gtest.h>

#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "unit/core/grant/grant_world.h"

namespace torii::test {
namespace {

using abi::GrantStatus;

constexpr GrantRef kRef{9};
constexpr uint16_t kReading = abi::kGtfPermitAccess | abi::kGtfReading;
constexpr uint16_t kWriting = kReading | abi::kGtfWriting;

class GrantTableTest : public testing::Test {
protected:
    GrantStatus pin(GrantRef ref, GrantAccess access) {
        const GrantStatus status = owner.table.pin(ref, user.id(), access, held);
        frame = held.frame();
        return status;
    }

    GrantDomain owner{1};
    GrantDomain user{2};
    GrantTable::Pin held;
    Frame* frame = nullptr;
};

TEST_F(GrantTableTest, APinForReadingHoldsTheFrame) {
    owner.grant(kRef, user.id(), owner.mfn(0));
    ASSERT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kOkay);
    EXPECT_EQ(frame, &owner.frame(0));
    EXPECT_EQ(references(owner.frame(0)), 2u);
    EXPECT_EQ(writers(owner.frame(0)), 0u);
    EXPECT_EQ(owner.flags(kRef), kReading);
    owner.table.unpin(kRef, GrantAccess::kRead);
    EXPECT_EQ(references(owner.frame(0)), 1u);
    EXPECT_EQ(owner.flags(kRef), abi::kGtfPermitAccess);
}

TEST_F(GrantTableTest, APinForWritingHoldsTheType) {
    owner.grant(kRef, user.id(), owner.mfn(0));
    ASSERT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kOkay);
    EXPECT_EQ(references(owner.frame(0)), 2u);
    EXPECT_EQ(writers(owner.frame(0)), 1u);
    EXPECT_EQ(owner.flags(kRef), kWriting);
    ASSERT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kOkay);
    owner.table.unpin(kRef, GrantAccess::kWrite);
    EXPECT_EQ(writers(owner.frame(0)), 0u);
    EXPECT_EQ(owner.flags(kRef), kReading);
    owner.table.unpin(kRef, GrantAccess::kRead);
    EXPECT_EQ(owner.flags(kRef), abi::kGtfPermitAccess);
}

TEST_F(GrantTableTest, RefusesWhatIsNotGranted) {
    EXPECT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kGeneralError) << "empty entry";
    EXPECT_EQ(pin(GrantRef(kGrantEntriesPerFrame), GrantAccess::kRead), GrantStatus::kBadGntref);
    EXPECT_EQ(pin(GrantRef(~0u), GrantAccess::kRead), GrantStatus::kBadGntref);
    owner.grant(kRef, DomId(3), owner.mfn(0));
    EXPECT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kGeneralError) << "for another domain";
    owner.grant(kRef, user.id(), owner.mfn(0), abi::kGtfPermitAccess | abi::kGtfReadonly);
    EXPECT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kGeneralError) << "read-only";
    EXPECT_EQ(references(owner.frame(0)), 1u);
    EXPECT_EQ(owner.flags(kRef), abi::kGtfPermitAccess | abi::kGtfReadonly);
}

// A failed pin leaves no mark behind, or the guest could never take its grant back.
TEST_F(GrantTableTest, RefusesFramesThatAreNotTheOwners) {
    for (const Mfn mfn :
         {user.mfn(0), fakes::kFirstIoFrame, Mfn(0), Mfn(fakes::kLowFrames + 40000), Mfn(0xffff'ffff)}) {
        owner.grant(kRef, user.id(), mfn);
        EXPECT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kBadPage) << mfn.raw();
        EXPECT_EQ(owner.flags(kRef), abi::kGtfPermitAccess) << mfn.raw();
    }
    EXPECT_EQ(references(user.frame(0)), 1u);
}

TEST_F(GrantTableTest, PageTablesAreForReadingOnly) {
    const uint64_t type = TypeWord::of(FrameType::kL2, 1, TypeWord::kValidated).raw;
    owner.frame(0).type.store(type);
    owner.grant(kRef, user.id(), owner.mfn(0));
    EXPECT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kGeneralError);
    EXPECT_EQ(references(owner.frame(0)), 1u);
    EXPECT_EQ(owner.flags(kRef), abi::kGtfPermitAccess);
    ASSERT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kOkay);
    EXPECT_EQ(owner.frame(0).type.load(), type);
    EXPECT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kGeneralError) << "beside a reader";
    EXPECT_EQ(owner.flags(kRef), kReading);
    owner.table.unpin(kRef, GrantAccess::kRead);
    owner.frame(0).type.store(0);
}

// What the guest writes into an entry in use changes nothing about the use.
TEST_F(GrantTableTest, AnEntryInUseKeepsItsFrameAndUser) {
    owner.grant(kRef, user.id(), owner.mfn(0));
    ASSERT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kOkay);
    owner.grant(kRef, user.id(), owner.mfn(1));
    ASSERT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kOkay);
    EXPECT_EQ(frame, &owner.frame(0));
    owner.grant(kRef, DomId(3), owner.mfn(1));
    EXPECT_EQ(owner.table.pin(kRef, DomId(3), GrantAccess::kRead, held), GrantStatus::kGeneralError);
    EXPECT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kGeneralError) << "the entry says no by now";
    owner.grant(kRef, user.id(), owner.mfn(1), abi::kGtfInvalid);
    EXPECT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kGeneralError);
    owner.table.unpin(kRef, GrantAccess::kRead);
    owner.table.unpin(kRef, GrantAccess::kRead);
    EXPECT_EQ(references(owner.frame(0)), 1u);
    EXPECT_EQ(references(owner.frame(1)), 1u);
}

TEST_F(GrantTableTest, AFrameThatItsOwnerGaveUpStaysWhileItIsPinned) {
    const uint64_t free_before = free_frame_count();
    owner.grant(kRef, user.id(), owner.mfn(0));
    ASSERT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kOkay);
    owner.give_up(0);
    EXPECT_EQ(free_frame_count(), free_before);
    EXPECT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kBadPage) << "no new users";
    EXPECT_EQ(owner.flags(kRef), kWriting) << "the old one still writes";
    owner.table.unpin(kRef, GrantAccess::kWrite);
    EXPECT_EQ(free_frame_count(), free_before + 1);
}

TEST_F(GrantTableTest, AClosedTableEndsItsPinsQuietly) {
    owner.grant(kRef, user.id(), owner.mfn(0));
    ASSERT_EQ(pin(kRef, GrantAccess::kWrite), GrantStatus::kOkay);
    const Mfn page = owner.table.frame(0);
    // Somebody maps the table's page, so it stays when the table lets it go.
    get_frame_again(frame_at(page));
    owner.close();
    EXPECT_EQ(pin(kRef, GrantAccess::kRead), GrantStatus::kBadGntref);
    EXPECT_EQ(owner.table.begin_transfer(kRef, user.id()), GrantStatus::kBadGntref);
    EXPECT_EQ(owner.table.swap(kRef, GrantRef(1)), GrantStatus::kBadGntref);
    EXPECT_EQ(&owner.table.pinned_frame(kRef), &owner.frame(0));
    auto* const entries = fakes::machine().guest_view<SharedGrantEntry>(page);
    EXPECT_EQ(entries[kRef.raw()].flags_and_domid & 0xffff, kWriting);
    owner.table.unpin(kRef, GrantAccess::kWrite);
    EXPECT_EQ(entries[kRef.raw()].flags_and_domid & 0xffff, kWriting) << "the page is no longer ours";
    EXPECT_EQ(references(owner.frame(0)), 1u);
    put_frame(frame_at(page));
    Result<Mfn> late = allocate_frames(0, {.directly_mapped = true});
    EXPECT_EQ(owner.table.add_frame(late.value()).error(), Errno::kESRCH);
    free_frames(late.value(), 0, true);
}

TEST_F(GrantTableTest, SwapExchangesUnpinnedEntries) {
    owner.grant(kRef, user.id(), owner.mfn(0));
    owner.grant(GrantRef(10), DomId(5), owner.mfn(1), abi::kGtfPermitAccess | abi::kGtfReadonly);
    ASSERT_EQ(owner.table.swap(kRef, GrantRef(10)), GrantStatus::kOkay);
    EXPECT_EQ(owner.flags(kRef), abi::kGtfPermitAccess | abi::kGtfReadonly);
    EXPECT_EQ(owner.entry(kRef).frame, owner.mfn(1).raw());
    EXPECT_EQ(owner.entry(GrantRef(10)).frame, owner.mfn(0).raw());
    EXPECT_EQ(owner.table.swap(kRef, kRef), GrantStatus::kOkay);
    EXPECT_EQ(owner.table.swap(kRef, GrantRef(kGrantEntriesPerFrame)), GrantStatus::kBadGntref);
    ASSERT_EQ(pin(GrantRef(10), GrantAccess::kRead), GrantStatus::kOkay);
    EXPECT_EQ(owner.table.swap(kRef, GrantRef(10)), GrantStatus::kEagain);
    EXPECT_EQ(owner.table.swap(GrantRef(10), kRef), GrantStatus::kEagain);
    owner.table.unpin(GrantRef(10), GrantAccess::kRead);
}

TEST_F(GrantTableTest, TransferEndsOneWayOrTheOther) {
    owner.grant(kRef, user.id(), Mfn(0), abi::kGtfAcceptTransfer);
    EXPECT_EQ(owner.table.begin_transfer(kRef, DomId(3)), GrantStatus::kBadGntref);
    ASSERT_EQ(owner.table.begin_transfer(kRef, user.id()), GrantStatus::kOkay);
    EXPECT_EQ(owner.table.begin_transfer(kRef, user.id()), GrantStatus::kBadGntref) << "one at a time";
    owner.table.end_transfer(kRef, kInvalidMfn);
    EXPECT_EQ(owner.flags(kRef), abi::kGtfAcceptTransfer);
    ASSERT_EQ(owner.table.begin_transfer(kRef, user.id()), GrantStatus::kOkay);
    owner.table.end_transfer(kRef, Mfn(77));
    EXPECT_EQ(owner.entry(kRef).frame, 77u);
    EXPECT_EQ(owner.flags(kRef),
              abi::kGtfAcceptTransfer | abi::kGtfTransferCommitted | abi::kGtfTransferCompleted);
}

// The owner may write anything into the entry while it is pinned; its pins are what counts.
TEST_F(GrantTableTest, NoFrameArrivesThroughAnEntryInUse) {
    owner.grant(kRef, user.id(), owner.mfn(0));
    GrantTable::Pin pin;
    ASSERT_EQ(owner.table.pin(kRef, user.id(), GrantAccess::kRead, pin), GrantStatus::kOkay);
    owner.grant(kRef, user.id(), Mfn(0), abi::kGtfAcceptTransfer);
    EXPECT_EQ(owner.table.begin_transfer(kRef, user.id()), GrantStatus::kBadGntref);
    owner.table.unpin(kRef, GrantAccess::kRead);
    EXPECT_EQ(owner.table.begin_transfer(kRef, user.id()), GrantStatus::kOkay);
    owner.table.end_transfer(kRef, kInvalidMfn);
}

TEST_F(GrantTableTest, TheTablesPagesStayWritable) {
    Frame& page = frame_at(owner.table.frame(0));
    EXPECT_EQ(writers(page), 1u) << "no guest may make a page table of it";
    Result<Mfn> spoilt = allocate_frames(0, {.directly_mapped = true});
    frame_at(spoilt.value()).count.store(1);
    frame_at(spoilt.value()).type.store(TypeWord::of(FrameType::kL1, 1, TypeWord::kValidated).raw);
    EXPECT_EQ(owner.table.add_frame(spoilt.value()).error(), Errno::kEINVAL);
    EXPECT_EQ(owner.table.frame_count(), 1u);
    frame_at(spoilt.value()).type.store(0);
    frame_at(spoilt.value()).count.store(0);
    free_frames(spoilt.value(), 0, true);
}

TEST(GrantTableLimits, GrowsToItsLimit) {
    GrantDomain owner(1, 2);
    Result<Mfn> page = allocate_frames(0, {.directly_mapped = true});
    frame_at(page.value()).set_owner(owner.id());
    frame_at(page.value()).count.store(CountWord::kAllocated | 1);
    ASSERT_TRUE(owner.table.add_frame(page.value()).ok());
    EXPECT_EQ(owner.table.frame_count(), 2u);
    EXPECT_EQ(owner.table.frame(1), page.value());
    Result<Mfn> more = allocate_frames(0, {.directly_mapped = true});
    EXPECT_EQ(owner.table.add_frame(more.value()).error(), Errno::kENOSPC);
    free_frames(more.value(), 0, true);
    const GrantRef last(2 * kGrantEntriesPerFrame - 1);
    owner.grant(last, DomId(2), owner.mfn(0));
    GrantTable::Pin pin;
    ASSERT_EQ(owner.table.pin(last, DomId(2), GrantAccess::kRead, pin), GrantStatus::kOkay);
    owner.table.unpin(last, GrantAccess::kRead);
}

// The n-th allocation fails, for all n until none does: nothing stays behind.
TEST(GrantTableLimits, ExhaustionLeaksNothing) {
    (void)fakes::machine();
    heap_free(heap_allocate(kPageSize).take());
    const uint64_t heap_before = heap_frames_in_use();
    Result<Mfn> page = allocate_frames(0, {.directly_mapped = true});
    Frame& frame = frame_at(page.value());
    frame.count.store(1);
    bool complete = false;
    for (uint64_t successes = 1; !complete && successes < 20; ++successes) {
        fail_allocation_after(successes);
        {
            GrantTable table;
            complete = table.create(DomId(1), 600, 600).ok() && table.add_frame(page.value()).ok();
            stop_failing_allocations();
            while (table.close_one_frame() != kInvalidMfn) {
            }
        }
        EXPECT_EQ(heap_frames_in_use(), heap_before) << successes;
        EXPECT_EQ(frame.type_word().count(), 0u);
    }
    EXPECT_TRUE(complete);
    frame.count.store(0);
    frame.type.store(0);
    free_frames(page.value(), 0, true);
}

}  // namespace
}  // namespace torii::test
