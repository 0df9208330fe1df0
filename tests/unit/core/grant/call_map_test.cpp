// GNTTABOP_map_grant_ref, unmap_grant_ref and unmap_and_replace on whole domains.
#include <gtest/gtest.h>
#include <torii/abi/mmu.h>

#include "core/domain/domain.h"
#include "core/memory/allocator.h"
#include "fakes/fake_platform.h"
#include "kit/call_domain.h"

namespace torii::test {
namespace {

using abi::GrantStatus;
using abi::GrantTableOp;

constexpr int16_t kOkay = 0;
constexpr uint32_t kRef = 9;
constexpr uint16_t kInUse = abi::kGtfReading | abi::kGtfWriting;

constexpr int16_t raw(GrantStatus status) {
    return static_cast<int16_t>(status);
}

class GrantMapTest : public testing::Test {
protected:
    void SetUp() override { granter.grant(kRef, mapper.id(), granter.mfn(0)); }

    // Neither references nor marks are left of any map.
    void expect_unused() const {
        EXPECT_EQ(granter.frame(0).references(), 1u);
        EXPECT_EQ(granter.frame(0).type_word().count(), 0u);
        EXPECT_EQ(granter.entry(kRef).flags & kInUse, 0);
        EXPECT_EQ(mapper.domain().grants.handles.in_use(), 0u);
    }

    CallDomain granter{1};
    CallDomain mapper{2};
};

TEST_F(GrantMapTest, MapsAtALinearAddress) {
    const abi::GrantMap done = mapper.map(granter.id(), kRef, mapper.va(3));
    ASSERT_EQ(done.status, kOkay);
    EXPECT_EQ(done.dev_bus_addr, address_of(granter.mfn(0)).raw()) << "Linux needs it for host maps too";
    const pv::Pte pte = mapper.pte(3);
    EXPECT_TRUE(pte.present() && pte.writable());
    EXPECT_EQ(pte.mfn(), granter.mfn(0));
    // The owner's reference, the entry's and the pin's; both of the latter for writing.
    EXPECT_EQ(granter.frame(0).references(), 3u);
    EXPECT_EQ(granter.frame(0).type_word().count(), 2u);
    EXPECT_EQ(granter.entry(kRef).flags, abi::kGtfPermitAccess | kInUse);

    const uint64_t flushes = fakes::machine().counts.full_flushes;
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(3)), kOkay);
    EXPECT_EQ(fakes::machine().counts.full_flushes, flushes + 1);
    EXPECT_EQ(mapper.pte(3).raw, 0u);
    expect_unused();
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(3)), raw(GrantStatus::kBadHandle));
}

TEST_F(GrantMapTest, MapsAtAnEntryAsGntdevDoes) {
    constexpr uint32_t kSpecial = 1u << abi::kGrantMapAvailShift;
    constexpr uint32_t kFlags =
        abi::kGrantMapHost | abi::kGrantMapContainsPte | abi::kGrantMapApplication | kSpecial;
    const abi::GrantMap user = mapper.map(granter.id(), kRef, mapper.pte_address(5), kFlags);
    const abi::GrantMap kernel = mapper.map(granter.id(), kRef, mapper.va(6));
    ASSERT_EQ(user.status, kOkay);
    ASSERT_EQ(kernel.status, kOkay);
    EXPECT_EQ(mapper.pte(5).mfn(), granter.mfn(0));
    EXPECT_EQ(mapper.pte(5).raw & pv::kPteSoftwareLow, uint64_t{1} << 9);
    EXPECT_EQ(mapper.pte(6).raw & pv::kPteSoftwareLow, 0u);
    EXPECT_EQ(mapper.unmap(user.handle, mapper.va(5)), raw(GrantStatus::kBadVirtAddr))
        << "it was mapped by entry";
    EXPECT_EQ(mapper.unmap(user.handle, mapper.pte_address(5)), kOkay);
    EXPECT_EQ(mapper.unmap(kernel.handle, mapper.pte_address(6)), raw(GrantStatus::kBadVirtAddr));
    EXPECT_EQ(mapper.unmap(kernel.handle, mapper.va(6)), kOkay);
    expect_unused();
}

