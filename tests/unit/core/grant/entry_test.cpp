// The protocol over one entry, with guests that keep to it and guests that don't.
#include "core/grant/entry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace torii::test {
namespace {

using abi::GrantStatus;

constexpr DomId kUser{7};

SharedGrantEntry entry_of(uint16_t flags, DomId user = kUser, uint32_t frame = 1234) {
    return {uint32_t{user.raw()} << 16 | flags, frame};
}

uint16_t flags_of(const SharedGrantEntry& entry) {
    return static_cast<uint16_t>(__atomic_load_n(&entry.flags_and_domid, __ATOMIC_RELAXED));
}

TEST(GrantEntry, MarksWhatIsPermitted) {
    struct Row {
        uint16_t flags;
        bool read;
        bool write;
    };
    constexpr Row kRows[] = {
        {abi::kGtfInvalid, false, false},
        {abi::kGtfPermitAccess, true, true},
        {abi::kGtfPermitAccess | abi::kGtfReadonly, true, false},
        {abi::kGtfAcceptTransfer, false, false},
        {abi::kGtfTransitive, false, false},
        {abi::kGtfPermitAccess | abi::kGtfReading | abi::kGtfWriting, true, true},
        {abi::kGtfPermitAccess | abi::kGtfPwt, false, false},
        {abi::kGtfPermitAccess | abi::kGtfPcd, false, false},
        {abi::kGtfPermitAccess | abi::kGtfPat, false, false},
        {abi::kGtfPermitAccess | abi::kGtfSubPage, false, false},
    };
    for (const Row& row : kRows) {
        SharedGrantEntry entry = entry_of(row.flags);
        EXPECT_EQ(mark_entry(entry, kUser, GrantAccess::kRead) == GrantStatus::kOkay, row.read) << row.flags;
        EXPECT_EQ(flags_of(entry), row.read ? row.flags | abi::kGtfReading : row.flags);
        entry = entry_of(row.flags);
        EXPECT_EQ(mark_entry(entry, kUser, GrantAccess::kWrite) == GrantStatus::kOkay, row.write)
            << row.flags;
        EXPECT_EQ(flags_of(entry), row.write ? row.flags | abi::kGtfReading | abi::kGtfWriting : row.flags);
        entry = entry_of(row.flags, DomId(8));
        EXPECT_NE(mark_entry(entry, kUser, GrantAccess::kRead), GrantStatus::kOkay);
        EXPECT_EQ(flags_of(entry), row.flags);
    }
}

TEST(GrantEntry, ClearsOnlyItsMarks) {
    SharedGrantEntry entry = entry_of(0xffff);
    clear_marks(entry, abi::kGtfWriting);
    EXPECT_EQ(flags_of(entry), 0xffff & ~abi::kGtfWriting);
    EXPECT_EQ(entry.flags_and_domid >> 16, kUser.raw());
    EXPECT_EQ(entry.frame, 1234u);
}

TEST(GrantEntry, TransferNeedsExactlyItsFlag) {
    for (unsigned flags = 0; flags < 0x200; ++flags) {
        SharedGrantEntry entry = entry_of(static_cast<uint16_t>(flags));
        const bool accepted = commit_transfer(entry, kUser) == GrantStatus::kOkay;
        EXPECT_EQ(accepted, flags == abi::kGtfAcceptTransfer);
        EXPECT_EQ(flags_of(entry), accepted ? flags | abi::kGtfTransferCommitted : flags);
    }
    SharedGrantEntry entry = entry_of(abi::kGtfAcceptTransfer);
    EXPECT_EQ(commit_transfer(entry, DomId(8)), GrantStatus::kBadGntref);
    ASSERT_EQ(commit_transfer(entry, kUser), GrantStatus::kOkay);
    EXPECT_EQ(commit_transfer(entry, kUser), GrantStatus::kBadGntref);
    complete_transfer(entry, Mfn(99));
    EXPECT_EQ(flags_of(entry),
              abi::kGtfAcceptTransfer | abi::kGtfTransferCommitted | abi::kGtfTransferCompleted);
    EXPECT_EQ(entry.frame, 99u);
}

// A guest that keeps to the protocol grants frame 1000 + n to domain n, takes it back when it is not in use,
// and grants the next. Whoever gets a mark must see the frame that goes with its id.
TEST(GrantEntry, MarkAndFrameBelongTogether) {
    SharedGrantEntry entry = entry_of(abi::kGtfInvalid);
    std::atomic<bool> stop{false};
    std::thread guest([&] {
        uint16_t next = 0;
        while (!stop) {
            next = next % 2 + 1;
            __atomic_store_n(&entry.frame, 1000 + next, __ATOMIC_RELAXED);
            uint32_t word = uint32_t{next} << 16 | abi::kGtfPermitAccess;
            __atomic_store_n(&entry.flags_and_domid, word, __ATOMIC_RELEASE);
            uint32_t seen = word;
            while (!__atomic_compare_exchange_n(&entry.flags_and_domid, &seen, 0, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_RELAXED)) {
                seen = word;
                std::this_thread::yield();
            }
        }
    });
    unsigned marked = 0;
    unsigned wrong = 0;
    for (unsigned attempt = 0; attempt < 20'000'000 && marked < 50'000; ++attempt) {
        const DomId user(static_cast<uint16_t>(attempt % 2 + 1));
        if (mark_entry(entry, user, GrantAccess::kWrite) != GrantStatus::kOkay) {
            if (attempt % 64 == 0) std::this_thread::yield();
            continue;
        }
        ++marked;
        wrong += marked_frame(entry) != Mfn(1000u + user.raw());
        clear_marks(entry, abi::kGtfReading | abi::kGtfWriting);
    }
    stop = true;
    guest.join();
    EXPECT_GT(marked, 500u);
    EXPECT_EQ(wrong, 0u);
}

// A guest that writes garbage all the time gets marks set and cleared in garbage, and costs bounded time.
TEST(GrantEntry, GarbageEndsInAnAnswer) {
    SharedGrantEntry entry = entry_of(abi::kGtfPermitAccess);
    std::atomic<bool> stop{false};
    std::thread guest([&] {
        std::minstd_rand random(1);
        while (!stop)
            __atomic_store_n(&entry.flags_and_domid, static_cast<uint32_t>(random()), __ATOMIC_RELAXED);
    });
    for (unsigned i = 0; i < 200'000; ++i) {
        const GrantStatus status = mark_entry(entry, kUser, GrantAccess::kRead);
        EXPECT_TRUE(status == GrantStatus::kOkay || status == GrantStatus::kGeneralError);
        (void)commit_transfer(entry, kUser);
        clear_marks(entry, abi::kGtfReading);
    }
    stop = true;
    guest.join();
}

}  // namespace
}  // namespace torii::test
