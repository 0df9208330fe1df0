// Bitmaps that tools pass to domctl and sysctl (public domctl.h, xenctl_bitmap).
#pragma once

#include <torii/abi/basic_types.h>

#include "core/call/guest_ptr.h"

namespace torii {

// Bits that matter here: CPUs and nodes are fewer than this.
inline constexpr uint32_t kControlBits = 64;
// A bitmap that a tool passes is at most this long.
inline constexpr uint32_t kMostControlBits = 65536;

// The first kControlBits of the caller's bitmap; missing ones read as zero.
[[nodiscard]] inline Result<uint64_t> read_bitmap(const abi::ControlBitmap& bitmap) {
    if (bitmap.nr_bits > kMostControlBits) return Errno::kEINVAL;
    const uint32_t bits = bitmap.nr_bits < kControlBits ? bitmap.nr_bits : kControlBits;
    uint64_t value = 0;
    TRY(GuestArray<uint8_t>(bitmap.bitmap).read_many(0, reinterpret_cast<uint8_t*>(&value), (bits + 7) / 8));
    if (bits < kControlBits) value &= (uint64_t{1} << bits) - 1;
    return value;
}

// Writes the whole of the caller's bitmap: `value`, then zeros.
[[nodiscard]] inline Result<> write_bitmap(const abi::ControlBitmap& bitmap, uint64_t value) {
    if (bitmap.nr_bits > kMostControlBits) return Errno::kEINVAL;
    const GuestArray<uint8_t> bytes(bitmap.bitmap);
    for (uint32_t i = 0; i < (bitmap.nr_bits + 7) / 8; ++i) {
        uint8_t byte = i < 8 ? static_cast<uint8_t>(value >> (8 * i)) : 0;
        if (i == bitmap.nr_bits / 8) byte &= static_cast<uint8_t>((1u << (bitmap.nr_bits % 8)) - 1);
        TRY(bytes.write(i, byte));
    }
    return {};
}

}  // namespace torii