TEST_F(GrantMapTest, ReadOnlyMapsTakeNoType) {
    granter.grant(kRef, mapper.id(), granter.mfn(0), abi::kGtfPermitAccess | abi::kGtfReadonly);
    EXPECT_EQ(mapper.map(granter.id(), kRef, mapper.va(0)).status, raw(GrantStatus::kGeneralError));
    expect_unused();
    const abi::GrantMap done =
        mapper.map(granter.id(), kRef, mapper.va(0), abi::kGrantMapHost | abi::kGrantMapReadonly);
    ASSERT_EQ(done.status, kOkay);
    EXPECT_FALSE(mapper.pte(0).writable());
    EXPECT_EQ(granter.frame(0).type_word().count(), 0u);
    // The guest can't make its entry writable, nor copy it elsewhere.
    EXPECT_FALSE(mapper.write_pte(0, pv::Pte{mapper.pte(0).raw | pv::kPteWrite}).ok());
    EXPECT_FALSE(mapper.write_pte(1, mapper.pte(0)).ok());
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    expect_unused();
}

TEST_F(GrantMapTest, RefusalsChangeNothing) {
    const uint64_t outside = mapper.va(0) + (uint64_t{1} << 30);
    const auto status = [&](uint16_t domain, uint32_t ref, uint64_t address, uint32_t flags) {
        return mapper.map(DomId(domain), ref, address, flags).status;
    };
    constexpr uint32_t kHost = abi::kGrantMapHost;
    constexpr uint32_t kByEntry = kHost | abi::kGrantMapContainsPte;
    const uint16_t there = granter.id().raw();
    EXPECT_EQ(status(there, kRef, mapper.va(0), 0), raw(GrantStatus::kBadGntref))
        << "neither host nor device";
    EXPECT_EQ(status(77, kRef, mapper.va(0), kHost), raw(GrantStatus::kBadDomain));
    EXPECT_EQ(status(abi::kDomIdXen, kRef, mapper.va(0), kHost), raw(GrantStatus::kBadDomain));
    EXPECT_EQ(status(there, 100'000, mapper.va(0), kHost), raw(GrantStatus::kBadGntref));
    EXPECT_EQ(status(there, kRef + 1, mapper.va(0), kHost), raw(GrantStatus::kGeneralError))
        << "nothing granted";
    EXPECT_EQ(status(there, kRef, outside, kHost), raw(GrantStatus::kGeneralError)) << "no table there";
    EXPECT_EQ(status(there, kRef, abi::kHypervisorVirtStart, kHost), raw(GrantStatus::kGeneralError));
    EXPECT_EQ(status(there, kRef, 0x8000'0000'0000, kHost), raw(GrantStatus::kGeneralError))
        << "not canonical";
    EXPECT_EQ(status(there, kRef, granter.pte_address(0), kByEntry), raw(GrantStatus::kGeneralError))
        << "another's table";
    EXPECT_EQ(status(there, kRef, address_of(mapper.mfn(0)).raw(), kByEntry),
              raw(GrantStatus::kGeneralError));
    EXPECT_EQ(status(there, kRef, address_of(mapper.vcpu().pv.kernel_root).raw(), kByEntry),
              raw(GrantStatus::kGeneralError))
        << "an L4";
    EXPECT_EQ(status(there, kRef, mapper.pte_address(0) + 4, kByEntry), raw(GrantStatus::kGeneralError));
    EXPECT_EQ(status(there, kRef, ~uint64_t{7}, kByEntry), raw(GrantStatus::kGeneralError));
    EXPECT_EQ(mapper.pte(0).raw, 0u);
    expect_unused();
}

TEST_F(GrantMapTest, PageTablesAreNotMappedWritable) {
    granter.grant(kRef, mapper.id(), granter.l1());
    const uint64_t before = frame_at(granter.l1()).references();
    EXPECT_EQ(mapper.map(granter.id(), kRef, mapper.va(0)).status, raw(GrantStatus::kGeneralError));
    EXPECT_EQ(frame_at(granter.l1()).references(), before);
    const abi::GrantMap done =
        mapper.map(granter.id(), kRef, mapper.va(0), abi::kGrantMapHost | abi::kGrantMapReadonly);
    EXPECT_EQ(done.status, kOkay);
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    EXPECT_EQ(frame_at(granter.l1()).references(), before);
}

TEST_F(GrantMapTest, DeviceAndHostPartsEndApart) {
    const abi::GrantMap done =
        mapper.map(granter.id(), kRef, mapper.va(0), abi::kGrantMapHost | abi::kGrantMapDevice);
    ASSERT_EQ(done.status, kOkay);
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0), 4096), raw(GrantStatus::kBadDevAddr));
    EXPECT_TRUE(mapper.pte(0).present());
    EXPECT_EQ(mapper.unmap(done.handle, 0, 0), kOkay) << "nothing named, nothing ended";
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    EXPECT_EQ(granter.entry(kRef).flags & kInUse, kInUse) << "devices still write";
    EXPECT_EQ(granter.frame(0).type_word().count(), 1u);
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), raw(GrantStatus::kBadVirtAddr));
    EXPECT_EQ(mapper.unmap(done.handle, 0, done.dev_bus_addr), kOkay);
    expect_unused();
}

