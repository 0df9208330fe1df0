// GNTTABOP_copy on whole domains; their frames lie above the direct map.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core/domain/domain.h"
#include "kit/call_domain.h"

namespace torii::test {
namespace {

using abi::GrantStatus;
using abi::GrantTableOp;

constexpr uint32_t kRef = 9;
constexpr int16_t raw(GrantStatus status) {
    return static_cast<int16_t>(status);
}

abi::GrantCopyPointer by_ref(DomId domain, uint32_t ref, uint16_t offset = 0) {
    abi::GrantCopyPointer end{};
    end.u.ref = ref;
    end.domid = domain.raw();
    end.offset = offset;
    return end;
}
abi::GrantCopyPointer by_frame(Mfn mfn, uint16_t offset = 0, uint16_t domain = abi::kDomIdSelf) {
    abi::GrantCopyPointer end{};
    end.u.gmfn = mfn.raw();
    end.domid = domain;
    end.offset = offset;
    return end;
}

class GrantCopyTest : public testing::Test {
protected:
    void SetUp() override {
        other.grant(kRef, caller.id(), other.mfn(0));
        other.grant(kRef + 1, caller.id(), other.mfn(1), abi::kGtfPermitAccess | abi::kGtfReadonly);
        for (uint32_t i = 0; i < 3; ++i) {
            caller.fill(i, static_cast<unsigned char>(0x10 + i));
            other.fill(i, static_cast<unsigned char>(0x20 + i));
        }
    }
    void TearDown() override {
        for (const CallDomain* domain : {&caller, &other}) {
            for (uint32_t i = 0; i < domain->frames(); ++i) {
                EXPECT_EQ(domain->frame(i).references(), 1u);
                EXPECT_EQ(domain->frame(i).type_word().count(), 0u);
            }
        }
        EXPECT_EQ(other.entry(kRef).flags, abi::kGtfPermitAccess);
    }

    int16_t copy(abi::GrantCopyPointer source, abi::GrantCopyPointer destination, uint16_t length,
                 uint16_t flags) {
        abi::GrantCopy element{source, destination, length, flags, 1, 0};
        EXPECT_EQ(caller.call(GrantTableOp::kCopy, element), 0);
        return element.status;
    }
    static unsigned char byte(const CallDomain& domain, uint32_t frame, unsigned at) {
        return fakes::machine().guest_view(domain.mfn(frame))[at];
    }

