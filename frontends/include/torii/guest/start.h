#pragma once
// What the domain was started with, and how it ends.

#include <torii/abi/domid.h>
#include <torii/abi/sched.h>
#include <torii/abi/shared_info.h>
#include <torii/abi/start_info.h>

#include <cstdint>
#include <string_view>

namespace torii::guest {

// The page at the entry; valid for the domain's whole life.
const abi::StartInfo& start_info();

// Mapped by the kit before guest_main() runs.
abi::SharedInfo& shared_info();

// The first virtual CPU's part of shared info.
inline abi::VcpuInfo& vcpu_info() {
    return shared_info().vcpu_info[0];
}

bool is_control_domain();

// Our own number: 0 for the control domain, what xenstore says for others (kDomIdInvalid when it does not).
abi::RawDomId own_domain();

// The value of `name=value` on the kernel command line; empty when it is missing.
std::string_view option(std::string_view name);

// Nanoseconds since the hypervisor started, by the pvclock.
uint64_t system_time();
// Nanoseconds since 1970, by the wall clock that the control domain sets.
uint64_t wall_clock();

[[noreturn]] void shutdown(abi::ShutdownReason reason);

// The program: returns to power off.
void guest_main();

}  // namespace torii::guest
