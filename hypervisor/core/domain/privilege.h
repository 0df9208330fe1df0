// Who may do what to whom: one function per question, so that the rules can be read in one place.
//
// The rule behind all of them: a domain may do to itself what can hurt only itself; the control domain may do
// the rest. A domain that is being taken down answers to the control domain alone.
#pragma once

#include "core/domain/domain.h"

namespace torii {

// sysctl, platform_op, machine checks: things that concern the whole machine.
[[nodiscard]] inline bool may_control_machine(const Domain& caller) {
    return caller.privileged;
}
// domctl on another domain; on itself only what `may_ask_about` lets through.
[[nodiscard]] inline bool may_control_domain(const Domain& caller, const Domain& target) {
    (void)target;
    return caller.privileged;
}
// Read another domain's state.
[[nodiscard]] inline bool may_ask_about(const Domain& caller, const Domain& target) {
    return caller.privileged || &caller == &target;
}
// Give frames to a domain or take them: ballooning for itself, building by the control domain.
[[nodiscard]] inline bool may_change_memory_of(const Domain& caller, const Domain& target) {
    return caller.privileged || &caller == &target;
}
// Map another domain's frames without a grant.
[[nodiscard]] inline bool may_map_frames_of(const Domain& caller, const Domain& target) {
    return caller.privileged || &caller == &target;
}
// The machine's own console, in and out without rate limits.
[[nodiscard]] inline bool may_use_machine_console(const Domain& caller) {
    return caller.privileged;
}
// The machine's memory map, interrupts, PCI devices.
[[nodiscard]] inline bool may_use_devices(const Domain& caller) {
    return caller.privileged;
}
// The options that the hypervisor was started with.
[[nodiscard]] inline bool may_read_boot_options(const Domain& caller) {
    return caller.privileged;
}

}  // namespace torii
