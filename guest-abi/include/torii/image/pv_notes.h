#pragma once
// What a PV kernel says of itself, in ELF notes of owner "Xen" (public elfnote.h) or, in old kernels, in the
// string of a section called __xen_guest. Strings point into the image.

#include <torii/abi/features.h>
#include <torii/image/elf_image.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace torii::image {

// How to recognise non-present L1 entries that hold a frame number: (entry & mask) == value.
struct L1MfnValid {
    uint64_t mask = 0;
    uint64_t value = 0;
};

struct PvNotes {
    std::string_view guest_os;
    std::string_view guest_version;
    std::string_view xen_version;
    std::string_view loader;
    std::string_view pae_mode;  // of no meaning to a 64-bit kernel
    std::string_view features;

    uint64_t entry = 0;                      // virtual
    uint64_t virt_base = 0;                  // virtual address of pseudo-physical address 0
    uint64_t paddr_offset = 0;               // what the kernel's p_paddr fields are too high by
    std::optional<uint64_t> hypercall_page;  // virtual address of a page to be filled
    std::optional<uint64_t> hv_start_low;    // lowest address that the hypervisor's area may begin at
    std::optional<uint64_t> init_p2m;        // virtual address for the P2M, outside the initial mapping
    std::optional<L1MfnValid> l1_mfn_valid;
    std::optional<uint64_t> phys32_entry;  // for hardware-virtualised starts: not used by PV
    bool mod_start_pfn = false;            // the initrd need not be mapped
    bool suspend_cancel = false;
    bool bsd_symtab = false;
    bool legacy = false;  // came from __xen_guest

    // Bits of abi::Feature, string and number together.
    uint32_t supported_features = 0;
    uint32_t required_features = 0;

    // Where a segment goes in the kernel's address space, and at which pseudo-physical address.
    uint64_t pseudo_physical(const Segment& segment) const { return segment.physical_address - paddr_offset; }
    uint64_t virtual_address(const Segment& segment) const { return pseudo_physical(segment) + virt_base; }
};

// Reads the notes and checks them against the image: entry and hypercall page lie inside it, its addresses do
// not wrap. `offered_features` are the bits that the hypervisor grants; a kernel that requires another is
// refused.
Parsed<PvNotes> read_pv_notes(const ElfImage& image, uint32_t offered_features);

}  // namespace torii::image
