// Calls that have little to say: those refused on purpose, and profiling and machine checks, which the
// hypervisor offers to nobody.
#include <torii/abi/hypercall_numbers.h>

#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"

namespace torii::call {

CallResult not_implemented(CallContext& context) {
    return Errno::kENOSYS;
}

// The performance counters belong to no guest: Xen answers the same unless it is booted with vpmu=1.
CallResult xenpmu_op(CallContext& context) {
    return Errno::kEOPNOTSUPP;
}

}  // namespace torii::call
