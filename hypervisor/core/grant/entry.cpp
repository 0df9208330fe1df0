#include "core/grant/entry.h"

#include "base/once.h"

namespace torii {
namespace {

using abi::GrantStatus;

// As for mark_entry.
constexpr unsigned kAttempts = 8;

constexpr uint16_t flags_of(uint32_t word) {
    return static_cast<uint16_t>(word);
}
constexpr DomId domid_of(uint32_t word) {
    return DomId(static_cast<uint16_t>(word >> 16));
}

bool exchange(uint32_t& place, uint32_t& expected, uint32_t desired) {
    return __atomic_compare_exchange_n(&place, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

}  // namespace

GrantStatus commit_transfer(SharedGrantEntry& entry, DomId from) {
    uint32_t seen = read_once(entry.flags_and_domid);
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
        if (flags_of(seen) != abi::kGtfAcceptTransfer || domid_of(seen) != from)
            return GrantStatus::kBadGntref;
        if (exchange(entry.flags_and_domid, seen, seen | abi::kGtfTransferCommitted))
            return GrantStatus::kOkay;
    }
    return GrantStatus::kBadGntref;
}

void complete_transfer(SharedGrantEntry& entry, Mfn frame) {
    write_once(entry.frame, static_cast<uint32_t>(frame.raw()));
    __atomic_fetch_or(&entry.flags_and_domid, uint32_t{abi::kGtfTransferCompleted}, __ATOMIC_RELEASE);
}

void cancel_transfer(SharedGrantEntry& entry) {
    __atomic_fetch_and(&entry.flags_and_domid, ~uint32_t{abi::kGtfTransferCommitted}, __ATOMIC_RELEASE);
}

void swap_entries(SharedGrantEntry& a, SharedGrantEntry& b) {
    const SharedGrantEntry from_a = read_once(a);
    const SharedGrantEntry from_b = read_once(b);
    write_once(a, from_b);
    write_once(b, from_a);
}

}  // namespace torii