TEST_F(GrantMapTest, AMapReplacesWhatWasThere) {
    ASSERT_TRUE(
        mapper.write_pte(0, pv::Pte{address_of(mapper.mfn(0)).raw() | pv::kPtePresent | pv::kPteWrite}).ok());
    EXPECT_EQ(mapper.frame(0).references(), 2u);
    const abi::GrantMap done = mapper.map(granter.id(), kRef, mapper.va(0));
    ASSERT_EQ(done.status, kOkay);
    EXPECT_EQ(mapper.frame(0).references(), 1u);
    EXPECT_EQ(mapper.frame(0).type_word().count(), 0u);
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    expect_unused();
}

// The guest may write its page tables as it likes: counts stay right, and the pin stays until the unmap.
TEST_F(GrantMapTest, AnEntryThatTheGuestClearedItself) {
    const abi::GrantMap done = mapper.map(granter.id(), kRef, mapper.va(0));
    ASSERT_TRUE(mapper.write_pte(0, pv::Pte{}).ok());
    EXPECT_EQ(granter.frame(0).references(), 2u);
    EXPECT_EQ(granter.frame(0).type_word().count(), 1u) << "stale translations may still write";
    EXPECT_EQ(granter.entry(kRef).flags & kInUse, kInUse);
    const uint64_t flushes = fakes::machine().counts.full_flushes;
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    EXPECT_GT(fakes::machine().counts.full_flushes, flushes);
    expect_unused();
}

// And what it put there instead is its own business.
TEST_F(GrantMapTest, AnEntryThatTheGuestReplacedItself) {
    const abi::GrantMap done = mapper.map(granter.id(), kRef, mapper.va(0));
    const uint64_t own = address_of(mapper.mfn(0)).raw() | pv::kPtePresent | pv::kPteUser;
    ASSERT_TRUE(mapper.write_pte(0, pv::Pte{own}).ok());
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    EXPECT_EQ(mapper.pte(0).raw, own);
    expect_unused();
}

TEST_F(GrantMapTest, TwoMapsAtOnePlace) {
    const abi::GrantMap first = mapper.map(granter.id(), kRef, mapper.va(0));
    const abi::GrantMap second = mapper.map(granter.id(), kRef, mapper.va(0));
    ASSERT_EQ(second.status, kOkay);
    EXPECT_EQ(granter.frame(0).references(), 4u) << "owner, two pins, one entry";
    EXPECT_EQ(mapper.unmap(first.handle, mapper.va(0)), kOkay);
    EXPECT_FALSE(mapper.pte(0).present());
    EXPECT_EQ(mapper.unmap(second.handle, mapper.va(0)), kOkay);
    expect_unused();
}

