// The machine's screen: the hypervisor's until the control domain starts, and again when all ends.
#pragma once

#include <torii/abi/start_info.h>

#include <string_view>

#include "arch/x86/hw/boot_info.h"

namespace torii::hw {

// Takes the screen that the loader names or a BIOS left in text mode, and shows the log so far. After memory
// is set up.
void screen_start(const BootInformation& info);
void screen_write(std::string_view text);
// The control domain has it from now on, unless the option says otherwise.
void screen_hand_over();
// The end: what is written from here on is shown from the top, and stays.
void screen_take_back();
// What the control domain is told about it; size 0: nothing.
struct ScreenForDom0 {
    abi::VgaConsoleInfo info{};
    uint32_t size = 0;
};
[[nodiscard]] ScreenForDom0 describe_screen(const BootInformation& info);

}  // namespace torii::hw
