// The memory map of EFI (UEFI specification 2.10, section 7.2.3).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "boot/memory_map.h"

namespace torii::boot {

struct EfiDescriptor {
    uint32_t type;
    uint32_t padding;
    uint64_t physical;
    uint64_t virtual_address;
    uint64_t pages;  // of 4 KiB
    uint64_t attributes;
};
static_assert(sizeof(EfiDescriptor) == 40);

enum class EfiMemoryType : uint32_t {
    kReserved = 0,
    kLoaderCode = 1,
    kLoaderData = 2,
    kBootServicesCode = 3,
    kBootServicesData = 4,
    kRuntimeCode = 5,
    kRuntimeData = 6,
    kConventional = 7,
    kUnusable = 8,
    kAcpiReclaim = 9,
    kAcpiNvs = 10,
};
inline constexpr uint64_t kEfiWriteBack = 1u << 3;
inline constexpr uint64_t kEfiSpecificPurpose = 1u << 18;
inline constexpr uint64_t kEfiRuntime = uint64_t{1} << 63;

// The descriptors, each `step` bytes behind the one before: firmware's may be longer than what is known here.
class EfiMap {
public:
    EfiMap() = default;
    EfiMap(std::span<const uint8_t> bytes, uint32_t step)
        : bytes_(bytes), step_(step), count_(step >= sizeof(EfiDescriptor) ? bytes.size() / step : 0) {}

    [[nodiscard]] size_t count() const { return count_; }
    [[nodiscard]] EfiDescriptor operator[](size_t index) const {
        EfiDescriptor found;
        memcpy(&found, bytes_.data() + index * step_, sizeof(found));
        return found;
    }

private:
    std::span<const uint8_t> bytes_;
    size_t step_ = 0;
    size_t count_ = 0;
};

// The abi::E820Type of memory after boot services have ended.
[[nodiscard]] uint32_t e820_type_of(const EfiDescriptor& descriptor);
void add_efi_map(const EfiMap& efi, MemoryMapBuilder& map);

}  // namespace torii::boot
