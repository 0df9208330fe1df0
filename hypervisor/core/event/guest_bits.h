// Atomic bits in memory that a guest changes at the same time.
#pragma once

#include <concepts>

#include "base/once.h"

namespace torii {

// Full barriers, all of them: a sender's ring writes must be visible before the bit that announces them.
template <std::unsigned_integral T>
[[gnu::always_inline]] inline bool test_and_set_bit(T& word, unsigned bit) {
    const T mask = T{1} << bit;
    return (__atomic_fetch_or(&word, mask, __ATOMIC_SEQ_CST) & mask) != 0;
}

template <std::unsigned_integral T>
[[gnu::always_inline]] inline bool test_and_clear_bit(T& word, unsigned bit) {
    const T mask = T{1} << bit;
    return (__atomic_fetch_and(&word, static_cast<T>(~mask), __ATOMIC_SEQ_CST) & mask) != 0;
}

template <std::unsigned_integral T>
[[nodiscard]] inline bool test_bit(const T& word, unsigned bit) {
    return (read_once(word) >> bit & 1) != 0;
}

}  // namespace torii
