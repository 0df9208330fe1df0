#pragma once
// /dev/xen/gntdev (public sys/gntdev.h): what one guest has granted to dom0. Belongs to one thread.

#include "common/file_descriptor.h"
#include "common/guest_memory.h"
#include "xen/copy_pages.h"

namespace torii::dom0 {

class GrantedMemory final : public backend::GuestMemory {
public:
    // Copies by `pages` what lies in them. Throws Failure (kNoConnection).
    GrantedMemory(backend::DomId guest, CopyPages& pages);

    void copy(std::span<backend::GrantCopySegment> segments) noexcept override;
    std::unique_ptr<backend::GrantMapping> map(std::span<const backend::GrantRef> grefs,
                                               bool writable) override;

private:
    backend::DomId guest_;
    CopyPages& pages_;
    backend::FileDescriptor device_;
};

}  // namespace torii::dom0
