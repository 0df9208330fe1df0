// Copies between a guest's grants and our own: a driver that grants pages of a file, and a hypervisor that
// copies.

#include "xen/copy_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <numeric>

namespace torii::dom0::test {
namespace {

using backend::GrantCopySegment;
using backend::GrantRef;
using backend::kGuestPageSize;

constexpr uint16_t kGuest = 7;
constexpr abi::RawGrantRef kFirstOwn = 5000;

// What the driver is asked with (public sys/gntalloc.h).
struct Allocation {
    uint16_t domid;
    uint16_t flags;
    uint32_t count;
    uint64_t index;
    uint32_t grefs[1];
};

class Calls final : public PrivilegedCalls {
public:
    explicit Calls(int file) : file_(file) {}

    int64_t call(abi::Hypercall number, const std::array<uint64_t, 5>& arguments) override {
        EXPECT_EQ(number, abi::Hypercall::kGrantTableOp);
        EXPECT_EQ(arguments[0], static_cast<uint64_t>(abi::GrantTableOp::kCopy));
        ++calls;
        if (fails) return -EFAULT;
        auto* const copies = reinterpret_cast<abi::GrantCopy*>(arguments[1]);
        EXPECT_GE(reinterpret_cast<std::byte*>(copies), buffer_.data());
        EXPECT_LE(reinterpret_cast<std::byte*>(copies + arguments[2]), buffer_.data() + buffer_.size());
        for (uint64_t i = 0; i < arguments[2]; ++i)
            copies[i].status = static_cast<int16_t>(carry_out(copies[i]));
        return 0;
    }
    OwnedMemory call_buffer(size_t bytes) override {
        buffer_.resize(bytes);
        return {buffer_, nullptr};
    }
    ForeignMapping map_frames(DomId, std::span<const uint64_t>) override { return {}; }
    ForeignMapping map_resource(DomId, abi::ResourceType, uint32_t, uint32_t, uint32_t) override {
        return {};
    }

    std::map<abi::RawGrantRef, std::vector<std::byte>> guest;
    unsigned calls = 0;
    unsigned copies = 0;
    bool fails = false;

private:
    abi::GrantStatus carry_out(const abi::GrantCopy& copy) {
        EXPECT_EQ(copy.flags, abi::kGrantCopySourceGref | abi::kGrantCopyDestGref);
        if (copy.source.offset + copy.len > kGuestPageSize || copy.dest.offset + copy.len > kGuestPageSize)
            return abi::GrantStatus::kBadCopyArg;
        const bool to_guest = copy.dest.domid == kGuest;
        const abi::GrantCopyPointer& theirs = to_guest ? copy.dest : copy.source;
        const abi::GrantCopyPointer& ours = to_guest ? copy.source : copy.dest;
        EXPECT_EQ(theirs.domid, kGuest);
        EXPECT_EQ(ours.domid, abi::kDomIdSelf);
        if (!guest.contains(theirs.u.ref)) return abi::GrantStatus::kBadGntref;
        std::byte* const memory = guest[theirs.u.ref].data() + theirs.offset;
        const off_t place = (ours.u.ref - kFirstOwn) * off_t{kGuestPageSize} + ours.offset;
        const ssize_t moved =
            to_guest ? ::pread(file_, memory, copy.len, place) : ::pwrite(file_, memory, copy.len, place);
        EXPECT_EQ(moved, copy.len);
        ++copies;
        return abi::GrantStatus::kOkay;
    }

    int file_;
    std::vector<std::byte> buffer_;
};

class Copies : public testing::Test {
protected:
    Copies() {
        for (abi::RawGrantRef gref = 1; gref <= 300; ++gref) {
            std::vector<std::byte>& page = calls.guest[gref];
            page.resize(kGuestPageSize);
            for (size_t i = 0; i < page.size(); ++i)
                page[i] = static_cast<std::byte>(gref * 7 + i);
        }
    }
    int control(unsigned long, void* argument) {
        auto& request = *static_cast<Allocation*>(argument);
        EXPECT_EQ(request.domid, 0);
        EXPECT_EQ(request.flags, 1);
        if (granted + request.count > limit) {
            errno = ENOSPC;
            return -1;
        }
        request.index = granted * kGuestPageSize;
        std::iota(request.grefs, request.grefs + request.count, kFirstOwn + granted);
        granted += request.count;
        EXPECT_EQ(::ftruncate(file, static_cast<off_t>(granted * kGuestPageSize)), 0);
        return 0;
    }

