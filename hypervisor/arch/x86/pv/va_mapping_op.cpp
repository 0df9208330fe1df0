// update_va_mapping: one L1 entry of the current address space, by virtual address (public xen.h).
#include <torii/abi/mmu.h>

#include "arch/x86/pv/foreign.h"
#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/page_type.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::pv {
namespace {

bool names_a_flush(uint64_t flags) {
    return (flags & abi::kUvmfFlushTypeMask) <= abi::kUvmfInvlpg;
}

void flush_after(const Vcpu& vcpu, uint64_t va, uint64_t flags) {
    const uint64_t kind = flags & abi::kUvmfFlushTypeMask;
    // The CPUs that a bitmap of vCPUs stands for are among those that ran the domain.
    const CpuMask& all = vcpu.domain->dirty_cpus;
    const bool local = (flags & ~abi::kUvmfFlushTypeMask) == abi::kUvmfLocal;
    if (kind == abi::kUvmfTlbFlush) local ? flush_this_cpu() : flush_tlb(all);
    if (kind == abi::kUvmfInvlpg)
        local ? flush_page_on_this_cpu(GuestVa(va)) : flush_tlb_page(all, GuestVa(va));
}

Result<> change(Vcpu& vcpu, Domain& frame_owner, uint64_t va, uint64_t value) {
    Domain& domain = *vcpu.domain;
    const LockGuard guard(domain.page_table_lock);
    if (domain.undo_first != 0) [[unlikely]] {
        Budget budget(kTablesPerCall);
        TRY(finish_undo(domain, budget));
    }
    const L1Place place = find_l1(vcpu.pv.kernel_root, va);
    if (place.table == kInvalidMfn) return Errno::kEINVAL;
    const MappedFrame page(place.table);
    return write_l1_entry(domain, frame_owner, page.as<uint64_t>() + place.slot, Pte{value}, false);
}

}  // namespace

CallResult update_va_mapping(CallContext& context) {
    if (!names_a_flush(context.arg<2>())) return Errno::kEINVAL;
    TRY(change(context.vcpu, context.domain(), context.arg<0>(), context.arg<1>()));
    flush_after(context.vcpu, context.arg<0>(), context.arg<2>());
    return 0;
}

CallResult update_va_mapping_otherdomain(CallContext& context) {
    if (!names_a_flush(context.arg<2>())) return Errno::kEINVAL;
    const ForeignPair owners = TRY(find_frame_owner(context, context.arg32<3>()));
    TRY(change(context.vcpu, owners.frame_owner(), context.arg<0>(), context.arg<1>()));
    flush_after(context.vcpu, context.arg<0>(), context.arg<2>());
    return 0;
}

}  // namespace torii::pv
