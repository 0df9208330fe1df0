// The rules of direct paging, one by one, as hypercalls on whole domains; after each test a recount agrees.
#include "arch/x86/pv/page_type.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "core/memory/reservation.h"
#include "fakes/fake_tlb.h"
#include "kit/hosted_domain.h"
#include "kit/recount.h"

namespace torii::test {
namespace {

using Command = abi::MmuextOpCommand;

constexpr uint64_t kUvmFlushAll = abi::kUvmfTlbFlush | abi::kUvmfAll;

class PageTypes : public testing::Test {
protected:
    void TearDown() override { expect_agreement(); }
    void expect_agreement() {
        Domain* const all[] = {&control.domain(), &guest.domain(), &other.domain()};
        for (const std::string& finding : recount(all))
            ADD_FAILURE() << finding;
    }
    static FrameType type_of(Mfn mfn) { return frame_at(mfn).type_word().type(); }
    static uint64_t type_count(Mfn mfn) { return frame_at(mfn).type_word().count(); }
    int64_t map(HostedDomain& domain, unsigned page, uint64_t entry) {
        return domain.hypercall(abi::Hypercall::kUpdateVaMapping,
                                {CallDomain::va(page), entry, kUvmFlushAll});
    }

    HostedDomain control{0, 0, true};
    HostedDomain guest{1, 1};
    HostedDomain other{2, 2};
};

TEST_F(PageTypes, PinValidatesAndTakesReferences) {
    const Mfn table = guest.mfn(0);
    guest.entries(table)[3] = HostedDomain::entry(guest.mfn(1));
    guest.entries(table)[4] = HostedDomain::entry(guest.mfn(2), kReadOnly);
    EXPECT_EQ(guest.mmuext(Command::kPinL1Table, table.raw()), 0);
    EXPECT_EQ(type_of(table), FrameType::kL1);
    EXPECT_EQ(type_count(guest.mfn(1)), 1u);
    EXPECT_EQ(frame_at(guest.mfn(2)).references(), 2u);
    expect_agreement();
    EXPECT_LT(guest.mmuext(Command::kPinL1Table, table.raw()), 0);
    EXPECT_EQ(guest.mmuext(Command::kUnpinTable, table.raw()), 0);
    EXPECT_LT(guest.mmuext(Command::kUnpinTable, table.raw()), 0);
    EXPECT_EQ(frame_at(guest.mfn(1)).references(), 1u);
}

TEST_F(PageTypes, RefusedTableIsUndoneExactly) {
    const Mfn table = guest.mfn(0);
    guest.entries(table)[1] = HostedDomain::entry(guest.mfn(1));
    guest.entries(table)[511] = HostedDomain::entry(other.mfn(0));
    EXPECT_LT(guest.mmuext(Command::kPinL1Table, table.raw()), 0);
    EXPECT_EQ(type_count(guest.mfn(1)), 0u);
    EXPECT_EQ(frame_at(table).references(), 1u);
}

TEST_F(PageTypes, NoTableIsWritable) {
    EXPECT_LT(map(guest, 0, HostedDomain::entry(guest.table(1))), 0);
    EXPECT_EQ(map(guest, 0, HostedDomain::entry(guest.table(1), kReadOnly)), 0);
    EXPECT_LT(map(guest, 0, HostedDomain::entry(guest.table(1))), 0);
    EXPECT_EQ(map(guest, 1, HostedDomain::entry(guest.mfn(0))), 0);
    EXPECT_LT(guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw()), 0);
}

TEST_F(PageTypes, RecursiveTablesAreRefused) {
    const Mfn root = guest.table(4);
    EXPECT_LT(guest.update(HostedDomain::place(root, 100), HostedDomain::entry(root)), 0);
    guest.entries(guest.mfn(0))[0] = HostedDomain::entry(guest.mfn(0));
    EXPECT_LT(guest.mmuext(Command::kPinL4Table, guest.mfn(0).raw()), 0);
    EXPECT_LT(guest.mmuext(Command::kPinL2Table, guest.mfn(0).raw()), 0);
}

TEST_F(PageTypes, SlotsOfTheHypervisorAreRefused) {
    for (const unsigned slot : {256u, 263u, 271u}) {
        EXPECT_LT(guest.update(HostedDomain::place(guest.table(4), slot), 0), 0);
        guest.entries(guest.mfn(0))[slot] = HostedDomain::entry(guest.table(3));
        EXPECT_LT(guest.mmuext(Command::kPinL4Table, guest.mfn(0).raw()), 0);
        guest.clear(guest.mfn(0));
    }
    EXPECT_EQ(guest.update(HostedDomain::place(guest.table(4), 272), HostedDomain::entry(guest.table(3))), 0);
}

TEST_F(PageTypes, LargeTreesAreValidatedAndUndoneInParts) {
    HostedDomain large(3, 3, false, 200);
    for (unsigned i = 0; i < 190; ++i)
        large.entries(large.mfn(0))[i * 2] = HostedDomain::entry(large.mfn(10 + i));
    const auto pin = [&](unsigned most) {
        abi::MmuextOp operation{};
        operation.cmd = static_cast<uint32_t>(Command::kPinL2Table);
        operation.arg1.mfn = large.mfn(0).raw();
        return large.hypercall(abi::Hypercall::kMmuextOp,
                               {reinterpret_cast<uint64_t>(&operation), 1, 0, 0x7ff0}, most);
    };
    Domain* const all[] = {&large.domain()};
    (void)pin(1);
    EXPECT_TRUE(frame_at(large.mfn(0)).type_word().partial());
    EXPECT_TRUE(recount(all).empty());
    EXPECT_LT(map(large, 0, HostedDomain::entry(large.mfn(0))), 0) << "half a table is not for writing";
    EXPECT_EQ(pin(100), 0);
    EXPECT_GT(large.continuations, 0u);
    EXPECT_TRUE(recount(all).empty());
    EXPECT_EQ(large.mmuext(Command::kUnpinTable, large.mfn(0).raw()), 0);
    EXPECT_TRUE(recount(all).empty());
    EXPECT_EQ(large.mmuext(Command::kPinL1Table, large.mfn(0).raw()), 0)
        << "free to be a table of another level";
    EXPECT_TRUE(recount(all).empty());
    (void)large.mmuext(Command::kUnpinTable, large.mfn(0).raw());
    // Half a table of one level is undone before it is one of another.
    (void)pin(1);
    EXPECT_TRUE(frame_at(large.mfn(0)).type_word().partial());
    EXPECT_EQ(large.mmuext(Command::kPinL1Table, large.mfn(0).raw()), 0);
    EXPECT_TRUE(recount(all).empty());
    EXPECT_EQ(large.mmuext(Command::kUnpinTable, large.mfn(0).raw()), 0);
    (void)pin(1);  // and the domain ends with half a table
}

// The first request leaves the L1 mapped for the next ones; the second ends it.
TEST_F(PageTypes, BatchForgetsATableThatItUnlinked) {
    const Mfn table = guest.mfn(0);
    guest.entries(table)[0] = HostedDomain::entry(guest.mfn(1));
    ASSERT_EQ(guest.update(HostedDomain::place(guest.table(2), 5), HostedDomain::entry(table)), 0);
    EXPECT_EQ(guest.update({{HostedDomain::place(table, 1), HostedDomain::entry(guest.mfn(2))},
                            {HostedDomain::place(guest.table(2), 5), 0},
                            {HostedDomain::place(table, 0), HostedDomain::entry(guest.mfn(3))}}),
              0);
    for (const unsigned frame : {1u, 2u, 3u})
        EXPECT_EQ(frame_at(guest.mfn(frame)).references(), 1u);
}

// A table waits on the undo list when the same batch wants it again: at its level, and at another.
TEST_F(PageTypes, TableGivenUpIsUndoneBeforeItIsUsedAgain) {
    const Mfn table = guest.mfn(0);
    guest.entries(table)[9] = HostedDomain::entry(guest.mfn(1));
    ASSERT_EQ(guest.update(HostedDomain::place(guest.table(3), 7), HostedDomain::entry(table)), 0);
    EXPECT_EQ(guest.update({{HostedDomain::place(guest.table(3), 7), 0},
                            {HostedDomain::place(guest.table(3), 8), HostedDomain::entry(table)}}),
              0);
    expect_agreement();
    EXPECT_EQ(map(guest, 0, 0), 0);
    expect_agreement();
    EXPECT_EQ(type_of(table), FrameType::kL2);
    EXPECT_EQ(type_count(table), 1u);
    EXPECT_EQ(guest.update({{HostedDomain::place(guest.table(3), 8), 0},
                            {HostedDomain::place(guest.table(4), 100), HostedDomain::entry(table)}}),
              0);
    expect_agreement();
    EXPECT_EQ(map(guest, 0, 0), 0);
    EXPECT_EQ(type_of(table), FrameType::kL3);
}

// The hypervisor writes to what it shares, so a guest can't have it checked as a table.
// The new table stands on the undo list, and to use it gives up what led to the table that is written to.
TEST_F(PageTypes, TableThatIsWrittenToOutlivesTheSearchForTheNewOne) {
    const Mfn upper = guest.mfn(0);
    const Mfn written = guest.mfn(1);
    guest.entries(upper)[0] = HostedDomain::entry(written, kReadOnly);
    const Mfn root = guest.table(4);
    ASSERT_EQ(guest.update(HostedDomain::place(root, 9), HostedDomain::entry(upper)), 0);
    ASSERT_EQ(type_of(written), FrameType::kL2);
    EXPECT_EQ(guest.update({{HostedDomain::place(root, 9), 0},
                            {HostedDomain::place(written, 1), HostedDomain::entry(upper)}}),
              0);
    expect_agreement();
    EXPECT_EQ(guest.mmuext(Command::kPinL1Table, guest.mfn(2).raw()), 0);  // works off what is left
    EXPECT_EQ(frame_at(written).references(), 1u);
    EXPECT_EQ(type_count(upper), 0u);
}

TEST_F(PageTypes, SharedFramesBecomeNoTables) {
    for (const Mfn shared : {guest.domain().shared_info_frame, guest.domain().grants.frame(0)}) {
        for (const Command pin : {Command::kPinL1Table, Command::kPinL2Table, Command::kPinL4Table})
            EXPECT_LT(guest.mmuext(pin, shared.raw()), 0);
        const uint64_t list[] = {shared.raw()};
        EXPECT_LT(guest.hypercall(abi::Hypercall::kSetGdt, {reinterpret_cast<uint64_t>(list), 512}), 0);
        EXPECT_EQ(map(guest, 0, HostedDomain::entry(shared)), 0);
        EXPECT_EQ(map(guest, 0, 0), 0);
        EXPECT_LT(guest.mmuext(Command::kPinL1Table, shared.raw()), 0);
    }
}

TEST_F(PageTypes, PinnedFrameThatWasGivenUpCanBeUnpinned) {
    const Mfn table = guest.mfn(0);
    ASSERT_EQ(guest.mmuext(Command::kPinL1Table, table.raw()), 0);
    ASSERT_TRUE(give_up_frame(guest.domain(), table).ok());
    expect_agreement();
    EXPECT_EQ(guest.mmuext(Command::kUnpinTable, table.raw()), 0);
    EXPECT_EQ(frame_at(table).references(), 0u);
}

TEST_F(PageTypes, DomainEndsWithPinsOnFramesThatItGaveUp) {
    HostedDomain doomed(3, 3);
    doomed.entries(doomed.mfn(1))[0] = HostedDomain::entry(doomed.mfn(0));
    ASSERT_EQ(doomed.mmuext(Command::kPinL2Table, doomed.mfn(1).raw()), 0);
    ASSERT_TRUE(give_up_frame(doomed.domain(), doomed.mfn(1)).ok());
    const Mfn table = doomed.mfn(1);
    doomed.destroy();
    EXPECT_EQ(frame_at(table).references(), 0u);
}

TEST_F(PageTypes, FlagsAreAcceptedForcedOrRefused) {
    EXPECT_LT(map(guest, 0, HostedDomain::entry(guest.mfn(0)) | pv::kPteProtectionKey), 0);
    EXPECT_LT(map(guest, 0, HostedDomain::entry(guest.mfn(0)) | pv::kPteCacheDisable), 0);
    EXPECT_EQ(map(guest, 0, (HostedDomain::entry(guest.mfn(0)) | pv::kPteGlobal) & ~pv::kPteUser), 0);
    EXPECT_EQ(guest.pte(0).raw & (pv::kPteGlobal | pv::kPteUser), pv::kPteUser);
    EXPECT_LT(guest.update(HostedDomain::place(guest.table(2), 5),
                           HostedDomain::entry(guest.mfn(1)) | pv::kPteLargePage),
              0);
    EXPECT_LT(map(guest, 1, HostedDomain::entry(fakes::kFirstIoFrame)), 0);
    EXPECT_EQ(map(control, 1, HostedDomain::entry(control.mfn(0)) | pv::kPteCacheDisable), 0);
}

TEST_F(PageTypes, AbsentEntriesThatNameRamAreRefusedWhereTheCpuIsOpenToL1tf) {
    constexpr uint64_t kSwapped = 0x1234ull << kPageShift;
    const auto pin_with = [&](uint64_t entry) {
        guest.entries(guest.mfn(0))[7] = entry;
        const int64_t result = guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw());
        if (result == 0) {
            EXPECT_EQ(guest.mmuext(Command::kUnpinTable, guest.mfn(0).raw()), 0);
        }
        return result;
    };
    EXPECT_EQ(pin_with(kSwapped), 0) << "harmless on other CPUs";
    EXPECT_EQ(map(guest, 0, kSwapped), 0);
    pv::pte_limits.l1tf_unsafe_below = kSwapped + kPageSize;
    EXPECT_LT(pin_with(kSwapped), 0);
    EXPECT_LT(map(guest, 1, kSwapped), 0);
    EXPECT_LT(guest.update(HostedDomain::place(guest.table(4), 100), kSwapped), 0);
    EXPECT_EQ(pin_with(kSwapped + kPageSize), 0) << "beyond all RAM";
    EXPECT_EQ(map(guest, 1, 0x80), 0) << "flags without an address";
    pv::pte_limits.l1tf_unsafe_below = 0;
}

