#pragma once
// Types that several structures of the ABI share. Only x86-64 guests exist here, so every "unsigned long" of
// the public headers is a uint64_t and every guest handle a 64-bit virtual address.

#include <cstdint>

namespace torii::abi {

// A guest virtual address inside a structure (a guest handle in the public headers). It belongs to whoever
// issued the call; nothing but the hypervisor's copy routines may follow it.
struct GuestPtr64 {
    uint64_t address;
};

inline constexpr uint64_t kPageSize = 4096;
inline constexpr unsigned kPageShift = 12;

// xenctl_bitmap: a bitmap in the caller's memory. Bits beyond `nr_bits` are ignored in and left alone out.
struct ControlBitmap {
    GuestPtr64 bitmap;
    uint32_t nr_bits;
    uint32_t padding;
};

// xen_domain_handle_t: the UUID that a toolstack gives a domain.
struct DomainHandle {
    uint8_t bytes[16];
};

}  // namespace torii::abi
