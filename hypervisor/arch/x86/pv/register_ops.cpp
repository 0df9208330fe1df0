// Segment bases, FPU task switch, debug registers (public xen.h, arch-x86/xen.h).
#include <torii/abi/trap.h>

#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/pte.h"
#include "core/call/guest_ptr.h"
#include "port/context.h"

namespace torii::pv {
namespace {

// Debug control and status bits that read as fixed (Intel SDM vol. 3, section 18.2).
constexpr uint64_t kDr6Fixed = 0xffff0ff0;
constexpr uint64_t kDr6Writable = 0xe00f;
constexpr uint64_t kDr7Fixed = 0x400;
constexpr uint64_t kDr7Writable = 0xffff03ff;
constexpr uint64_t kDr7GeneralDetect = 1u << 13;

bool base_ok(uint64_t base) {
    return is_canonical(base);
}

// Breakpoints on the hypervisor's own code and data are nobody's.
Result<uint64_t> checked_debug_value(unsigned index, uint64_t value) {
    switch (index) {
        case 0:
        case 1:
        case 2:
        case 3:
            if (!is_canonical(value) || !guest_range_ok(value, 8)) return Errno::kEPERM;
            return value;
        case 6:
            if ((value >> 32) != 0) return Errno::kEINVAL;
            return (value & kDr6Writable) | kDr6Fixed;
        case 7: {
            if ((value >> 32) != 0 || (value & kDr7GeneralDetect) != 0) return Errno::kEINVAL;
            // I/O breakpoints (type 2) would need CR4.DE to be the guest's.
            for (unsigned i = 0; i < 4; ++i) {
                if (((value >> (16 + 4 * i)) & 3) == 2) return Errno::kEPERM;
            }
            return (value & kDr7Writable) | kDr7Fixed;
        }
        default:
            return Errno::kEINVAL;
    }
}

}  // namespace

CallResult set_segment_base(CallContext& context) {
    Vcpu& vcpu = context.vcpu;
    const uint64_t base = context.arg<1>();
    switch (static_cast<abi::SegmentBase>(context.arg32<0>())) {
        case abi::SegmentBase::kFs:
            if (!base_ok(base)) return Errno::kEINVAL;
            write_fs_base(base);
            vcpu.pv.fs_base = base;
            return 0;
        case abi::SegmentBase::kGsUser:
            if (!base_ok(base)) return Errno::kEINVAL;
            write_inactive_gs_base(base);
            vcpu.pv.gs_base_user = base;
            return 0;
        case abi::SegmentBase::kGsKernel:
            if (!base_ok(base)) return Errno::kEINVAL;
            write_active_gs_base(base);
            vcpu.pv.gs_base_kernel = base;
            return 0;
        case abi::SegmentBase::kGsUserSelector:
            if (!load_inactive_gs_selector(static_cast<uint16_t>(base))) return Errno::kEINVAL;
            return 0;
    }
    return Errno::kEINVAL;
}

CallResult fpu_taskswitch(CallContext& context) {
    const bool on = context.arg<0>() != 0;
    context.vcpu.pv.task_switched = on;
    set_task_switched(on);
    return 0;
}

Result<> store_debug_register(Vcpu& vcpu, unsigned number, uint64_t wanted) {
    const uint64_t value = TRY(checked_debug_value(number, wanted));
    vcpu.pv.debug_registers[number & 7] = value;
    write_debug_register(number, value);
    return {};
}

CallResult set_debugreg(CallContext& context) {
    const uint64_t index = context.arg<0>();
    if (index > 7) return Errno::kENODEV;
    TRY(store_debug_register(context.vcpu, static_cast<unsigned>(index), context.arg<1>()));
    return 0;
}

CallResult get_debugreg(CallContext& context) {
    const uint64_t index = context.arg<0>();
    if (index > 7 || index == 4 || index == 5) return Errno::kENODEV;
    return static_cast<int64_t>(context.vcpu.pv.debug_registers[index & 7]);
}

}  // namespace torii::pv
