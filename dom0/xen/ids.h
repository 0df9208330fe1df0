#pragma once
// The strong numbers of the daemon: those of the backends, and what only the daemon counts.

#include "common/ids.h"

namespace torii::dom0 {

using backend::DomId;
using backend::GrantRef;
using backend::kDom0;
using backend::Port;
using backend::StrongNumber;

using Mfn = StrongNumber<struct MfnTag, uint64_t>;        // machine frame
using Pfn = StrongNumber<struct PfnTag, uint64_t>;        // frame as its domain counts
using PoolId = StrongNumber<struct PoolIdTag, uint32_t>;  // a CPU pool

inline constexpr PoolId kFirstPool{0};  // there from the start, with all CPUs; cannot be destroyed

}  // namespace torii::dom0
