// What the boot loader handed over, kept: the loader's memory is soon somebody else's.
#pragma once

#include "boot/multiboot.h"

namespace torii::hw {

using BootInformation = boot::LoaderFacts;
using BootModule = boot::LoaderModule;

// Reads it and fills boot_memory_map. The strings and EFI's map are copies that go with boot memory.
[[nodiscard]] BootInformation read_boot_information(uint32_t magic, MachineAddr information);
// Once there is a heap: the command line stays.
void keep_command_line(BootInformation& info);

}  // namespace torii::hw