TEST_F(GrantMapTest, ADomainMapsItsOwnGrant) {
    mapper.grant(kRef, mapper.id(), mapper.mfn(2));
    const abi::GrantMap done = mapper.map(DomId(abi::kDomIdSelf), kRef, mapper.va(0));
    ASSERT_EQ(done.status, kOkay);
    EXPECT_EQ(mapper.pte(0).mfn(), mapper.mfn(2));
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    EXPECT_EQ(mapper.frame(2).references(), 1u);
}

TEST_F(GrantMapTest, HandlesRunOut) {
    const DomainLimits limits{1, 64, 1, 1};
    CallDomain poor(5, false, limits);
    granter.grant(kRef, poor.id(), granter.mfn(0));
    std::vector<abi::GrantMap> elements(300, abi::GrantMap{0, abi::kGrantMapDevice, kRef, 1, 0, 0, 0});
    EXPECT_EQ(poor.call(GrantTableOp::kMapGrantRef, elements.data(), elements.size()), 0);
    EXPECT_EQ(poor.restarts, 1u) << "more than one call's worth";
    for (unsigned i = 0; i < elements.size(); ++i)
        EXPECT_EQ(elements[i].status, i < kMappingsPerFrame ? kOkay : raw(GrantStatus::kNoSpace)) << i;
    std::vector<abi::GrantUnmap> endings;
    for (unsigned i = 0; i < kMappingsPerFrame; ++i)
        endings.push_back({0, elements[i].dev_bus_addr, elements[i].handle, 1, 0});
    EXPECT_EQ(poor.call(GrantTableOp::kUnmapGrantRef, endings.data(), endings.size()), 0);
    for (const abi::GrantUnmap& ending : endings)
        EXPECT_EQ(ending.status, kOkay);
    expect_unused();
}

TEST_F(GrantMapTest, OneFlushForABatch) {
    std::vector<abi::GrantMap> maps;
    for (unsigned i = 0; i < 32; ++i)
        maps.push_back({mapper.va(i), abi::kGrantMapHost, kRef, 1, 1, 0, 0});
    EXPECT_EQ(mapper.call(GrantTableOp::kMapGrantRef, maps.data(), maps.size()), 0);
    std::vector<abi::GrantUnmap> endings;
    for (const abi::GrantMap& map : maps)
        endings.push_back({map.host_addr, 0, map.handle, 1, 0});
    const uint64_t flushes = fakes::machine().counts.full_flushes;
    EXPECT_EQ(mapper.call(GrantTableOp::kUnmapGrantRef, endings.data(), endings.size()), 0);
    EXPECT_EQ(fakes::machine().counts.full_flushes, flushes + 1);
    expect_unused();
}

