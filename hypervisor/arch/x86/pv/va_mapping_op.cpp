// update_va_mapping: one L1 entry of the current address space, by virtual address (public xen.h).
#include <torii/abi/mmu.h>

#include "arch/x86/pv/foreign.h"
#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/page_type.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::pv {
namespace {

// Which CPUs a flush argument asks for. Those named by a bitmap of vCPUs are among the ones that ran the
// domain.
uint64_t flush_targets(const Vcpu& vcpu, uint64_t flags) {
    const bool local = (flags & ~abi::kUvmfFlushTypeMask) == abi::kUvmfLocal;
    if (local) return uint64_t{1} << this_cpu().raw();
    return vcpu.domain->dirty_cpus.load(std::memory_order_relaxed);
}

bool names_a_flush(uint64_t flags) {
    return (flags & abi::kUvmfFlushTypeMask) <= abi::kUvmfInvlpg;
}

void flush_after(const Vcpu& vcpu, uint64_t va, uint64_t flags) {
    const uint64_t kind = flags & abi::kUvmfFlushTypeMask;
    if (kind == abi::kUvmfTlbFlush) flush_tlb(flush_targets(vcpu, flags));
    if (kind == abi::kUvmfInvlpg) flush_tlb_page(flush_targets(vcpu, flags), GuestVa(va));
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
