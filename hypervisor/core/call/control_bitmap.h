// Bitmaps that tools pass to domctl and sysctl (public domctl.h, xenctl_bitmap).
#pragma once

#include <torii/abi/basic_types.h>

#include "base/cpu_mask.h"
#include "base/result.h"

namespace torii {

// A bitmap that a tool passes is at most this long.
inline constexpr uint32_t kMostControlBits = 65536;

// A CpuMask takes 1 KiB, and the stack has 16: only a few of them at a time.

// The first `count` bits of the caller's bitmap; missing ones read as zero. EINVAL: too long. EFAULT.
[[nodiscard]] Result<> read_bitmap(const abi::ControlBitmap& bitmap, unsigned count, CpuMask& set);
// Writes the whole of the caller's bitmap: the set, then zeros. EINVAL, EFAULT.
[[nodiscard]] Result<> write_bitmap(const abi::ControlBitmap& bitmap, const CpuMask& set);

}  // namespace torii
