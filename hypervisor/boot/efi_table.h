// EFI's system table (UEFI specification 2.10, section 4.3), read while the boot page tables map the low 4
// GiB.
#pragma once

#include <optional>

#include "boot/efi_map.h"
#include "boot/loader_memory.h"
#include "core/call/efi_firmware.h"

namespace torii::boot {

// Nothing: there is no such table at that address. The firmware's memory is not filled in.
[[nodiscard]] std::optional<EfiFirmware> read_efi_table(uint64_t address, const LoaderMemory& memory);

[[nodiscard]] inline EfiMemory efi_memory_of(const EfiDescriptor& descriptor) {
    return {descriptor.physical, descriptor.pages << kPageShift, descriptor.attributes, descriptor.type};
}

}  // namespace torii::boot
