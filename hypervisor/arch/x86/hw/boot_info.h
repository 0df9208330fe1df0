// What the boot loader handed over, kept: the loader's memory is soon somebody else's.
#pragma once

#include "boot/multiboot.h"

namespace torii::hw {

using BootInformation = boot::LoaderFacts;
using BootModule = boot::LoaderModule;

// Reads it and fills boot_memory_map. The strings are copies that stay; the copy of EFI's map goes with boot
// memory.
[[nodiscard]] BootInformation read_boot_information(uint32_t magic, MachineAddr information);

}  // namespace torii::hw
