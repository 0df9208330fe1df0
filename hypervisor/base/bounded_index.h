// Array indices that come from a guest. A CPU that mispredicts the range check must not read beyond the
// array, so the index is also cut by arithmetic. The compiler could prove the cut useless after the check;
// hiding the value keeps it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace torii {

// `index`, which the caller has checked against the power of two `Size`.
template <uint64_t Size>
[[gnu::always_inline]] inline uint32_t bounded(uint32_t index) {
    static_assert(std::has_single_bit(Size));
    asm("" : "+r"(index));
    return index & (Size - 1);
}

// `index`, which the caller has checked to be below `size`; 0 under misprediction.
[[gnu::always_inline]] inline size_t bounded(size_t index, size_t size) {
    asm("" : "+r"(index));
    return index & static_cast<size_t>(static_cast<int64_t>(index - size) >> 63);
}

}  // namespace torii
