// A CPU policy as tools exchange it: a list of CPUID leaves (public arch-x86/xen.h, xen_cpuid_leaf_t).
#pragma once

#include <torii/abi/trap.h>

#include "arch/x86/pv/cpu_policy.h"
#include "core/call/guest_ptr.h"

namespace torii::call {

inline constexpr uint32_t kMostPolicyLeaves = 64;

// Writes the policy's leaves to the caller's array of `room` entries and returns their number. With a null
// array nothing is written, and the answer is how much room is enough. ENOBUFS: too little room.
[[nodiscard]] Result<uint32_t> write_policy(const pv::CpuPolicy& policy, abi::GuestPtr64 array,
                                            uint32_t room);

// Compares what a tool wants with what the policy is; a guest's can't be anything else. EINVAL: they differ,
// at the leaf that is returned in `leaf` and `subleaf`. E2BIG: more leaves than a policy has.
[[nodiscard]] Result<> compare_policy(const pv::CpuPolicy& policy, abi::GuestPtr64 array, uint32_t count,
                                      uint32_t& leaf, uint32_t& subleaf);

}  // namespace torii::call