TEST_F(PageTypes, CopiesOfRootsAreToldOfEveryChange) {
    uint64_t before = pv::root_changes;
    const auto changed = [&] { return std::exchange(before, pv::root_changes.load()) != before; };
    EXPECT_EQ(guest.update(HostedDomain::place(guest.table(4), 272), HostedDomain::entry(guest.table(3))), 0);
    EXPECT_TRUE(changed()) << "an entry came";
    EXPECT_EQ(guest.update(HostedDomain::place(guest.table(4), 272), 0), 0);
    EXPECT_TRUE(changed()) << "an entry went";
    EXPECT_EQ(guest.mmuext(Command::kPinL4Table, guest.mfn(0).raw()), 0);
    EXPECT_TRUE(changed()) << "a frame became an L4";
    EXPECT_EQ(map(guest, 0, HostedDomain::entry(guest.mfn(1))), 0);
    EXPECT_FALSE(changed()) << "lower tables are reached through the entries that are there";
}

TEST_F(PageTypes, OnlyTheControlDomainMapsOthersFrames) {
    EXPECT_EQ(control.update(control.pte_address(0), HostedDomain::entry(guest.mfn(0)), guest.id().raw()), 0);
    EXPECT_LT(guest.update(guest.pte_address(0), HostedDomain::entry(other.mfn(0)), other.id().raw()), 0);
    EXPECT_LT(guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw()), 0) << "writable by the control domain";
    EXPECT_EQ(control.update(control.pte_address(0), 0), 0);
    EXPECT_EQ(control.mmuext(Command::kPinL1Table, guest.mfn(0).raw(), 0, guest.id().raw()), 0);
    EXPECT_LT(other.mmuext(Command::kUnpinTable, guest.mfn(0).raw(), 0, guest.id().raw()), 0);
    EXPECT_LT(other.mmuext(Command::kUnpinTable, guest.mfn(0).raw()), 0) << "nor as a frame of its own";
    EXPECT_TRUE(frame_at(guest.mfn(0)).type_word().pinned());
}