    CallDomain caller{1};
    CallDomain other{2};
};

TEST_F(GrantCopyTest, EachForm) {
    EXPECT_EQ(copy(by_ref(other.id(), kRef), by_frame(caller.mfn(0)), 4096, abi::kGrantCopySourceGref), 0);
    EXPECT_EQ(byte(caller, 0, 0), 0x20);
    EXPECT_EQ(byte(caller, 0, 4095), 0x20);
    EXPECT_EQ(copy(by_frame(caller.mfn(1), 10), by_ref(other.id(), kRef, 4000), 96, abi::kGrantCopyDestGref),
              0);
    EXPECT_EQ(byte(other, 0, 3999), 0x20);
    EXPECT_EQ(byte(other, 0, 4000), 0x11);
    EXPECT_EQ(byte(other, 0, 4095), 0x11);
    constexpr uint16_t kBoth = abi::kGrantCopySourceGref | abi::kGrantCopyDestGref;
    EXPECT_EQ(copy(by_ref(other.id(), kRef + 1), by_ref(other.id(), kRef), 1, kBoth), 0);
    EXPECT_EQ(byte(other, 0, 0), 0x21);
    EXPECT_EQ(byte(other, 0, 1), 0x20);
    EXPECT_EQ(copy(by_frame(caller.mfn(1)), by_frame(caller.mfn(2), 5), 7, 0), 0);
    EXPECT_EQ(byte(caller, 2, 4), 0x12);
    EXPECT_EQ(byte(caller, 2, 5), 0x11);
    EXPECT_EQ(byte(caller, 2, 12), 0x12);
    EXPECT_EQ(copy(by_frame(caller.mfn(1)), by_frame(caller.mfn(2)), 0, 0), 0);
}

// A grant to itself permits what one to another domain would.
TEST_F(GrantCopyTest, ByGrantsOfTheCallerToItself) {
    constexpr uint16_t kBoth = abi::kGrantCopySourceGref | abi::kGrantCopyDestGref;
    constexpr uint16_t kFrom = abi::kGrantCopySourceGref;
    constexpr uint16_t kTo = abi::kGrantCopyDestGref;
    const auto own = by_frame(caller.mfn(0));
    const auto mine = [&](uint32_t ref, uint16_t offset = 0) { return by_ref(caller.id(), ref, offset); };
    caller.grant(kRef, caller.id(), caller.mfn(1));
    caller.grant(kRef + 1, caller.id(), caller.mfn(2), abi::kGtfPermitAccess | abi::kGtfReadonly);
    EXPECT_EQ(copy(by_ref(other.id(), kRef), mine(kRef, 8), 16, kBoth), 0);
    EXPECT_EQ(byte(caller, 1, 7), 0x11);
    EXPECT_EQ(byte(caller, 1, 8), 0x20);
    EXPECT_EQ(byte(caller, 1, 24), 0x11);
    EXPECT_EQ(copy(by_ref(DomId(abi::kDomIdSelf), kRef + 1), by_ref(other.id(), kRef), 1, kBoth), 0);
    EXPECT_EQ(byte(other, 0, 0), 0x12);
    EXPECT_EQ(caller.entry(kRef).flags, abi::kGtfPermitAccess);
    EXPECT_EQ(caller.entry(kRef + 1).flags, abi::kGtfPermitAccess | abi::kGtfReadonly);

    EXPECT_EQ(copy(own, mine(kRef + 1), 8, kTo), raw(GrantStatus::kGeneralError)) << "read-only";
    EXPECT_EQ(copy(mine(kRef + 2), own, 8, kFrom), raw(GrantStatus::kGeneralError)) << "nothing granted";
    EXPECT_EQ(copy(mine(99'999), own, 8, kFrom), raw(GrantStatus::kBadGntref));
    caller.grant(kRef + 2, other.id(), caller.mfn(1));
    EXPECT_EQ(copy(mine(kRef + 2), own, 8, kFrom), raw(GrantStatus::kGeneralError)) << "another's grant";
    caller.grant(kRef + 2, caller.id(), caller.mfn(1), abi::kGtfPermitAccess | abi::kGtfSubPage);
    EXPECT_EQ(copy(mine(kRef + 2), own, 8, kFrom), raw(GrantStatus::kGeneralError)) << "part of a page";
    for (const Mfn foreign : {other.mfn(1), fakes::kFirstIoFrame, Mfn(0xffff'ffff)}) {
        caller.grant(kRef + 2, caller.id(), foreign);
        EXPECT_EQ(copy(mine(kRef + 2), own, 8, kFrom), raw(GrantStatus::kBadPage));
        EXPECT_EQ(copy(own, mine(kRef + 2), 8, kTo), raw(GrantStatus::kBadPage));
    }
    caller.grant(kRef + 2, caller.id(), caller.l1());
    EXPECT_EQ(copy(own, mine(kRef + 2), 8, kTo), raw(GrantStatus::kGeneralError)) << "a page table";
    EXPECT_EQ(copy(mine(kRef + 2), own, 8, kFrom), 0) << "may be read";
}

TEST_F(GrantCopyTest, WithinOnePage) {
    unsigned char* const page = fakes::machine().guest_view(caller.mfn(0));
    for (unsigned i = 0; i < 100; ++i)
        page[i] = static_cast<unsigned char>(i);
    EXPECT_EQ(copy(by_frame(caller.mfn(0)), by_frame(caller.mfn(0), 10), 50, 0), 0);
    EXPECT_EQ(page[10], 0);
    EXPECT_EQ(page[59], 49);
    EXPECT_EQ(copy(by_frame(caller.mfn(0)), by_frame(caller.mfn(0)), 4096, 0), 0);
    EXPECT_EQ(page[59], 49);
}

TEST_F(GrantCopyTest, Refusals) {
    const auto own = by_frame(caller.mfn(0));
    constexpr uint16_t kFrom = abi::kGrantCopySourceGref;
    constexpr uint16_t kTo = abi::kGrantCopyDestGref;
    EXPECT_EQ(copy(by_frame(caller.mfn(0), 1), own, 4096, 0), raw(GrantStatus::kBadCopyArg));
    EXPECT_EQ(copy(own, by_frame(caller.mfn(0), 4095), 2, 0), raw(GrantStatus::kBadCopyArg));
    EXPECT_EQ(copy(own, own, 0xffff, 0), raw(GrantStatus::kBadCopyArg));
    EXPECT_EQ(copy(by_frame(other.mfn(0), 0, 2), own, 8, 0), raw(GrantStatus::kPermissionDenied));
    EXPECT_EQ(copy(by_frame(other.mfn(0)), own, 8, 0), raw(GrantStatus::kBadPage));
    EXPECT_EQ(copy(own, by_frame(other.mfn(0)), 8, 0), raw(GrantStatus::kBadPage));
    EXPECT_EQ(copy(by_frame(fakes::kFirstIoFrame), own, 8, 0), raw(GrantStatus::kBadPage));
    EXPECT_EQ(copy(by_frame(Mfn(~uint64_t{0})), own, 8, 0), raw(GrantStatus::kBadPage));
    EXPECT_EQ(copy(own, by_frame(caller.l1()), 8, 0), raw(GrantStatus::kGeneralError)) << "a page table";
    EXPECT_EQ(copy(by_frame(caller.l1()), own, 8, 0), 0) << "may be read";
    EXPECT_EQ(copy(own, by_ref(other.id(), kRef + 1), 8, kTo), raw(GrantStatus::kGeneralError))
        << "read-only";
    EXPECT_EQ(copy(by_ref(other.id(), kRef + 2), own, 8, kFrom), raw(GrantStatus::kGeneralError))
        << "nothing granted";
    EXPECT_EQ(copy(by_ref(other.id(), 99'999), own, 8, kFrom), raw(GrantStatus::kBadGntref));
    EXPECT_EQ(copy(by_ref(DomId(77), kRef), own, 8, kFrom), raw(GrantStatus::kBadDomain));
    other.grant(kRef + 2, caller.id(), caller.mfn(1));
    EXPECT_EQ(copy(by_ref(other.id(), kRef + 2), own, 8, kFrom), raw(GrantStatus::kBadPage))
        << "not the granter's frame";
    other.grant(kRef + 2, caller.id(), other.l1());
    EXPECT_EQ(copy(own, by_ref(other.id(), kRef + 2), 8, kTo), raw(GrantStatus::kGeneralError))
        << "a page table";
    EXPECT_EQ(byte(other, 0, 0), 0x20);
}

// Each page is let go of when the next element names another, in each way in which it can be named.
TEST_F(GrantCopyTest, EachElementMayNameAnotherPage) {
    constexpr uint16_t kFrom = abi::kGrantCopySourceGref;
    constexpr uint16_t kTo = abi::kGrantCopyDestGref;
    const auto own = [&](uint32_t frame) { return by_frame(caller.mfn(frame)); };
    const auto theirs = [&](uint32_t ref) { return by_ref(other.id(), ref); };
    caller.grant(kRef, caller.id(), caller.mfn(1));
    caller.grant(kRef + 1, caller.id(), caller.mfn(2));
    other.grant(kRef + 2, caller.id(), other.mfn(2));
    const auto mine = [&](uint32_t ref) { return by_ref(caller.id(), ref); };
    std::vector<abi::GrantCopy> batch = {
        {theirs(kRef), own(0), 8, kFrom, 1, 0},
        {own(1), theirs(kRef), 8, kTo, 1, 0},
        {theirs(kRef + 1), mine(kRef), 8, kFrom | kTo, 1, 0},
        {own(2), own(0), 8, 0, 1, 0},
        {mine(kRef), own(2), 8, kFrom, 1, 0},
        {mine(kRef + 1), theirs(kRef + 2), 8, kFrom | kTo, 1, 0},
        {theirs(kRef + 7), own(1), 8, kFrom, 1, 0},
        {theirs(kRef), theirs(kRef), 8, kFrom | kTo, 1, 0},
        {own(0), mine(kRef + 1), 8, kTo, 1, 0},
        {own(1), own(1), 8, 0, 1, 0},
    };
    const std::vector<abi::GrantCopy> there_and_back(batch.rbegin(), batch.rend());
    batch.insert(batch.end(), there_and_back.begin(), there_and_back.end());
    EXPECT_EQ(caller.call(GrantTableOp::kCopy, batch.data(), batch.size()), 0);
    for (const abi::GrantCopy& element : batch)
        EXPECT_EQ(element.status, element.source.u.ref == kRef + 7 ? raw(GrantStatus::kGeneralError) : 0);
    for (const uint32_t ref : {kRef, kRef + 1})
        EXPECT_EQ(caller.entry(ref).flags, abi::kGtfPermitAccess);
    EXPECT_EQ(other.entry(kRef + 1).flags, abi::kGtfPermitAccess | abi::kGtfReadonly);
    EXPECT_EQ(other.entry(kRef + 2).flags, abi::kGtfPermitAccess);
}

// A batch longer than one call's worth, with errors among it: each element has its own status, and a failed
// one doesn't end those behind it.
TEST_F(GrantCopyTest, LongBatchesGoOnAfterABreak) {
    std::mt19937 random(3);
    std::vector<abi::GrantCopy> batch;
    std::vector<unsigned char> expected(4096, 0x10);
    for (unsigned i = 0; i < 700; ++i) {
        const bool good = random() % 4 != 0;
        const auto offset = static_cast<uint16_t>(random() % 4000);
        const auto length = static_cast<uint16_t>(random() % 96);
        batch.push_back({by_ref(other.id(), good ? kRef : kRef + 5), by_frame(caller.mfn(0), offset), length,
                         abi::kGrantCopySourceGref, 1, 0});
        if (good) memset(expected.data() + offset, 0x20, length);
    }
    EXPECT_EQ(caller.call(GrantTableOp::kCopy, batch.data(), batch.size()), 0);
    EXPECT_EQ(caller.restarts, 2u);
    for (const abi::GrantCopy& element : batch)
        EXPECT_EQ(element.status, element.source.u.ref == kRef ? 0 : raw(GrantStatus::kGeneralError));
    EXPECT_EQ(memcmp(fakes::machine().guest_view(caller.mfn(0)), expected.data(), expected.size()), 0);
}

// The granter dies in the middle of a life: copies from it are refused, nothing of it stays.
TEST(GrantCopyLife, ADyingGranterGivesNothing) {
    CallDomain caller(1);
    abi::GrantCopy element{
        by_ref(DomId(2), kRef), by_frame(caller.mfn(0)), 8, abi::kGrantCopySourceGref, 1, 0};
    {
        CallDomain other(2);
        other.grant(kRef, caller.id(), other.mfn(0));
        EXPECT_EQ(caller.call(GrantTableOp::kCopy, element), 0);
        EXPECT_EQ(element.status, 0);
        // Somebody still looks at a frame of it.
        get_frame_again(other.frame(3));
        Frame& held = other.frame(3);
        other.destroy();
        EXPECT_EQ(caller.call(GrantTableOp::kCopy, element), 0);
        EXPECT_EQ(element.status, raw(GrantStatus::kBadDomain));
        put_frame(held);
    }
    EXPECT_EQ(find_domain(DomId(2)), nullptr);
}

}  // namespace
}  // namespace torii::test
