// The parts of platform_op that are about firmware.
#pragma once

#include <torii/abi/platform.h>

#include "base/result.h"

namespace torii::call {

// Each answers in the request, which the caller has copied in and copies out after success.
[[nodiscard]] Result<> firmware_info(abi::PlatformFirmwareInfo& request);
// Success says that the firmware was called; what it said of that is the request's status.
[[nodiscard]] Result<> efi_runtime_call(abi::PlatformEfiCall& request);

}  // namespace torii::call