TEST_F(PageTypes, BasePointersHoldTheirTables) {
    const Mfn root = guest.mfn(0);
    guest.entries(root)[0] = HostedDomain::entry(guest.table(3));
    EXPECT_EQ(guest.mmuext(Command::kNewUserBaseptr, root.raw()), 0);
    EXPECT_EQ(guest.mmuext(Command::kNewBaseptr, root.raw()), 0);
    EXPECT_EQ(type_count(root), 2u);
    expect_agreement();
    EXPECT_LT(guest.mmuext(Command::kNewBaseptr, guest.mfn(1).raw() + (1 << 30)), 0);
    EXPECT_LT(guest.mmuext(Command::kNewBaseptr, guest.table(1).raw()), 0);
    EXPECT_EQ(guest.mmuext(Command::kNewUserBaseptr, 0), 0);
}

TEST_F(PageTypes, DescriptorPagesAreCheckedAndNotWritable) {
    const uint64_t list[] = {guest.mfn(0).raw()};
    const auto set_gdt = [&](uint64_t entries) {
        return guest.hypercall(abi::Hypercall::kSetGdt, {reinterpret_cast<uint64_t>(list), entries});
    };
    EXPECT_EQ(set_gdt(512), 0);
    EXPECT_LT(map(guest, 0, HostedDomain::entry(guest.mfn(0))), 0);
    EXPECT_LT(guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw()), 0);
    expect_agreement();
    EXPECT_EQ(set_gdt(0), 0);
    EXPECT_EQ(map(guest, 0, HostedDomain::entry(guest.mfn(0))), 0);
    EXPECT_LT(set_gdt(512), 0) << "a writable page";
    guest.entries(guest.mfn(1))[1] = 0x0000'8c00'0000'0000;  // a call gate to ring 0
    const uint64_t bad[] = {guest.mfn(2).raw(), guest.mfn(1).raw()};
    EXPECT_LT(guest.hypercall(abi::Hypercall::kSetGdt, {reinterpret_cast<uint64_t>(bad), 1024}), 0);
    EXPECT_EQ(type_count(guest.mfn(2)), 0u);
}

