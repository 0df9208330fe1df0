#include "core/call/control_bitmap.h"

#include "core/call/guest_ptr.h"

namespace torii {

[[gnu::cold]] Result<> read_bitmap(const abi::ControlBitmap& bitmap, unsigned count, CpuMask& set) {
    if (bitmap.nr_bits > kMostControlBits) return Errno::kEINVAL;
    const GuestArray<uint8_t> bytes(bitmap.bitmap);
    const uint32_t bits = bitmap.nr_bits < count ? bitmap.nr_bits : count;
    for (unsigned i = 0; i < cpu_mask_words; ++i) {
        const uint32_t left = bits > i * 64 ? bits - i * 64 : 0;
        const uint32_t here = left < 64 ? left : 64;
        uint64_t word = 0;
        TRY(bytes.read_many(uint64_t{i} * 8, reinterpret_cast<uint8_t*>(&word), (here + 7) / 8));
        if (here < 64) word &= (uint64_t{1} << here) - 1;
        set.set_word(i, word);
    }
    return {};
}

[[gnu::cold]] Result<> write_bitmap(const abi::ControlBitmap& bitmap, const CpuMask& set) {
    if (bitmap.nr_bits > kMostControlBits) return Errno::kEINVAL;
    const GuestArray<uint8_t> bytes(bitmap.bitmap);
    for (uint32_t at = 0; at < bitmap.nr_bits; at += 64) {
        const uint32_t here = bitmap.nr_bits - at < 64 ? bitmap.nr_bits - at : 64;
        uint64_t word = at / 64 < cpu_mask_words ? set.word(at / 64) : 0;
        if (here < 64) word &= (uint64_t{1} << here) - 1;
        TRY(bytes.write_many(at / 8, reinterpret_cast<const uint8_t*>(&word), (here + 7) / 8));
    }
    return {};
}

}  // namespace torii