// The array can't be written back: the guest doesn't learn its handles, so the maps are undone.
TEST_F(GrantMapTest, AFaultLeavesNothingMapped) {
    abi::GrantMap element{mapper.va(0), abi::kGrantMapHost | abi::kGrantMapDevice, kRef, 1, 1, 0, 0};
    {
        const fakes::FaultingRange faulting(&element, sizeof(element), fakes::FaultingRange::Kind::kWrites);
        EXPECT_EQ(mapper.call(GrantTableOp::kMapGrantRef, element), abi::negated(Errno::kEFAULT));
    }
    EXPECT_FALSE(mapper.pte(0).present());
    expect_unused();
    const fakes::FaultingRange faulting(&element, sizeof(element), fakes::FaultingRange::Kind::kAll);
    EXPECT_EQ(mapper.call(GrantTableOp::kMapGrantRef, element), abi::negated(Errno::kEFAULT));
    EXPECT_EQ(mapper.call(GrantTableOp::kMapGrantRef, nullptr, 0), 0);
    EXPECT_EQ(mapper.call(GrantTableOp::kMapGrantRef, nullptr, 0x8000'0000), abi::negated(Errno::kEINVAL));
}

TEST_F(GrantMapTest, UnmapAndReplaceMovesAnEntry) {
    const abi::GrantMap done = mapper.map(granter.id(), kRef, mapper.va(0));
    const uint64_t own = address_of(mapper.mfn(0)).raw() | pv::kPtePresent | pv::kPteWrite | pv::kPteUser;
    ASSERT_TRUE(mapper.write_pte(1, pv::Pte{own}).ok());
    abi::GrantUnmapAndReplace element{mapper.va(0), mapper.va(1), done.handle, 1, 0};
    EXPECT_EQ(mapper.call(GrantTableOp::kUnmapAndReplace, element), 0);
    EXPECT_EQ(element.status, kOkay);
    EXPECT_EQ(mapper.pte(0).raw, own);
    EXPECT_EQ(mapper.pte(1).raw, 0u);
    EXPECT_EQ(mapper.frame(0).references(), 2u);
    expect_unused();
}

// A grant's entry can't be moved away from the place that its handle records.
TEST_F(GrantMapTest, UnmapAndReplaceMovesNoGrant) {
    granter.grant(kRef + 1, mapper.id(), granter.mfn(1));
    const abi::GrantMap first = mapper.map(granter.id(), kRef, mapper.va(0));
    const abi::GrantMap second = mapper.map(granter.id(), kRef + 1, mapper.va(1));
    abi::GrantUnmapAndReplace element{mapper.va(0), mapper.va(1), first.handle, 1, 0};
    EXPECT_EQ(mapper.call(GrantTableOp::kUnmapAndReplace, element), 0);
    EXPECT_EQ(element.status, raw(GrantStatus::kGeneralError));
    EXPECT_EQ(mapper.pte(1).mfn(), granter.mfn(1));
    EXPECT_EQ(mapper.unmap(second.handle, mapper.va(1)), kOkay);
    EXPECT_EQ(mapper.unmap(first.handle, mapper.va(0)), kOkay);
    expect_unused();
}

// --- the ends of domains ---

TEST(GrantLife, ADyingMapperGivesBackWhatItMapped) {
    CallDomain granter(1);
    granter.grant(kRef, DomId(2), granter.mfn(0));
    {
        CallDomain mapper(2);
        ASSERT_EQ(mapper.map(granter.id(), kRef, mapper.va(0)).status, kOkay);
        ASSERT_EQ(mapper.map(granter.id(), kRef, mapper.va(1), abi::kGrantMapDevice).status, kOkay);
        EXPECT_EQ(granter.frame(0).references(), 4u);
    }
    EXPECT_EQ(find_domain(DomId(2)), nullptr);
    EXPECT_EQ(granter.frame(0).references(), 1u);
    EXPECT_EQ(granter.frame(0).type_word().count(), 0u);
    EXPECT_EQ(granter.entry(kRef).flags, abi::kGtfPermitAccess);
}

TEST(GrantLife, ADyingGranterStaysUntilTheLastUnmap) {
    CallDomain mapper(2);
    const uint64_t free_before = free_frame_count();
    Mfn mapped{};
    abi::GrantMap done{};
    {
        CallDomain granter(1);
        mapped = granter.mfn(0);
        granter.fill(0, 0x5c);
        granter.grant(kRef, mapper.id(), mapped);
        done = mapper.map(granter.id(), kRef, mapper.va(0));
        ASSERT_EQ(done.status, kOkay);
    }
    {
        const DomainRef dying(find_domain(DomId(1)));
        ASSERT_TRUE(dying);
        EXPECT_EQ(create_domain(DomId(1), {}, false).error(), Errno::kEEXIST);
        EXPECT_EQ(dying->frame_count, 1u);
    }
    EXPECT_EQ(fakes::machine().guest_view(mapped)[100], 0x5c) << "its user still sees it";
    EXPECT_EQ(mapper.map(DomId(1), kRef, mapper.va(1)).status, raw(GrantStatus::kBadDomain)) << "no new maps";
    EXPECT_EQ(mapper.unmap(done.handle, mapper.va(0)), kOkay);
    EXPECT_EQ(find_domain(DomId(1)), nullptr);
    EXPECT_NEAR(static_cast<double>(free_frame_count()), static_cast<double>(free_before), 2)
        << "slabs may grow";
}

}  // namespace
}  // namespace torii::test