TEST_F(PageTypes, RefusedFlushChangesNothing) {
    EXPECT_LT(guest.hypercall(abi::Hypercall::kUpdateVaMapping,
                              {CallDomain::va(0), HostedDomain::entry(guest.mfn(0)), 3}),
              0);
    EXPECT_FALSE(guest.pte(0).present());
}

TEST_F(PageTypes, LongBatchesGoOnWhereTheyStopped) {
    std::vector<abi::MmuUpdate> requests;
    for (unsigned i = 0; i < 5000; ++i)
        requests.push_back({guest.pte_address(i % 512), HostedDomain::entry(guest.mfn(i % 8))});
    requests[4000].val = HostedDomain::entry(other.mfn(0));
    uint32_t done = 0;
    EXPECT_LT(guest.hypercall(abi::Hypercall::kMmuUpdate,
                              {reinterpret_cast<uint64_t>(requests.data()), requests.size(),
                               reinterpret_cast<uint64_t>(&done), 0x7ff0}),
              0);
    EXPECT_EQ(done, 4000u);
    EXPECT_GE(guest.continuations, 1u);
}

// What a CPU remembers outlives the entry; whoever makes the frame a table flushes, on each CPU.
TEST_F(PageTypes, StaleTranslationsAreGoneBeforeAFrameIsATable) {
    fakes::Tlb& tlb = fakes::tlb();
    ASSERT_EQ(guest.update(guest.pte_address(0), HostedDomain::entry(guest.mfn(0))), 0);
    ASSERT_EQ(control.update(control.pte_address(1), HostedDomain::entry(guest.mfn(0)), guest.id().raw()), 0);
    ASSERT_TRUE(tlb.touch(guest.cpu(), guest.id(), guest.vcpu().pv.kernel_root, CallDomain::va(0)));
    ASSERT_TRUE(tlb.touch(control.cpu(), control.id(), control.vcpu().pv.kernel_root, CallDomain::va(1)));
    ASSERT_EQ(guest.update(guest.pte_address(0), 0), 0);
    ASSERT_EQ(control.update(control.pte_address(1), 0), 0);
    EXPECT_EQ(guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw()), 0);
    expect_agreement();
    EXPECT_EQ(guest.mmuext(Command::kUnpinTable, guest.mfn(0).raw()), 0);
}

