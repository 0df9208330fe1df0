// Array positions that a guest names.
#pragma once

#include <cstdint>

namespace torii {

// `index`, or zero where it is not below `count`, computed without a branch: a CPU that guessed the outcome
// of the caller's bounds check wrongly still reads inside the array. Both are below 2^63.
[[nodiscard, gnu::always_inline]] inline uint64_t bounded_index(uint64_t index, uint64_t count) {
    // The compiler knows the check's outcome and would leave the mask out: what passed through here it
    // doesn't know.
    asm("" : "+r"(index));
    return index & static_cast<uint64_t>(static_cast<int64_t>(index - count) >> 63);
}

}  // namespace torii
