// The hypercalls of a paravirtual x86-64 guest; rows of hypercall_table.cpp.
#pragma once

#include "core/call/context.h"

namespace torii::pv {

CallResult set_trap_table(CallContext& context);
CallResult mmu_update(CallContext& context);
CallResult set_gdt(CallContext& context);
CallResult stack_switch(CallContext& context);
CallResult set_callbacks(CallContext& context);
CallResult fpu_taskswitch(CallContext& context);
CallResult set_debugreg(CallContext& context);
CallResult get_debugreg(CallContext& context);
CallResult update_descriptor(CallContext& context);
CallResult update_va_mapping(CallContext& context);
CallResult update_va_mapping_otherdomain(CallContext& context);
CallResult set_segment_base(CallContext& context);
CallResult mmuext_op(CallContext& context);
CallResult callback_op(CallContext& context);
CallResult nmi_op(CallContext& context);
CallResult iret(CallContext& context);

// Checks and loads a debug register of the current vCPU. EPERM: it would watch the hypervisor; EINVAL.
[[nodiscard]] Result<> store_debug_register(Vcpu& vcpu, unsigned number, uint64_t wanted);

}  // namespace torii::pv