// CPUs whose domain never mapped the frame are not interrupted for it.
TEST_F(PageTypes, OnlyCpusThatMayRememberAFrameFlush) {
    fakes::Tlb& tlb = fakes::tlb();
    const auto become_table_and_back = [&] {
        ASSERT_EQ(guest.update(guest.pte_address(0), HostedDomain::entry(guest.mfn(0))), 0);
        ASSERT_TRUE(tlb.touch(guest.cpu(), guest.id(), guest.vcpu().pv.kernel_root, CallDomain::va(0)));
        ASSERT_EQ(guest.update(guest.pte_address(0), 0), 0);
        ASSERT_EQ(guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw()), 0);
        ASSERT_EQ(guest.mmuext(Command::kUnpinTable, guest.mfn(0).raw()), 0);
    };
    const auto remembers_own = [&](HostedDomain& domain) { return !tlb.entries(domain.cpu()).empty(); };
    const auto use_own = [&](HostedDomain& domain) {
        ASSERT_EQ(domain.update(domain.pte_address(2), HostedDomain::entry(domain.mfn(2))), 0);
        ASSERT_TRUE(tlb.touch(domain.cpu(), domain.id(), domain.vcpu().pv.kernel_root, CallDomain::va(2)));
    };
    use_own(other);
    use_own(control);
    become_table_and_back();
    EXPECT_TRUE(remembers_own(other));
    EXPECT_TRUE(remembers_own(control));

    // The control domain writes to it through a map of its own: then it is asked, but only this once.
    ASSERT_EQ(control.update(control.pte_address(1), HostedDomain::entry(guest.mfn(0)), guest.id().raw()), 0);
    ASSERT_TRUE(tlb.touch(control.cpu(), control.id(), control.vcpu().pv.kernel_root, CallDomain::va(1)));
    ASSERT_EQ(control.update(control.pte_address(1), 0), 0);
    become_table_and_back();
    EXPECT_FALSE(remembers_own(control));
    use_own(control);
    become_table_and_back();
    EXPECT_TRUE(remembers_own(control));
}

