// The memory functions that compilers call on their own.
#include <cstddef>
#include <cstdint>

extern "C" {

void* memcpy(void* to, const void* from, size_t bytes) {
    void* out = to;
    size_t words = bytes / 8;
    asm volatile("rep movsq" : "+D"(out), "+S"(from), "+c"(words) : : "memory");
    bytes &= 7;
    asm volatile("rep movsb" : "+D"(out), "+S"(from), "+c"(bytes) : : "memory");
    return to;
}

void* memset(void* to, int value, size_t bytes) {
    void* out = to;
    size_t words = bytes / 8;
    const uint64_t pattern = static_cast<uint8_t>(value) * 0x0101010101010101ull;
    asm volatile("rep stosq" : "+D"(out), "+c"(words) : "a"(pattern) : "memory");
    bytes &= 7;
    asm volatile("rep stosb" : "+D"(out), "+c"(bytes) : "a"(pattern) : "memory");
    return to;
}

void* memmove(void* to, const void* from, size_t bytes) {
    auto* out = static_cast<unsigned char*>(to);
    const auto* in = static_cast<const unsigned char*>(from);
    if (out <= in || out >= in + bytes) return memcpy(to, from, bytes);
    while (bytes-- != 0)
        out[bytes] = in[bytes];
    return to;
}

int memcmp(const void* a, const void* b, size_t bytes) {
    const auto* x = static_cast<const unsigned char*>(a);
    const auto* y = static_cast<const unsigned char*>(b);
    for (size_t i = 0; i < bytes; ++i) {
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}

const void* memchr(const void* memory, int value, size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(memory);
    for (size_t i = 0; i < bytes; ++i) {
        if (at[i] == static_cast<unsigned char>(value)) return at + i;
    }
    return nullptr;
}

char* strncpy(char* to, const char* from, size_t bytes) {
    size_t i = 0;
    for (; i < bytes && from[i] != 0; ++i)
        to[i] = from[i];
    for (; i < bytes; ++i)
        to[i] = 0;
    return to;
}

size_t strnlen(const char* text, size_t most) {
    size_t length = 0;
    while (length < most && text[length] != 0)
        ++length;
    return length;
}

size_t strlen(const char* text) {
    size_t length = 0;
    while (text[length] != 0)
        ++length;
    return length;
}

}  // extern "C"

namespace std {
// What library code calls when it is used wrongly; there is nobody to catch anything.
[[noreturn]] void __throw_out_of_range_fmt(const char*, ...) {
    __builtin_trap();
}
}  // namespace std
