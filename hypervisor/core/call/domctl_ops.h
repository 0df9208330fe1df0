// The parts of domctl, by subject, one file each. Internal to core/call.
#pragma once

#include <torii/abi/domctl.h>

#include "core/call/context.h"
#include "core/call/guest_ptr.h"

namespace torii::call {

// One domctl about a domain that exists.
struct DomctlCall {
    CallContext& context;
    Domain& domain;        // whom it is about
    abi::Domctl& request;  // ours, copied in; an answer is written to it
    bool answers = false;  // the request goes back to the caller, on success; on EINVAL too, as it may name
                           // what was wrong

    // EINVAL for a domain that would act on itself.
    [[nodiscard]] Result<> not_self() const {
        if (&context.domain() == &domain) return Errno::kEINVAL;
        return {};
    }
    // The vCPU of that number, which exists. ENOENT when it is out of range or was never made.
    [[nodiscard]] Result<Vcpu*> vcpu(uint32_t number) const {
        Vcpu* const found = domain.vcpu(VcpuId(number));
        if (found == nullptr) return Errno::kENOENT;
        return found;
    }
};

// Stops the vCPUs of another domain while somebody works on them; they have left their CPUs when `settled` is
// true.
class PausedDomain {
public:
    explicit PausedDomain(Domain& domain) : domain_(domain) { pause_domain(domain); }
    PausedDomain(const PausedDomain&) = delete;
    ~PausedDomain() { unpause_after_work(); }
    [[nodiscard]] bool settled() const;

private:
    void unpause_after_work();
    Domain& domain_;
};

// --- domctl_create.cpp ---
CallResult create_domain_op(CallContext& context, abi::Domctl& request);

// Each returns zero or an error, and says by `answers` whether the request holds an answer.
using DomctlHandler = CallResult (*)(DomctlCall&);

// --- domctl_life.cpp ---
CallResult destroy_domain_op(DomctlCall& call);
CallResult pause_domain_op(DomctlCall& call);
CallResult unpause_domain_op(DomctlCall& call);
CallResult resume_domain_op(DomctlCall& call);
CallResult set_max_memory(DomctlCall& call);
CallResult set_max_vcpus(DomctlCall& call);
CallResult set_handle(DomctlCall& call);
CallResult set_time_offset(DomctlCall& call);
CallResult set_virq_handler(DomctlCall& call);
CallResult send_trigger(DomctlCall& call);

// --- domctl_info.cpp ---
void describe_domain(Domain& domain, abi::DomctlGetdomaininfo& info);
CallResult get_domain_info(DomctlCall& call);
CallResult get_vcpu_info(DomctlCall& call);
CallResult get_page_types(DomctlCall& call);
CallResult get_end_reason(DomctlCall& call);

// --- domctl_vcpu.cpp ---
CallResult set_vcpu_context(DomctlCall& call);
CallResult get_vcpu_context(DomctlCall& call);
CallResult set_extended_context(DomctlCall& call);
CallResult get_extended_context(DomctlCall& call);
CallResult get_vcpu_msrs(DomctlCall& call);
CallResult set_vcpu_msrs(DomctlCall& call);
CallResult get_vcpu_runstate(DomctlCall& call);

// --- domctl_machine.cpp ---
CallResult init_hypercall_page(DomctlCall& call);
CallResult set_address_size(DomctlCall& call);
CallResult get_address_size(DomctlCall& call);
CallResult set_tsc_info(DomctlCall& call);
CallResult get_tsc_info(DomctlCall& call);
CallResult ioport_permission(DomctlCall& call);
CallResult iomem_permission(DomctlCall& call);
CallResult irq_permission(DomctlCall& call);
CallResult get_cpu_policy(DomctlCall& call);
CallResult set_cpu_policy(DomctlCall& call);
CallResult shadow_op(DomctlCall& call);

// --- domctl_sched.cpp ---
CallResult set_vcpu_affinity(DomctlCall& call);
CallResult get_vcpu_affinity(DomctlCall& call);
CallResult set_node_affinity(DomctlCall& call);
CallResult get_node_affinity(DomctlCall& call);
CallResult scheduler_op(DomctlCall& call);

}  // namespace torii::call
