// domctl (public domctl.h): the control domain builds, runs, asks about and ends the others.
#include <torii/abi/torii_control.h>

#include "core/call/domctl_ops.h"
#include "core/call/handlers.h"
#include "core/domain/privilege.h"

namespace torii::call {
namespace {

using abi::DomctlCommand;

CallResult refuse_device(DomctlCall&) {
    return Errno::kEOPNOTSUPP;  // no IOMMU, so no device is given away
}
CallResult refuse_kind(DomctlCall&) {
    return Errno::kEOPNOTSUPP;  // concerns hardware-virtualised or translated guests
}

// Size: a table, one line per operation.
DomctlHandler handler_of(DomctlCommand command) {
    if (static_cast<uint32_t>(command) == abi::kDomctlGetEndReason) return get_end_reason;
    if (static_cast<uint32_t>(command) == abi::kDomctlGetVcpuRunstate) return get_vcpu_runstate;
    switch (command) {
        case DomctlCommand::kDestroydomain:
            return destroy_domain_op;
        case DomctlCommand::kPausedomain:
            return pause_domain_op;
        case DomctlCommand::kUnpausedomain:
            return unpause_domain_op;
        case DomctlCommand::kResumedomain:
            return resume_domain_op;
        case DomctlCommand::kGetdomaininfo:
            return get_domain_info;
        case DomctlCommand::kMaxMem:
            return set_max_memory;
        case DomctlCommand::kMaxVcpus:
            return set_max_vcpus;
        case DomctlCommand::kSetdomainhandle:
            return set_handle;
        case DomctlCommand::kSettimeoffset:
            return set_time_offset;
        case DomctlCommand::kSetVirqHandler:
            return set_virq_handler;
        case DomctlCommand::kSendtrigger:
            return send_trigger;
        case DomctlCommand::kGetvcpuinfo:
            return get_vcpu_info;
        case DomctlCommand::kGetpageframeinfo3:
            return get_page_types;
        case DomctlCommand::kSetvcpucontext:
            return set_vcpu_context;
        case DomctlCommand::kGetvcpucontext:
            return get_vcpu_context;
        case DomctlCommand::kSetExtVcpucontext:
            return set_extended_context;
        case DomctlCommand::kGetExtVcpucontext:
            return get_extended_context;
        case DomctlCommand::kGetVcpuMsrs:
            return get_vcpu_msrs;
        case DomctlCommand::kSetVcpuMsrs:
            return set_vcpu_msrs;
        case DomctlCommand::kHypercallInit:
            return init_hypercall_page;
        case DomctlCommand::kSetAddressSize:
            return set_address_size;
        case DomctlCommand::kGetAddressSize:
            return get_address_size;
        case DomctlCommand::kSettscinfo:
            return set_tsc_info;
        case DomctlCommand::kGettscinfo:
            return get_tsc_info;
        case DomctlCommand::kIoportPermission:
            return ioport_permission;
        case DomctlCommand::kIomemPermission:
            return iomem_permission;
        case DomctlCommand::kIrqPermission:
            return irq_permission;
        case DomctlCommand::kGetCpuPolicy:
            return get_cpu_policy;
        case DomctlCommand::kSetCpuPolicy:
            return set_cpu_policy;
        case DomctlCommand::kShadowOp:
            return shadow_op;
        case DomctlCommand::kSetvcpuaffinity:
            return set_vcpu_affinity;
        case DomctlCommand::kGetvcpuaffinity:
            return get_vcpu_affinity;
        case DomctlCommand::kSetnodeaffinity:
            return set_node_affinity;
        case DomctlCommand::kGetnodeaffinity:
            return get_node_affinity;
        case DomctlCommand::kSchedulerOp:
            return scheduler_op;
        case DomctlCommand::kAssignDevice:
        case DomctlCommand::kTestAssignDevice:
        case DomctlCommand::kDeassignDevice:
        case DomctlCommand::kGetDeviceGroup:
        case DomctlCommand::kBindPtIrq:
        case DomctlCommand::kUnbindPtIrq:
            return refuse_device;
        case DomctlCommand::kGethvmcontext:
        case DomctlCommand::kSethvmcontext:
        case DomctlCommand::kGethvmcontextPartial:
        case DomctlCommand::kMemoryMapping:
        case DomctlCommand::kIoportMapping:
        case DomctlCommand::kSetTarget:
        case DomctlCommand::kSetAccessRequired:
        case DomctlCommand::kGetPagingMempoolSize:
        case DomctlCommand::kSetPagingMempoolSize:
        case DomctlCommand::kVmtraceOp:
            return refuse_kind;
        default:
            return nullptr;
    }
}

// getdomaininfo is also how a tool walks the domains: it gets the first one from the id that it names on.
Domain* domain_of(const abi::Domctl& request) {
    const DomId id(request.domain);
    if (request.cmd == static_cast<uint32_t>(DomctlCommand::kGetdomaininfo)) return next_domain(id);
    return find_domain(id);
}

}  // namespace

CallResult domctl(CallContext& context) {
    const GuestInOut<abi::Domctl> pointer(context.arg<0>());
    abi::Domctl request;
    TRY(pointer.copy_in(request));
    if (request.interface_version != abi::kDomctlInterfaceVersion) return Errno::kEACCES;

    if (request.cmd == static_cast<uint32_t>(DomctlCommand::kCreatedomain)) {
        const CallResult created = create_domain_op(context, request);
        if (created.ok()) TRY(pointer.copy_out(request));
        return created;
    }
    const DomctlHandler handler = handler_of(static_cast<DomctlCommand>(request.cmd));
    if (handler == nullptr) return Errno::kENOSYS;
    // The special names stand for no domain here.
    if (request.cmd == static_cast<uint32_t>(DomctlCommand::kGetdomaininfo) &&
        request.domain >= abi::kDomIdFirstReserved)
        return Errno::kEINVAL;
    const DomainRef domain(domain_of(request));
    if (!domain) return Errno::kESRCH;
    if (!may_control_domain(context.domain(), *domain)) return Errno::kEPERM;
    DomctlCall call{context, *domain, request};
    const CallResult result = handler(call);
    if ((result.ok() || result.error() == Errno::kEINVAL) && call.answers) TRY(pointer.copy_out(request));
    return result;
}

}  // namespace torii::call
