// Builds the control domain from the boot modules.
#pragma once

#include "arch/x86/hw/boot_info.h"
#include "core/domain/domain.h"

namespace torii::hw {

// The domain, paused, with vCPU 0 ready to run. Doesn't return without: says why and stops the machine.
[[nodiscard]] Domain& build_dom0(const BootInformation& info);

}  // namespace torii::hw
