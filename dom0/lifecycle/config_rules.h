#pragma once
// What a domain's description must satisfy before anything is done for it. The client checks less: the
// daemon's word counts.

#include <torii/v1/control.pb.h>

#include <string>

namespace torii::dom0 {

inline constexpr uint32_t kMaxVcpus = 128;
inline constexpr uint64_t kMinMemoryKib = 4 * 1024;
inline constexpr uint64_t kMaxMemoryKib = 16ull << 30;  // 16 TiB

// Throws Failure (kInvalidArgument). Fills in what has a default.
void check_config(v1::DomainConfig& config);

// Throws Failure (kInvalidArgument) unless `name` can name a domain.
void check_domain_name(const std::string& name);

}  // namespace torii::dom0
