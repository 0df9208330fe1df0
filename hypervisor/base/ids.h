// Identifiers that guests and the hypervisor name things by.
#pragma once

#include "base/strong.h"

namespace torii {

using DomId = StrongId<struct DomIdTag, uint16_t>;
using VcpuId = StrongId<struct VcpuIdTag, uint32_t>;
using CpuId = StrongId<struct CpuIdTag, uint32_t>;
using Port = StrongId<struct PortTag, uint32_t>;
using GrantRef = StrongId<struct GrantRefTag, uint32_t>;
using GrantHandle = StrongId<struct GrantHandleTag, uint32_t>;

// Time since the hypervisor's boot, and lengths of time.
using Nanoseconds = uint64_t;
inline constexpr Nanoseconds kNever = ~Nanoseconds{0};

}  // namespace torii
