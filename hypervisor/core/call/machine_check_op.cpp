// Machine checks (public arch-x86/xen-mca.h). Errors of the machine stop the hypervisor, so there is never
// one for the control domain to fetch; but its kernel wants to know the CPUs before it offers a log.
#include <torii/abi/machine_check.h>

#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/platform_hooks.h"
#include "port/machine.h"

namespace torii::call {
namespace {

CallResult physical_cpu_info(const GuestInOut<abi::MachineCheckOp>& pointer, abi::MachineCheckOp& request) {
    auto& question = request.u.physical_cpu_info;
    const uint32_t known = cpu_count();
    const GuestArray<abi::MachineCheckCpu> places(question.info);
    if (!places.is_null()) {
        const uint32_t count = question.cpu_count < known ? question.cpu_count : known;
        for (uint32_t i = 0; i < count; ++i) {
            const CpuIdentity identity = identity_of(CpuId(i));
            abi::MachineCheckCpu cpu{};
            cpu.cpu = i;
            cpu.chip_id = identity.socket;
            cpu.core_id = static_cast<uint16_t>(identity.core);
            cpu.apic_id = identity.apic_id;
            cpu.cores = platform.cores_per_socket;
            cpu.active_cores = platform.cores_per_socket;
            cpu.threads = platform.threads_per_core;
            TRY(places.write(i, cpu));
        }
    }
    question.cpu_count = known;
    TRY(pointer.copy_out(request));
    return 0;
}

}  // namespace

CallResult mca(CallContext& context) {
    const GuestInOut<abi::MachineCheckOp> pointer(context.arg<0>());
    abi::MachineCheckOp request;
    TRY(pointer.copy_in(request));
    if (request.interface_version != abi::kMachineCheckInterfaceVersion) return Errno::kEACCES;
    switch (static_cast<abi::MachineCheckCommand>(request.cmd)) {
        case abi::MachineCheckCommand::kFetch:
            request.u.fetch.flags = abi::kMachineCheckNoData;
            request.u.fetch.fetch_id = 0;
            TRY(pointer.copy_out(request));
            return 0;
        case abi::MachineCheckCommand::kPhysicalCpuInfo:
            return physical_cpu_info(pointer, request);
        case abi::MachineCheckCommand::kMsrInject:
        case abi::MachineCheckCommand::kMceInject:
        case abi::MachineCheckCommand::kInjectV2:
            return Errno::kEPERM;  // nobody may make errors up
        default:
            return Errno::kEINVAL;
    }
}

}  // namespace torii::call
