#pragma once
// What the domain builder needs to know of a kernel: where its pieces go and what it asks of its loader.
// Read from the ELF headers and notes by builder/kernel_image.h.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace torii::dom0 {

struct KernelSegment {
    uint64_t file_offset = 0;
    uint64_t file_bytes = 0;
    uint64_t memory_bytes = 0;     // at least file_bytes; the rest is zeroed
    uint64_t virtual_address = 0;  // where the loader puts it: p_paddr - PADDR_OFFSET + VIRT_BASE
};

struct KernelDescription {
    std::vector<KernelSegment> segments;  // by rising virtual_address, without overlaps
    uint64_t entry = 0;
    uint64_t virt_base = 0;                  // the virtual address of PFN 0 in the initial mapping
    std::optional<uint64_t> hypercall_page;  // virtual address of a page to be filled with call stubs
    std::optional<uint64_t> p2m_base;        // virtual address where the kernel wants its P2M
    bool module_is_pfn = false;              // the initrd may stay unmapped
    std::string guest_os;                    // for messages
    std::string guest_version;
};

}  // namespace torii::dom0
