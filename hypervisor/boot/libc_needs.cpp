// The few symbols of a C library that the decompressors refer to, beside the memory functions of
// arch/x86/hw/string.cpp. Linked into the hypervisor only; host builds have a C library.
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/panic.h"

// Whatever we ask of the libraries allocates through the hooks in unpack.cpp. What still calls these is code
// that we don't reach (zstd's formats of 2015); it treats no memory as an error.
extern "C" {

void* malloc(size_t) {
    return nullptr;
}
void* calloc(size_t, size_t) {
    return nullptr;
}
void free(void*) {}

[[noreturn]] void __stack_chk_fail() {
    BUG("a decompressor overran its stack frame");
}

// zstd calls these where a program defines them. Undefined weak symbols would be calls to address 0, which
// the linker can't reach from where the hypervisor is.
unsigned long long ZSTD_trace_decompress_begin(const void*) {
    return 0;
}
void ZSTD_trace_decompress_end(unsigned long long, const void*) {}

// In place of liblzma's, which chooses its implementation in a static constructor that nobody would run.
// Bits in reverse order, polynomial of ECMA-182 (the .xz file format, section 6).
uint64_t lzma_crc64(const uint8_t* bytes, size_t size, uint64_t crc) {
    constexpr auto kTable = [] {
        std::array<uint64_t, 256> table{};
        for (uint64_t i = 0; i < 256; ++i) {
            uint64_t value = i;
            for (unsigned bit = 0; bit < 8; ++bit)
                value = value >> 1 ^ (value & 1) * 0xC96C'5795'D787'0F42;
            table[i] = value;
        }
        return table;
    }();
    crc = ~crc;
    for (size_t i = 0; i < size; ++i)
        crc = kTable[(crc ^ bytes[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

}  // extern "C"
