// What the boot loader handed over, whichever protocol it speaks.
#pragma once

#include <string_view>

#include "base/frame.h"

namespace torii::hw {

struct BootModule {
    MachineAddr start{};
    MachineAddr end{};
    std::string_view arguments;
};

struct BootInformation {
    static constexpr unsigned kMostModules = 4;
    std::string_view command_line;
    BootModule modules[kMostModules];
    unsigned module_count = 0;
    MachineAddr rsdp{};             // zero: search
    const char* problem = nullptr;  // why it can't be used
};

// Reads it and fills boot_memory_map. The strings are copies that stay.
[[nodiscard]] BootInformation read_boot_information(uint32_t magic, MachineAddr information);

}  // namespace torii::hw
