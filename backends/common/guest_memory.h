#pragma once
// What a guest has granted: copied, or mapped. dom0/xen implements it by /dev/xen/gntdev, tests in memory.
//
// A granted page may change at any moment. Copy what is checked before it is checked, and never read a mapped
// page twice where a second value would matter.

#include <torii/abi/grant_table.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/ids.h"

namespace torii::backend {

inline constexpr size_t kGuestPageSize = 4096;

// One copy between a granted page and memory of ours. `offset + length` must not go beyond the page: the
// hypervisor refuses it, with a status of its own, and the other copies of the batch take place.
struct GrantCopySegment {
    GrantRef gref;
    uint16_t offset = 0;
    uint16_t length = 0;
    std::byte* local = nullptr;
    bool to_guest = false;
    abi::GrantStatus status = abi::GrantStatus::kOkay;  // written by copy()
};

// Granted pages, mapped one behind the other. Unmaps when destroyed; must not outlive its GuestMemory.
class GrantMapping {
public:
    virtual ~GrantMapping() = default;
    virtual std::span<std::byte> bytes() const = 0;
};

// The grants of one domain. Used on one thread, the one that serves the device.
class GuestMemory {
public:
    virtual ~GuestMemory() = default;

    // Carries out the copies, in order; each tells its outcome in `status`. Never throws: a batch that the
    // kernel refuses as a whole gives every segment an error status.
    virtual void copy(std::span<GrantCopySegment> segments) noexcept = 0;

    // All or nothing. Throws Failure (kHypercall) with the grant that could not be mapped. Pages can be
    // pinned: a file may be read into them.
    virtual std::unique_ptr<GrantMapping> map(std::span<const GrantRef> grefs, bool writable) = 0;
};

}  // namespace torii::backend
