// One entry of a grant table, in memory that its owner writes at any instant (public grant_table.h, struct
// grant_entry_v1).
//
// The guest's side of the protocol: fill in domid and frame, then set the flags; to take a grant back,
// compare and exchange the flags to zero while neither "reading" nor "writing" is set. So the hypervisor
//   - decides on one reading of flags and domid together, and makes the decision stick by exchanging exactly
//   that
//     reading for one with its marks added: whoever was first, wins;
//   - reads the frame number after its mark is set, once: before, the guest may rightly change it.
#pragma once

#include <torii/abi/grant_table.h>

#include "base/frame.h"
#include "base/ids.h"
#include "base/once.h"

namespace torii {

// An entry as the hypervisor touches it: flags and domid are one word.
struct alignas(8) SharedGrantEntry {
    uint32_t flags_and_domid;
    uint32_t frame;
};
static_assert(sizeof(SharedGrantEntry) == sizeof(abi::GrantEntryV1));

inline constexpr uint32_t kGrantEntriesPerFrame = kPageSize / sizeof(SharedGrantEntry);

enum class GrantAccess : uint8_t { kRead, kWrite };

// Whether an entry whose flags and domid are `word` lets `user` have that access.
[[nodiscard]] inline bool permits(uint32_t word, DomId user, GrantAccess access) {
    // Cache attributes other than RAM's own would make aliases with different attributes: refused.
    constexpr uint32_t kMustMatch =
        abi::kGtfTypeMask | abi::kGtfPwt | abi::kGtfPcd | abi::kGtfPat | abi::kGtfSubPage;
    // One comparison for all: type, attributes, domid, and for writing that the grant is not read-only.
    const uint32_t must_match =
        kMustMatch | (access == GrantAccess::kWrite ? abi::kGtfReadonly : 0) | uint32_t{0xffff} << 16;
    return (word & must_match) == (abi::kGtfPermitAccess | uint32_t{user.raw()} << 16);
}

// Marks the entry as read (and written) by `user`, if it permits that. kGeneralError: it doesn't, or it
// changed at every attempt.
[[nodiscard]] inline abi::GrantStatus mark_entry(SharedGrantEntry& entry, DomId user, GrantAccess access) {
    // An honest guest changes an entry once while we look at it; one that keeps changing it gets an error,
    // not our time.
    constexpr unsigned kAttempts = 8;
    const uint32_t marks =
        access == GrantAccess::kWrite ? abi::kGtfReading | abi::kGtfWriting : abi::kGtfReading;
    uint32_t seen = read_once(entry.flags_and_domid);
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
        if (!permits(seen, user, access)) [[unlikely]]
            break;
        // Also when the marks are there already: only an exchange shows that the entry still says what was
        // read.
        if (__atomic_compare_exchange_n(&entry.flags_and_domid, &seen, seen | marks, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) [[likely]]
            return abi::GrantStatus::kOkay;
    }
    return abi::GrantStatus::kGeneralError;
}

// The frame of an entry that carries our mark.
[[nodiscard]] inline Mfn marked_frame(const SharedGrantEntry& entry) {
    return Mfn(read_once(entry.frame));
}

// Takes marks (kGtfReading, kGtfWriting) away again. All accesses made under them are done before.
inline void clear_marks(SharedGrantEntry& entry, uint16_t marks) {
    __atomic_fetch_and(&entry.flags_and_domid, ~uint32_t{marks}, __ATOMIC_RELEASE);
}

// Commits to a transfer from `from` into this entry: from here on the guest waits for `complete_transfer`.
// kBadGntref: the entry doesn't accept one from there.
[[nodiscard]] abi::GrantStatus commit_transfer(SharedGrantEntry& entry, DomId from);
// The frame has arrived, or won't: the guest's wait is over.
void complete_transfer(SharedGrantEntry& entry, Mfn frame);
void cancel_transfer(SharedGrantEntry& entry);

// Exchanges the contents of two entries that nobody uses. The guest asked for it, and keeps its hands off
// meanwhile.
void swap_entries(SharedGrantEntry& a, SharedGrantEntry& b);

}  // namespace torii
