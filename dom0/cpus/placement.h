#pragma once
// What a domain's description says about CPUs: checked before anything is built, applied before its first
// instruction.

#include <torii/v1/internal.pb.h>

#include "cpus/pools.h"

namespace torii::dom0 {

// How many vCPUs the domain can ever have, and how many are to be online at its start.
uint32_t max_vcpus(const v1::DomainConfig& config);
uint32_t wanted_vcpus(const v1::DomainRecord& record);

// Throw Failure (kInvalidArgument) for a value that no domain can have.
void check_weight(uint32_t weight);
void check_cap(uint32_t cap_percent);

// Throws Failure for what this machine has not: CPUs, pools.
void check_placement(Hypervisor& hypervisor, Pools& pools, const v1::DomainConfig& config);

// Pool, weight, cap and affinity of a domain that has been built. Throws Failure.
void apply_placement(Hypervisor& hypervisor, Pools& pools, const v1::DomainRecord& record);

}  // namespace torii::dom0
