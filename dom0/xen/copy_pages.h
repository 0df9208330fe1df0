#pragma once
// Copies between what a guest has granted and pages of ours that dom0 grants to itself (/dev/xen/gntalloc,
// public sys/gntalloc.h). Both ends of such a copy are grants, so it is one hypercall and nothing else: for
// other memory dom0's kernel has to look up each page first (granted_memory.h), which takes longer than the
// copy.
//
// Belongs to one thread.

#include <torii/abi/grant_table.h>

#include <functional>
#include <vector>

#include "common/copy_memory.h"
#include "common/file_descriptor.h"
#include "common/guest_memory.h"
#include "xen/privileged_calls.h"

namespace torii::dom0 {

class CopyPages final : public backend::CopyMemory {
public:
    // 16 MiB, in steps of one as they are needed; they stay until the process ends.
    static constexpr size_t kMost = size_t{16} << 20;
    static constexpr size_t kStep = size_t{1} << 20;

    // Where dom0's kernel has no such device, take() gives nothing.
    explicit CopyPages(PrivilegedCalls& calls);
    // For tests: an open device, and a function that takes its calls as ioctl(2) does.
    using Control = std::function<int(unsigned long request, void* argument)>;
    CopyPages(PrivilegedCalls& calls, backend::FileDescriptor device, Control control);
    ~CopyPages() override;
    CopyPages(const CopyPages&) = delete;
    CopyPages& operator=(const CopyPages&) = delete;

    std::span<std::byte> take(size_t bytes) noexcept override;

    // As GuestMemory::copy. False when memory of ours in it is not from here: then all of it is to be done in
    // another way, and what was done already is no harm.
    bool copy(backend::DomId guest, std::span<backend::GrantCopySegment> segments) noexcept;

private:
    bool grow() noexcept;
    void carry_out(std::span<backend::GrantCopySegment> segments, const abi::GrantCopy* end) noexcept;

    PrivilegedCalls& calls_;
    backend::FileDescriptor device_;
    Control control_;
    std::span<std::byte> range_;           // of addresses, kMost; backed up to grefs_.size() pages
    size_t used_ = 0;                      // bytes of it
    std::vector<abi::RawGrantRef> grefs_;  // of each page
    OwnedMemory arguments_;                // of the hypercall
    std::span<abi::GrantCopy> copies_;     // in arguments_
};

}  // namespace torii::dom0
