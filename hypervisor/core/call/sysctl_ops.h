// The parts of sysctl, by subject, one file each. Internal to core/call.
#pragma once

#include <torii/abi/sysctl.h>

#include "core/call/context.h"
#include "core/call/guest_ptr.h"

namespace torii::call {

struct SysctlCall {
    CallContext& context;
    abi::Sysctl& request;  // ours, copied in; an answer is written to it
    bool answers = true;   // the request goes back to the caller on success
};

using SysctlHandler = CallResult (*)(SysctlCall&);

// --- sysctl_machine.cpp ---
CallResult physical_info(SysctlCall& call);
CallResult cpu_times(SysctlCall& call);
CallResult cpu_topology(SysctlCall& call);
CallResult numa_info(SysctlCall& call);
CallResult available_heap(SysctlCall& call);
CallResult pci_topology(SysctlCall& call);

// --- sysctl_pool.cpp ---
CallResult cpu_pool_op(SysctlCall& call);
CallResult scheduler_id(SysctlCall& call);
CallResult scheduler_settings(SysctlCall& call);

// --- sysctl_log.cpp ---
CallResult read_console(SysctlCall& call);
CallResult performance_counters(SysctlCall& call);
CallResult debug_keys(SysctlCall& call);
CallResult trace_buffers(SysctlCall& call);

// --- sysctl_domains.cpp ---
CallResult domain_list(SysctlCall& call);

// --- sysctl_cpu_policy.cpp ---
CallResult levelling_capabilities(SysctlCall& call);
CallResult cpu_featureset(SysctlCall& call);
CallResult cpu_policy(SysctlCall& call);

}  // namespace torii::call
