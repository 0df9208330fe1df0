// From the machine's memory map to a working allocator.
#pragma once

#include "arch/x86/hw/boot_info.h"

namespace torii::hw {

// Address space, M2P, frame table, allocator. Modules stay out of the allocator until `release_modules`.
void set_up_memory(const BootInformation& info, uint64_t direct_map_limit);
void release_modules(const BootInformation& info);

}  // namespace torii::hw
