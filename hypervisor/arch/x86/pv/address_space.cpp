#include "arch/x86/pv/address_space.h"

#include "arch/x86/pv/page_type.h"
#include "base/once.h"
#include "port/context.h"
#include "port/frames.h"

namespace torii::pv {
namespace {

Result<> replace_root(Vcpu& vcpu, Mfn& root, uint64_t& cr3, Mfn mfn) {
    Domain& domain = *vcpu.domain;
    const LockGuard guard(domain.page_table_lock);
    Budget budget(kTablesPerCall);
    TRY(finish_undo(domain, budget));
    if (mfn != Mfn{}) TRY(get_table(domain, mfn, 4, budget));
    const Mfn old = root;
    root = mfn;
    cr3 = address_of(mfn).raw();
    // The old tables stop being walked before their references go.
    load_address_space(vcpu);
    if (old != Mfn{}) put_table(domain, old);
    return {};
}

}  // namespace

Result<> set_kernel_root(Vcpu& vcpu, Mfn mfn) {
    if (mfn == Mfn{}) return Errno::kEINVAL;
    if (mfn == vcpu.pv.kernel_root) {
        load_address_space(vcpu);
        return {};
    }
    return replace_root(vcpu, vcpu.pv.kernel_root, vcpu.entry.kernel_cr3, mfn);
}

Result<> set_user_root(Vcpu& vcpu, Mfn mfn) {
    if (mfn == vcpu.pv.user_root) return {};
    return replace_root(vcpu, vcpu.pv.user_root, vcpu.entry.user_cr3, mfn);
}

void release_roots(Vcpu& vcpu) {
    const LockGuard guard(vcpu.domain->page_table_lock);
    for (Mfn* root : {&vcpu.pv.kernel_root, &vcpu.pv.user_root}) {
        if (*root != Mfn{}) put_table(*vcpu.domain, *root);
        *root = Mfn{};
    }
    vcpu.entry.kernel_cr3 = vcpu.entry.user_cr3 = 0;
}

void release_ldt_pages(Vcpu& vcpu) {
    const LockGuard guard(vcpu.domain->page_table_lock);
    for (Mfn& mfn : vcpu.pv.ldt_frames) {
        if (mfn != Mfn{}) put_descriptor_page(mfn);
        mfn = Mfn{};
    }
}

bool fault_in_ldt_page(Vcpu& vcpu, unsigned page) {
    if (page * (kPageSize / 8) >= vcpu.pv.ldt_entries || vcpu.pv.ldt_frames[page] != Mfn{}) {
        const Mfn mapped = page < kLdtPages ? vcpu.pv.ldt_frames[page] : Mfn{};
        if (mapped == Mfn{}) return false;
        map_ldt_page(page, mapped);  // known from an earlier run of this vCPU on another CPU
        return true;
    }
    Domain& domain = *vcpu.domain;
    const LockGuard guard(domain.page_table_lock);
    const L1Place place = find_l1(vcpu.pv.kernel_root, vcpu.pv.ldt_base + page * kPageSize);
    if (place.table == kInvalidMfn) return false;
    const MappedFrame table(place.table);
    const Pte entry{read_once(table.as<uint64_t>()[place.slot])};
    if (!entry.present() || !get_descriptor_page(domain, entry.mfn()).ok()) return false;
    vcpu.pv.ldt_frames[page] = entry.mfn();
    map_ldt_page(page, entry.mfn());
    return true;
}

}  // namespace torii::pv
