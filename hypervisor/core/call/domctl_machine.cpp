// domctl: how the machine looks to a domain, and what of the real one it may touch.
#include "arch/x86/pv/guest_cpuid.h"
#include "arch/x86/pv/hypercall_page.h"
#include "core/call/cpu_policy_leaves.h"
#include "core/call/domctl_ops.h"
#include "core/call/platform_hooks.h"
#include "core/interrupt/interrupts.h"
#include "core/memory/frame_table.h"
#include "core/memory/heap.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::call {
namespace {

enum class TscMode : uint32_t {  // public domctl.h, gettscinfo; libxl's tsc_mode
    kDefault = 0,
    kAlwaysEmulate = 1,
    kNeverEmulate = 2,
};

constexpr uint32_t kPorts = 65536;

}  // namespace

CallResult init_hypercall_page(DomctlCall& call) {
    const FrameRef frame = FrameRef::take(Mfn(call.request.u.hypercall_init.gmfn), call.domain.id);
    if (!frame) return Errno::kEINVAL;
    // A page that is a page table can't be written by us either.
    if (!get_writable(*frame)) return Errno::kEINVAL;
    {
        const MappedFrame page(mfn_of(*frame));
        pv::fill_hypercall_page(std::span<uint8_t, kPageSize>(page.as<uint8_t>(), kPageSize));
    }
    put_writable(*frame);
    return 0;
}

CallResult set_address_size(DomctlCall& call) {
    if (call.request.u.address_size.size != 64) return Errno::kEINVAL;
    return 0;
}
CallResult get_address_size(DomctlCall& call) {
    call.request.u.address_size.size = call.domain.address_size;
    call.answers = true;
    return 0;
}

// The time stamp counter is the CPU's own: nothing is ever emulated.
CallResult set_tsc_info(DomctlCall& call) {
    TRY(call.not_self());
    const auto mode = static_cast<TscMode>(call.request.u.tsc_info.tsc_mode);
    if (mode == TscMode::kAlwaysEmulate) return Errno::kEOPNOTSUPP;
    if (mode != TscMode::kDefault && mode != TscMode::kNeverEmulate) return Errno::kEINVAL;
    call.domain.tsc_mode = call.request.u.tsc_info.tsc_mode;
    return 0;
}
CallResult get_tsc_info(DomctlCall& call) {
    call.request.u.tsc_info = {.tsc_mode = static_cast<uint32_t>(call.domain.tsc_mode),
                               .gtsc_khz = platform.cpu_khz,
                               .incarnation = 0,
                               .pad = 0,
                               .elapsed_nsec = now() - call.domain.created_at};
    call.answers = true;
    return 0;
}

CallResult ioport_permission(DomctlCall& call) {
    const auto& wish = call.request.u.ioport_permission;
    if (wish.first_port >= kPorts || wish.nr_ports > kPorts - wish.first_port) return Errno::kEINVAL;
    const LockGuard guard(call.domain.control_lock);
    uint64_t*& bits = call.domain.io.port_bits;
    const uint64_t* const own = call.context.domain().io.port_bits;
    if (bits == nullptr) {
        if (wish.allow_access == 0) return 0;
        bits = static_cast<uint64_t*>(TRY(heap_allocate(IoRights::kPortWords * sizeof(uint64_t))));
    }
    for (uint32_t port = wish.first_port; port < wish.first_port + wish.nr_ports; ++port) {
        const uint64_t bit = uint64_t{1} << (port % 64);
        if (wish.allow_access == 0) {
            bits[port / 64] &= ~bit;
        } else if (own == nullptr || (own[port / 64] & bit) == 0) {
            return Errno::kEPERM;  // nobody gives what they don't have
        } else {
            bits[port / 64] |= bit;
        }
    }
    return 0;
}

// Device memory and interrupts stay with the control domain: taking them away from another is done already.
CallResult iomem_permission(DomctlCall& call) {
    const auto& wish = call.request.u.iomem_permission;
    if (wish.nr_mfns == 0 || wish.first_mfn + wish.nr_mfns - 1 < wish.first_mfn) return Errno::kEINVAL;
    if (wish.allow_access == 0 && &call.domain != &call.context.domain()) return 0;
    return Errno::kEOPNOTSUPP;
}
CallResult irq_permission(DomctlCall& call) {
    const auto& wish = call.request.u.irq_permission;
    if (wish.pirq >= DeviceInterrupts::end()) return Errno::kEINVAL;
    if (wish.allow_access == 0 && &call.domain != &call.context.domain()) return 0;
    return Errno::kEOPNOTSUPP;
}

CallResult get_cpu_policy(DomctlCall& call) {
    auto& request = call.request.u.cpu_policy;
    request.nr_leaves = TRY(write_policy(pv::policy_of(call.domain), request.leaves, request.nr_leaves));
    request.nr_msrs = 0;
    call.answers = true;
    return 0;
}

// One policy serves all guests. A tool that sets what it read has its way; any other wish is refused, and the
// leaf named.
CallResult set_cpu_policy(DomctlCall& call) {
    TRY(call.not_self());
    auto& request = call.request.u.cpu_policy;
    call.answers = true;
    if (request.nr_msrs != 0) return Errno::kEINVAL;
    TRY(compare_policy(pv::policy_of(call.domain), request.leaves, request.nr_leaves, request.err_leaf,
                       request.err_subleaf));
    return 0;
}

// Page tables are the guest's own: there is nothing to shadow, and so nothing to switch off.
CallResult shadow_op(DomctlCall& call) {
    TRY(call.not_self());
    auto& request = call.request.u.shadow_op;
    switch (static_cast<abi::ShadowOp>(request.op)) {
        case abi::ShadowOp::kOff:
            return 0;
        case abi::ShadowOp::kGetAllocation:
            request.mb = 0;
            call.answers = true;
            return 0;
        default:
            return Errno::kEOPNOTSUPP;
    }
}

}  // namespace torii::call
