// mmuext_op: pins, base pointers, flushes, the LDT (public xen.h).
#include <torii/abi/mmu.h>

#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/foreign.h"
#include "arch/x86/pv/handlers.h"
#include "arch/x86/pv/page_type.h"
#include "core/call/guest_ptr.h"
#include "port/context.h"
#include "port/frames.h"
#include "port/machine.h"

namespace torii::pv {
namespace {

using Command = abi::MmuextOpCommand;

constexpr uint32_t kResumed = 1u << 31;  // as in mmu_update
constexpr uint32_t kMostLdtEntries = 8192;

Result<> clear_page(Domain& domain, Mfn mfn) {
    const FrameRef frame = FrameRef::take(mfn, domain.id);
    if (!frame || !get_writable(*frame)) return Errno::kEINVAL;
    zero_frame(mfn);
    put_writable(*frame);
    return {};
}

Result<> copy_page(Domain& domain, Mfn to, Mfn from) {
    const FrameRef source = FrameRef::take(from, domain.id);
    const FrameRef target = FrameRef::take(to, domain.id);
    if (!source || !target || !get_writable(*target)) return Errno::kEINVAL;
    copy_frame(to, from);
    put_writable(*target);
    return {};
}

Result<> set_ldt(Vcpu& vcpu, uint64_t base, uint32_t entries) {
    if (entries > kMostLdtEntries || (base & ~kPageMask) != 0) return Errno::kEINVAL;
    if (entries != 0 && !guest_range_ok(base, entries * uint64_t{8})) return Errno::kEINVAL;
    if (vcpu.pv.ldt_base == base && vcpu.pv.ldt_entries == entries) return {};
    vcpu.pv.ldt_base = entries != 0 ? base : 0;
    vcpu.pv.ldt_entries = entries;
    load_ldt(vcpu);
    // The CPU has let go of the old pages before they may become anything else.
    release_ldt_pages(vcpu);
    return {};
}

// The vCPUs that a flush names are among those that ran the domain, so all of these flush; but the mask must
// be there.
Result<> check_vcpu_mask(const Vcpu& vcpu, abi::GuestPtr64 pointer) {
    const GuestArray<uint8_t> mask(pointer);
    uint8_t bits = 0;
    return mask.read((vcpu.domain->vcpu_count - 1) / 8, bits);
}

// The operations that work on tables of `owner`, under its lock.
Result<> table_operation(Domain& owner, const abi::MmuextOp& op) {
    const LockGuard guard(owner.page_table_lock);
    Budget budget(kTablesPerCall);
    TRY(finish_undo(owner, budget));
    const Mfn mfn(op.arg1.mfn);
    if (static_cast<Command>(op.cmd) == Command::kUnpinTable) return unpin_table(owner, mfn);
    return pin_table(owner, mfn, op.cmd - static_cast<uint32_t>(Command::kPinL1Table) + 1, budget);
}

// What works on the caller itself.
Result<> own_operation(Vcpu& vcpu, const abi::MmuextOp& op) {
    switch (static_cast<Command>(op.cmd)) {
        case Command::kNewBaseptr:
            return set_kernel_root(vcpu, Mfn(op.arg1.mfn));
        case Command::kNewUserBaseptr:
            return set_user_root(vcpu, Mfn(op.arg1.mfn));
        case Command::kTlbFlushLocal:
            flush_this_cpu();
            return {};
        case Command::kInvlpgLocal:
            flush_page_on_this_cpu(GuestVa(op.arg1.linear_addr));
            return {};
        case Command::kTlbFlushMulti:
            TRY(check_vcpu_mask(vcpu, op.arg2.vcpumask));
            [[fallthrough]];
        case Command::kTlbFlushAll:
            flush_tlb(vcpu.domain->dirty_cpus);
            return {};
        case Command::kInvlpgMulti:
            TRY(check_vcpu_mask(vcpu, op.arg2.vcpumask));
            [[fallthrough]];
        case Command::kInvlpgAll:
            flush_tlb_page(vcpu.domain->dirty_cpus, GuestVa(op.arg1.linear_addr));
            return {};
        case Command::kFlushCache:
        case Command::kFlushCacheGlobal:
            if (!vcpu.domain->privileged) return Errno::kEACCES;
            flush_caches();
            return {};
        case Command::kSetLdt:
            return set_ldt(vcpu, op.arg1.linear_addr, op.arg2.nr_ents);
        case Command::kClearPage:
            return clear_page(*vcpu.domain, Mfn(op.arg1.mfn));
        case Command::kCopyPage:
            return copy_page(*vcpu.domain, Mfn(op.arg1.mfn), Mfn(op.arg2.src_mfn));
        default:
            return Errno::kENOSYS;  // superpages need typed 2 MiB frames, which Torii does not have
    }
}

Result<> perform(Vcpu& vcpu, Domain& owner, const abi::MmuextOp& op) {
    if (op.cmd <= static_cast<uint32_t>(Command::kUnpinTable)) return table_operation(owner, op);
    if (&owner != vcpu.domain) return Errno::kEPERM;
    return own_operation(vcpu, op);
}

}  // namespace

CallResult mmuext_op(CallContext& context) {
    uint32_t count = context.arg32<1>();
    const GuestArray<abi::MmuextOp> operations(context.arg<0>());
    const GuestInOut<uint32_t> done_pointer(context.arg<2>());
    const bool wants_done = context.arg<2>() != 0;
    uint32_t done_before = 0;
    if ((count & kResumed) != 0) {
        count &= ~kResumed;
        if (wants_done) TRY(done_pointer.copy_in(done_before));
    }
    const ForeignPair owners = TRY(find_frame_owner(context, context.arg32<3>()));
    Result<> result;
    uint32_t done = 0;
    for (; done < count; ++done) {
        abi::MmuextOp op;
        result = operations.read(done, op);
        if (result.ok()) result = perform(context.vcpu, owners.frame_owner(), op);
        if (!result.ok()) break;
        if (done + 1 == kTablesPerCall && done + 1 < count) {
            ++done;
            result = Errno::kERESTART;
            break;
        }
    }
    if (wants_done) TRY(done_pointer.copy_out(done_before + done));
    if (result.error() == Errno::kERESTART) {
        context.set_arg<0>(operations.address() + done * sizeof(abi::MmuextOp));
        context.set_arg<1>((count - done) | kResumed);
    }
    TRY(result);
    return 0;
}

}  // namespace torii::pv
