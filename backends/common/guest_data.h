#pragma once
// Copies between memory of ours and a page of a guest's that is mapped.

#include <cstddef>
#include <cstring>

namespace torii::backend {

// Data, read once and in no order, whatever the guest does to it meanwhile. For pieces of pages the CPU's own
// string move takes three fifths of the C library's instructions where that knows no better than SSE2, and is
// as fast where it knows more.
inline void copy_guest_data(std::byte* to, const std::byte* from, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    std::memcpy(to, from, bytes);
#else
    size_t words = bytes / 8;
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    for (size_t rest = bytes % 8; rest != 0; --rest)
        *to++ = *from++;
#endif
}

}  // namespace torii::backend
