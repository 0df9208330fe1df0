// domctl: the registers of a vCPU, to build a domain or to look into one.
#include <torii/abi/torii_control.h>

#include <cstring>

#include "arch/x86/pv/guest_context.h"
#include "arch/x86/pv/pte.h"
#include "arch/x86/pv/vcpu_context.h"
#include "base/once.h"
#include "core/call/domctl_ops.h"
#include "core/domain/vcpu_run.h"
#include "core/memory/heap.h"
#include "port/platform.h"

namespace torii::call {
namespace {

constexpr uint16_t kKernelCs = abi::kFlatRing3Cs64;

// A context is larger than what should lie on the stack.
class ContextBuffer {
public:
    ContextBuffer() = default;
    ContextBuffer(const ContextBuffer&) = delete;
    ~ContextBuffer() { heap_free(memory_); }
    Result<> allocate() {
        memory_ = TRY(heap_allocate(sizeof(abi::VcpuGuestContext)));
        return {};
    }
    [[nodiscard]] abi::VcpuGuestContext& operator*() const {
        return *static_cast<abi::VcpuGuestContext*>(memory_);
    }

private:
    void* memory_ = nullptr;
};

}  // namespace

bool PausedDomain::settled() const {
    for (uint32_t i = 0; i < domain_.vcpu_count; ++i) {
        if (domain_.vcpus[i] != nullptr && domain_.vcpus[i]->unit.is_running()) return false;
    }
    return true;
}

void PausedDomain::unpause_after_work() {
    // The first release of a domain that is being built is its builder's, not ours: the count never was zero
    // then.
    unpause_domain(domain_);
}

CallResult set_vcpu_context(DomctlCall& call) {
    TRY(call.not_self());
    const auto& request = call.request.u.vcpucontext;
    if (request.ctxt.address == 0) return Errno::kEINVAL;
    Vcpu* const vcpu = TRY(call.vcpu(request.vcpu));
    ContextBuffer context;
    TRY(context.allocate());
    TRY(GuestIn<abi::VcpuGuestContext>(request.ctxt).copy_in(*context));

    const LockGuard guard(call.domain.control_lock);
    if (call.domain.life.load() >= Life::kDying) return Errno::kESRCH;
    const PausedDomain paused(call.domain);
    if (!paused.settled()) return Errno::kERESTART;
    forget_vcpu_on_cpus(*vcpu);
    TRY(pv::set_vcpu_context(*vcpu, *context));
    if ((*context).vm_assist != 0 && vcpu->id == VcpuId(0))
        write_once(call.domain.vm_assist, (*context).vm_assist);
    if (((*context).flags & abi::kVgcfOnline) != 0) start_vcpu(*vcpu);
    return 0;
}

CallResult get_vcpu_context(DomctlCall& call) {
    TRY(call.not_self());
    const auto& request = call.request.u.vcpucontext;
    Vcpu* const vcpu = TRY(call.vcpu(request.vcpu));
    ContextBuffer context;
    TRY(context.allocate());
    {
        const LockGuard guard(call.domain.control_lock);
        if (!vcpu->initialised) return Errno::kENODATA;
        const PausedDomain paused(call.domain);
        if (!paused.settled()) return Errno::kERESTART;
        forget_vcpu_on_cpus(*vcpu);
        pv::save_guest_context(*vcpu, *context);
    }
    TRY(GuestOut<abi::VcpuGuestContext>(request.ctxt).copy_out(*context));
    call.answers = true;
    return 0;
}

CallResult set_extended_context(DomctlCall& call) {
    TRY(call.not_self());
    const auto& wish = call.request.u.ext_vcpucontext;
    Vcpu* const vcpu = TRY(call.vcpu(wish.vcpu));
    // Up to where the machine-check part begins: that has nothing to set here.
    if (wish.size < offsetof(abi::DomctlExtVcpucontext, vmce)) return Errno::kEINVAL;
    if (!pv::is_canonical(wish.syscall32_callback_eip) || !pv::is_canonical(wish.sysenter_callback_eip))
        return Errno::kEINVAL;
    const LockGuard guard(call.domain.control_lock);
    const PausedDomain paused(call.domain);
    if (!paused.settled()) return Errno::kERESTART;
    vcpu->pv.syscall32_callback = wish.syscall32_callback_eip;
    vcpu->pv.syscall32_masks_events = wish.syscall32_disables_events != 0;
    vcpu->pv.sysenter_callback = wish.sysenter_callback_eip;
    vcpu->pv.sysenter_masks_events = wish.sysenter_disables_events != 0;
    return 0;
}

CallResult get_extended_context(DomctlCall& call) {
    TRY(call.not_self());
    const uint32_t number = call.request.u.ext_vcpucontext.vcpu;
    const Vcpu* const vcpu = TRY(call.vcpu(number));
    const LockGuard guard(call.domain.control_lock);
    const PausedDomain paused(call.domain);
    if (!paused.settled()) return Errno::kERESTART;
    auto& answer = call.request.u.ext_vcpucontext;
    answer = abi::DomctlExtVcpucontext{};
    answer.vcpu = number;
    answer.size = sizeof(answer);
    answer.syscall32_callback_eip = vcpu->pv.syscall32_callback;
    answer.syscall32_callback_cs = kKernelCs;
    answer.syscall32_disables_events = vcpu->pv.syscall32_masks_events ? 1 : 0;
    answer.sysenter_callback_eip = vcpu->pv.sysenter_callback;
    answer.sysenter_callback_cs = kKernelCs;
    answer.sysenter_disables_events = vcpu->pv.sysenter_masks_events ? 1 : 0;
    call.answers = true;
    return 0;
}

// No model-specific register is a guest's own beyond what its context holds.
CallResult get_vcpu_msrs(DomctlCall& call) {
    auto& request = call.request.u.vcpu_msrs;
    (void)TRY(call.vcpu(request.vcpu));
    request.msr_count = 0;
    call.answers = true;
    return 0;
}

CallResult set_vcpu_msrs(DomctlCall& call) {
    auto& request = call.request.u.vcpu_msrs;
    (void)TRY(call.vcpu(request.vcpu));
    if (request.msr_count != 0) return Errno::kEINVAL;
    return 0;
}

CallResult get_vcpu_runstate(DomctlCall& call) {
    abi::DomctlVcpuRunstate request;
    static_assert(sizeof(request) <= sizeof(call.request.u.payload));
    memcpy(&request, call.request.u.payload, sizeof(request));
    const Vcpu* const vcpu = TRY(call.vcpu(request.vcpu));
    request.info = sched_runstate(vcpu->unit);
    memcpy(call.request.u.payload, &request, sizeof(request));
    call.answers = true;
    return 0;
}

}  // namespace torii::call