// What another domain's entry allows no longer may be remembered, though the entry stays.
TEST_F(PageTypes, PermissionsThatOthersLostAreGoneBeforeAFrameIsATable) {
    const uint16_t about = guest.id().raw();
    ASSERT_EQ(control.update(control.pte_address(1), HostedDomain::entry(guest.mfn(0)), about), 0);
    ASSERT_TRUE(
        fakes::tlb().touch(control.cpu(), control.id(), control.vcpu().pv.kernel_root, CallDomain::va(1)));
    ASSERT_EQ(control.update(control.pte_address(1), HostedDomain::entry(guest.mfn(0), kReadOnly), about), 0);
    EXPECT_EQ(guest.mmuext(Command::kPinL1Table, guest.mfn(0).raw()), 0);
    expect_agreement();
    EXPECT_EQ(guest.mmuext(Command::kUnpinTable, guest.mfn(0).raw()), 0);
    EXPECT_EQ(control.update(control.pte_address(1), 0), 0);
}

// A translation that could only read harms no table, but the next owner's secrets.
TEST_F(PageTypes, ReadOnlyTranslationsOfOthersAreGoneBeforeTheNextOwner) {
    fakes::Tlb& tlb = fakes::tlb();
    const Mfn mfn = guest.mfn(0);
    const auto remembered = [&] {
        return std::ranges::count(tlb.entries(control.cpu()), mfn, &fakes::Translation::mfn);
    };
    ASSERT_EQ(control.update(control.pte_address(1), HostedDomain::entry(mfn, kReadOnly), guest.id().raw()),
              0);
    ASSERT_TRUE(tlb.touch(control.cpu(), control.id(), control.vcpu().pv.kernel_root, CallDomain::va(1)));
    ASSERT_EQ(control.update(control.pte_address(1), 0), 0);
    // A table in between takes what could write away, not this.
    ASSERT_EQ(guest.mmuext(Command::kPinL1Table, mfn.raw()), 0);
    ASSERT_EQ(guest.mmuext(Command::kUnpinTable, mfn.raw()), 0);
    ASSERT_EQ(remembered(), 1);
    ASSERT_TRUE(give_up_frame(guest.domain(), mfn).ok());
    while (frame_at(mfn).owner() != other.id())
        ASSERT_TRUE(allocate_domain_frames(other.domain(), 0).ok());
    EXPECT_EQ(remembered(), 0);
}

TEST_F(PageTypes, StaleTranslationsAreGoneBeforeAFrameHoldsDescriptors) {
    ASSERT_EQ(guest.update(guest.pte_address(0), HostedDomain::entry(guest.mfn(0))), 0);
    ASSERT_TRUE(fakes::tlb().touch(guest.cpu(), guest.id(), guest.vcpu().pv.kernel_root, CallDomain::va(0)));
    ASSERT_EQ(guest.update(guest.pte_address(0), 0), 0);
    const uint64_t list[] = {guest.mfn(0).raw()};
    EXPECT_EQ(guest.hypercall(abi::Hypercall::kSetGdt, {reinterpret_cast<uint64_t>(list), 512}), 0);
}

}  // namespace
}  // namespace torii::test
