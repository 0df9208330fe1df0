// The handlers of the portable hypercalls, as the hypercall table names them. Each copies its arguments in
// once, checks, acts, and returns the value for rax, an error, or ERESTART to be issued again.
#pragma once

#include "core/call/context.h"

namespace torii::call {

CallResult xen_version(CallContext& context);
CallResult memory_op(CallContext& context);
CallResult console_io(CallContext& context);
CallResult multicall(CallContext& context);
CallResult vm_assist(CallContext& context);
CallResult physdev_op(CallContext& context);
CallResult platform_op(CallContext& context);
CallResult domctl(CallContext& context);
CallResult sysctl(CallContext& context);
CallResult mca(CallContext& context);
CallResult xenpmu_op(CallContext& context);
CallResult event_channel_op(CallContext& context);
CallResult grant_table_op(CallContext& context);
CallResult sched_op(CallContext& context);
CallResult vcpu_op(CallContext& context);
CallResult set_timer_op(CallContext& context);

// ENOSYS: numbers that mean nothing here.
CallResult not_implemented(CallContext& context);

}  // namespace torii::call
