// What the machine's EFI firmware says of itself and offers at run time (UEFI specification 2.10,
// sections 4.3 and 4.5), for the control domain's kernel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torii {

struct EfiMemory {
    uint64_t start;
    uint64_t size;
    uint64_t attributes;
    uint32_t type;  // EFI_MEMORY_TYPE
};

struct EfiFirmware {
    static constexpr unsigned kLongestVendor = 64;
    uint32_t revision = 0;  // of the system table
    uint32_t vendor_revision = 0;
    uint16_t vendor[kLongestVendor]{};  // UTF-16
    unsigned vendor_length = 0;         // without a terminating zero
    uint64_t config_table = 0;          // machine address
    uint32_t config_entries = 0;
    uint64_t runtime_table = 0;  // machine address; 0: no runtime services
    uint32_t runtime_revision = 0;
    const EfiMemory* memory = nullptr;
    size_t memory_count = 0;
};

// Offsets of the functions in EFI's table of runtime services.
enum class EfiService : uint32_t {
    kGetTime = 24,
    kSetTime = 32,
    kGetWakeupTime = 40,
    kSetWakeupTime = 48,
    kGetVariable = 72,
    kGetNextVariableName = 80,
    kSetVariable = 88,
    kGetNextHighMonotonicCount = 96,
    kQueryVariableInfo = 128,
};

struct EfiArguments {
    static constexpr unsigned kMost = 5;
    uint64_t values[kMost];
};

// The status that matters here; all others are passed on as they are.
inline constexpr uint64_t kEfiSuccess = 0;
inline constexpr uint64_t kEfiBufferTooSmall = (uint64_t{1} << 63) | 5;

}  // namespace torii
