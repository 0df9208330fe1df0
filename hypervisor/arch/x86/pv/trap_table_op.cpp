// set_trap_table, callbacks, stack_switch: where the guest's handlers and its kernel stack are (public xen.h,
// callback.h).
#include <torii/abi/callback.h>
#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/trap.h>

#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/pte.h"
#include "base/once.h"
#include "core/call/guest_ptr.h"

namespace torii::pv {
namespace {

// A handler outside of the canonical range would make the CPU fault in the hypervisor on the way there.
Result<> check_handler(uint64_t address) {
    if (!is_canonical(address)) return Errno::kEINVAL;
    return {};
}

struct Callback {
    uint64_t address = 0;
    bool masks_events = false;
};

Result<> set_callback(Vcpu& vcpu, uint32_t type, Callback callback) {
    switch (static_cast<abi::CallbackType>(type)) {
        case abi::CallbackType::kEvent:
            vcpu.pv.event_callback = callback.address;
            return {};
        case abi::CallbackType::kFailsafe:
            vcpu.pv.failsafe_callback = callback.address;
            vcpu.pv.failsafe_masks_events = callback.masks_events;
            return {};
        case abi::CallbackType::kSyscall:
            vcpu.entry.syscall_callback = callback.address;
            vcpu.entry.syscall_masks_events = callback.masks_events ? 1 : 0;
            return {};
        case abi::CallbackType::kSyscall32:
            vcpu.pv.syscall32_callback = callback.address;
            vcpu.pv.syscall32_masks_events = callback.masks_events;
            return {};
        case abi::CallbackType::kSysenter:
            vcpu.pv.sysenter_callback = callback.address;
            vcpu.pv.sysenter_masks_events = callback.masks_events;
            return {};
        case abi::CallbackType::kNmi:
            write_once(vcpu.pv.nmi_callback, callback.address);  // send_trigger looks at it
            return {};
        case abi::CallbackType::kSysenterDeprecated:
            return Errno::kENOSYS;
    }
    return Errno::kENOSYS;
}

}  // namespace

CallResult set_trap_table(CallContext& context) {
    Vcpu& vcpu = context.vcpu;
    const GuestArray<abi::TrapInfo> traps(context.arg<0>());
    if (traps.is_null()) {
        for (unsigned vector = 0; vector < kVectors; ++vector)
            vcpu.pv.gates[vector] = TrapGate{};
        return 0;
    }
    // The array ends with an entry without an address; one entry for each vector and the end is the most that
    // makes sense.
    for (unsigned i = 0; i <= kVectors; ++i) {
        abi::TrapInfo trap;
        TRY(traps.read(i, trap));
        if (trap.address == 0) return 0;
        TRY(check_handler(trap.address));
        vcpu.pv.gates[trap.vector] = {.address = trap.address, .cs = trap.cs, .flags = trap.flags};
    }
    return Errno::kEINVAL;
}

CallResult set_callbacks(CallContext& context) {
    const uint64_t event = context.arg<0>();
    const uint64_t failsafe = context.arg<1>();
    const uint64_t syscall = context.arg<2>();
    TRY(check_handler(event));
    TRY(check_handler(failsafe));
    TRY(check_handler(syscall));
    context.vcpu.pv.event_callback = event;
    context.vcpu.pv.failsafe_callback = failsafe;
    context.vcpu.entry.syscall_callback = syscall;
    return 0;
}

CallResult callback_op(CallContext& context) {
    switch (static_cast<abi::CallbackOp>(context.arg32<0>())) {
        case abi::CallbackOp::kRegister: {
            abi::CallbackRegister request;
            TRY(GuestIn<abi::CallbackRegister>(context.arg<1>()).copy_in(request));
            TRY(check_handler(request.address));
            TRY(set_callback(context.vcpu, request.type,
                             {request.address, (request.flags & abi::kCallbackMaskEvents) != 0}));
            return 0;
        }
        case abi::CallbackOp::kUnregister: {
            abi::CallbackUnregister request;
            TRY(GuestIn<abi::CallbackUnregister>(context.arg<1>()).copy_in(request));
            // A kernel without event, failsafe or system call handlers could not go on: those stay (public
            // callback.h).
            if (request.type <= static_cast<uint16_t>(abi::CallbackType::kSyscall)) return Errno::kEINVAL;
            TRY(set_callback(context.vcpu, request.type, {}));
            return 0;
        }
    }
    return Errno::kENOSYS;
}

CallResult nmi_op(CallContext& context) {
    switch (static_cast<abi::NmiOp>(context.arg32<0>())) {
        case abi::NmiOp::kRegisterCallback: {
            abi::NmiCallback request;
            TRY(GuestIn<abi::NmiCallback>(context.arg<1>()).copy_in(request));
            TRY(check_handler(request.handler_address));
            write_once(context.vcpu.pv.nmi_callback, request.handler_address);
            return 0;
        }
        case abi::NmiOp::kUnregisterCallback:
            write_once(context.vcpu.pv.nmi_callback, 0);
            return 0;
    }
    return Errno::kENOSYS;
}

CallResult stack_switch(CallContext& context) {
    Vcpu& vcpu = context.vcpu;
    const uint64_t stack = context.arg<1>();
    // The entry code writes below this address without looking again.
    if (!is_canonical(stack) || !guest_range_ok(stack - kPageSize, kPageSize)) return Errno::kEINVAL;
    vcpu.pv.kernel_ss = static_cast<uint16_t>(context.arg<0>() | 3);
    vcpu.entry.kernel_sp = stack;
    return 0;
}

}  // namespace torii::pv
