// EFI's runtime services, for the control domain.
#pragma once

#include "arch/x86/hw/boot_info.h"
#include "base/result.h"
#include "core/call/efi_firmware.h"

namespace torii::hw {

// Keeps what firmware says of itself, and maps what its runtime services need at its own address, in page
// tables that nothing else runs on. After memory is set up and the CPU has its area.
void efi_start(const BootInformation& info);

// The page tables that they run on, and a stack; zero: there are none.
struct EfiRuntime {
    Mfn root{};
    uint64_t stack_top = 0;
    uint64_t table = 0;
};
extern EfiRuntime efi_runtime;
// PlatformHooks::call_efi.
[[nodiscard]] Result<uint64_t> call_efi(EfiService service, const EfiArguments& arguments);

}  // namespace torii::hw
