// The iret hypercall: back to guest user mode, or to an interrupted place in the guest's kernel (public
// arch-x86/xen-x86_64.h). The assembly serves the usual case by itself; this is the general way.
#include <torii/abi/trap.h>

#include "arch/x86/pv/bounce.h"
#include "arch/x86/pv/handlers.h"
#include "base/once.h"
#include "core/call/guest_ptr.h"

namespace torii::pv {
namespace {

constexpr uint64_t kFlagsFromGuest =
    0x3f7fd5 & ~(kFlagIopl | kFlagVm86 | kFlagNestedTask | uint64_t{1} << 19 | uint64_t{1} << 20);

}  // namespace

CallResult iret(CallContext& context) {
    Vcpu& vcpu = context.vcpu;
    GuestRegisters& r = context.registers();
    abi::IretContext frame;
    if (!GuestIn<abi::IretContext>(r.rsp).copy_in(frame).ok()) {
        kill_domain(*vcpu.domain, "iret at rip {x}: its stack frame at {x} can't be read", r.rip, r.rsp);
        return 0;
    }
    if ((frame.cs & 3) == 3) {
        if (vcpu.entry.user_cr3 == 0) {
            kill_domain(*vcpu.domain,
                        "iret at rip {x} to user mode, and the guest has set no user page table", r.rip);
            return 0;
        }
        enter_user_mode(vcpu);
    }
    vcpu.pv.nmi_masked = false;
    if (read_once(vcpu.pv.nmi_pending)) __atomic_fetch_or(&vcpu.entry.exit_work, kWorkNmi, __ATOMIC_RELAXED);
    r.rip = frame.rip;
    r.cs = (frame.cs | 3) & 0xffff;
    r.rflags = (frame.rflags & kFlagsFromGuest) | kFlagInterrupt | 2;
    r.rsp = frame.rsp;
    r.ss = (frame.ss | 3) & 0xffff;
    r.rax = frame.rax;
    r.r11 = frame.r11;
    r.rcx = frame.rcx;
    r.entry_vector = 0;
    mask_upcalls(vcpu, (frame.rflags & kFlagInterrupt) == 0);
    return 0;
}

}  // namespace torii::pv