    const int file = ::memfd_create("pages", MFD_CLOEXEC);
    uint32_t granted = 0;
    uint32_t limit = 600;
    Calls calls{file};
    CopyPages pages{calls, backend::FileDescriptor(file),
                    [this](unsigned long request, void* argument) { return control(request, argument); }};
};

TEST_F(Copies, GoBothWaysAndEndWherePagesOfOursDo) {
    const auto memory = pages.take(4 * kGuestPageSize);
    ASSERT_EQ(memory.size(), 4 * kGuestPageSize);
    std::byte* const unaligned = memory.data() + 100;
    std::array<GrantCopySegment, 3> in{{{GrantRef(3), 0, 4096, unaligned},
                                        {GrantRef(4), 8, 200, unaligned + 4096},
                                        {GrantRef(5), 4095, 1, unaligned + 4296}}};
    ASSERT_TRUE(pages.copy(backend::DomId(kGuest), in));
    for (const GrantCopySegment& segment : in)
        EXPECT_EQ(segment.status, abi::GrantStatus::kOkay);
    EXPECT_EQ(calls.calls, 1u);
    EXPECT_EQ(calls.copies, 4u) << "one of them lies in two pages";
    EXPECT_EQ(std::memcmp(unaligned, calls.guest[3].data(), 4096), 0);
    EXPECT_EQ(std::memcmp(unaligned + 4096, calls.guest[4].data() + 8, 200), 0);
    EXPECT_EQ(unaligned[4296], calls.guest[5][4095]);
    std::array<GrantCopySegment, 1> out{{{GrantRef(9), 96, 4000, unaligned + 50, true}}};
    ASSERT_TRUE(pages.copy(backend::DomId(kGuest), out));
    EXPECT_EQ(std::memcmp(calls.guest[9].data() + 96, unaligned + 50, 4000), 0);
    EXPECT_EQ(calls.guest[9][95], static_cast<std::byte>(9 * 7 + 95));
}

TEST_F(Copies, MoreThanOneCallTakesAreAllCarriedOut) {
    const auto memory = pages.take(300 * kGuestPageSize);
    ASSERT_FALSE(memory.empty());
    std::vector<GrantCopySegment> segments;
    for (unsigned i = 0; i < 299; ++i)
        segments.push_back({GrantRef(i + 1), 0, 4096, memory.data() + i * kGuestPageSize + 1});
    ASSERT_TRUE(pages.copy(backend::DomId(kGuest), segments));
    EXPECT_EQ(calls.calls, 3u);
    for (unsigned i = 0; i < 299; ++i) {
        EXPECT_EQ(segments[i].status, abi::GrantStatus::kOkay);
        EXPECT_EQ(std::memcmp(segments[i].local, calls.guest[i + 1].data(), 4096), 0) << i;
    }
}

TEST_F(Copies, EachTellsItsOwnOutcome) {
    const auto memory = pages.take(2 * kGuestPageSize);
    std::array<GrantCopySegment, 4> segments{{{GrantRef(1000), 0, 4096, memory.data() + 1},
                                              {GrantRef(1), 0, 64, memory.data()},
                                              {GrantRef(2), 4000, 200, memory.data()},
                                              {GrantRef(2), 65535, 65535, memory.data()}}};
    segments[3].length = 4096;
    ASSERT_TRUE(pages.copy(backend::DomId(kGuest), segments));
    EXPECT_EQ(segments[0].status, abi::GrantStatus::kBadGntref);
    EXPECT_EQ(segments[1].status, abi::GrantStatus::kOkay);
    EXPECT_EQ(segments[2].status, abi::GrantStatus::kBadCopyArg);
    EXPECT_EQ(segments[3].status, abi::GrantStatus::kBadCopyArg);
    calls.fails = true;
    ASSERT_TRUE(pages.copy(backend::DomId(kGuest), segments));
    EXPECT_EQ(segments[1].status, abi::GrantStatus::kGeneralError);
}

TEST_F(Copies, OtherMemoryIsNotTouched) {
    std::array<std::byte, 100> elsewhere{};
    std::array<GrantCopySegment, 2> segments{{{GrantRef(1), 0, 100, elsewhere.data()}, {}}};
    EXPECT_FALSE(pages.copy(backend::DomId(kGuest), segments)) << "nothing was ever taken";
    const auto memory = pages.take(kGuestPageSize);
    segments = {{{GrantRef(1), 0, 100, memory.data()}, {GrantRef(1), 0, 100, elsewhere.data()}}};
    EXPECT_FALSE(pages.copy(backend::DomId(kGuest), segments));
    segments[1].local = memory.data() + kGuestPageSize - 50;  // and 50 beyond what was taken
    EXPECT_FALSE(pages.copy(backend::DomId(kGuest), segments));
    EXPECT_EQ(calls.calls, 0u);
}

TEST_F(Copies, WhatTheDriverRefusesIsNotGiven) {
    EXPECT_EQ(pages.take(256 * kGuestPageSize).size(), 256 * kGuestPageSize);
    EXPECT_EQ(pages.take(255 * kGuestPageSize).size(), 255 * kGuestPageSize);
    EXPECT_TRUE(pages.take(2 * kGuestPageSize).empty()) << "the driver gives 600";
    EXPECT_EQ(pages.take(kGuestPageSize).size(), kGuestPageSize) << "what there is goes on being given";
    limit = 100'000;
    size_t all = 512 * kGuestPageSize;
    while (!pages.take(kGuestPageSize).empty())
        all += kGuestPageSize;
    EXPECT_EQ(all, CopyPages::kMost);
}

TEST(CopyPages, WithoutADriverThereAreNone) {
    Calls calls(-1);
    CopyPages pages(calls, backend::FileDescriptor(), nullptr);
    EXPECT_TRUE(pages.take(kGuestPageSize).empty());
    GrantCopySegment segment;
    EXPECT_FALSE(pages.copy(backend::DomId(kGuest), {&segment, 1}));
}

}  // namespace
}  // namespace torii::dom0::test
