// sysctl (public sysctl.h): the control domain asks about the machine and the hypervisor.
#include "core/call/handlers.h"
#include "core/call/sysctl_ops.h"

namespace torii::call {
namespace {

using abi::SysctlCommand;

CallResult refuse(SysctlCall&) {
    return Errno::kEOPNOTSUPP;
}
CallResult refuse_busy(SysctlCall&) {
    return Errno::kEBUSY;  // CPUs neither come nor go while the hypervisor runs
}
CallResult refuse_device(SysctlCall&) {
    return Errno::kENODEV;  // no such hardware is driven
}

SysctlHandler handler_of(SysctlCommand command) {
    switch (command) {
        case SysctlCommand::kReadconsole:
            return read_console;
        case SysctlCommand::kTbufOp:
            return trace_buffers;
        case SysctlCommand::kPhysinfo:
            return physical_info;
        case SysctlCommand::kSchedId:
            return scheduler_id;
        case SysctlCommand::kPerfcOp:
            return performance_counters;
        case SysctlCommand::kGetdomaininfolist:
            return domain_list;
        case SysctlCommand::kDebugKeys:
            return debug_keys;
        case SysctlCommand::kGetcpuinfo:
            return cpu_times;
        case SysctlCommand::kAvailheap:
            return available_heap;
        case SysctlCommand::kCputopoinfo:
            return cpu_topology;
        case SysctlCommand::kNumainfo:
            return numa_info;
        case SysctlCommand::kCpupoolOp:
            return cpu_pool_op;
        case SysctlCommand::kSchedulerOp:
            return scheduler_settings;
        case SysctlCommand::kPcitopoinfo:
            return pci_topology;
        case SysctlCommand::kGetCpuLevellingCaps:
            return levelling_capabilities;
        case SysctlCommand::kGetCpuFeatureset:
            return cpu_featureset;
        case SysctlCommand::kGetCpuPolicy:
            return cpu_policy;
        case SysctlCommand::kCpuHotplug:
            return refuse_busy;
        case SysctlCommand::kGetPmstat:
        case SysctlCommand::kPmOp:
        case SysctlCommand::kPsrCmtOp:
        case SysctlCommand::kPsrAlloc:
            return refuse_device;
        case SysctlCommand::kPageOfflineOp:
        case SysctlCommand::kCoverageOp:
        case SysctlCommand::kLivepatchOp:
            return refuse;
        default:
            return nullptr;
    }
}

}  // namespace

CallResult sysctl(CallContext& context) {
    const GuestInOut<abi::Sysctl> pointer(context.arg<0>());
    abi::Sysctl request;
    TRY(pointer.copy_in(request));
    if (request.interface_version != abi::kSysctlInterfaceVersion) return Errno::kEACCES;
    const SysctlHandler handler = handler_of(static_cast<SysctlCommand>(request.cmd));
    if (handler == nullptr) return Errno::kENOSYS;
    SysctlCall call{context, request};
    const CallResult result = handler(call);
    if (result.ok() && call.answers) TRY(pointer.copy_out(request));
    return result;
}

}  // namespace torii::call
