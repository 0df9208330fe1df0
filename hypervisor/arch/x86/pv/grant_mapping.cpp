// Grant maps as L1 entries.
#include "arch/x86/pv/page_type.h"
#include "base/log.h"
#include "base/once.h"
#include "core/grant/host_mapping.h"
#include "port/frames.h"

namespace torii {
namespace {

using abi::GrantStatus;
using pv::L1Place;
using pv::Pte;

// The software bits of an entry that the map's flags carry (public grant_table.h, GNTMAP_guest_avail): three,
// from bit 9 on.
constexpr unsigned kFirstSoftwareBit = 9;

MachineAddr address_of_entry(L1Place place) {
    return address_of(place.table) + place.slot * sizeof(uint64_t);
}

// Whether `mfn` is an L1 table of `holder` in use. The holder's page_table_lock keeps it one.
bool is_l1_of(const Domain& holder, Mfn mfn) {
    if (!frame_exists(mfn)) return false;
    const Frame& frame = frame_at(mfn);
    const TypeWord word = frame.type_word();
    return frame.owner() == holder.id && word.type() == FrameType::kL1 && word.validated() &&
           word.count() != 0;
}

// The L1 entry that `where` names; no table when there is none that the guest may name.
L1Place locate(const Vcpu& vcpu, GrantAddress where) {
    if (!where.contains_pte) return pv::find_l1(vcpu.pv.kernel_root, where.address);
    const MachineAddr entry(where.address);
    if (entry.raw() % sizeof(uint64_t) != 0 || !is_l1_of(*vcpu.domain, frame_of(entry))) return {};
    return {frame_of(entry), static_cast<unsigned>(offset_in_page(entry) / sizeof(uint64_t))};
}

bool maps(Pte entry, const Frame& frame) {
    return entry.present() && entry.mfn() == mfn_of(frame);
}

// Whether an entry may move to another place: not one that a grant handle may have recorded.
bool may_move(const Domain& holder, Pte entry) {
    if (!entry.present()) return true;
    return frame_exists(entry.mfn()) && frame_at(entry.mfn()).owner() == holder.id;
}

}  // namespace

GrantStatus install_grant_entry(Vcpu& vcpu, Domain& granter, Frame& frame, GrantAddress where,
                                uint32_t map_flags, MachineAddr& entry) {
    Domain& holder = *vcpu.domain;
    // All of user and kernel runs in ring 3, so an application map differs from a kernel's in nothing.
    uint64_t flags = pv::kPtePresent | pv::kPteUser | pv::kPteAccessed;
    if ((map_flags & abi::kGrantMapReadonly) == 0) flags |= pv::kPteWrite | pv::kPteDirty;
    flags |= (uint64_t{map_flags >> abi::kGrantMapAvailShift} << kFirstSoftwareBit) & pv::kPteSoftwareLow;

    const LockGuard guard(holder.page_table_lock);
    const L1Place place = locate(vcpu, where);
    if (place.table == kInvalidMfn) {
        log_guest(LogLevel::kInfo, "d{} has no L1 entry at {x} to map a grant of d{}", holder.id,
                  where.address, granter.id);
        return GrantStatus::kGeneralError;
    }
    const MappedFrame page(place.table);
    const Pte desired{address_of(mfn_of(frame)).raw() | flags};
    if (!pv::write_l1_entry(holder, granter, page.as<uint64_t>() + place.slot, desired, false).ok())
        return GrantStatus::kGeneralError;
    entry = address_of_entry(place);
    return GrantStatus::kOkay;
}

GrantStatus remove_grant_entry(Vcpu& vcpu, const Frame& frame, GrantAddress where, MachineAddr entry) {
    Domain& holder = *vcpu.domain;
    const LockGuard guard(holder.page_table_lock);
    // When the table is none any more, the references of its entries went with it.
    if (!is_l1_of(holder, frame_of(entry))) return GrantStatus::kOkay;
    const MappedFrame page(frame_of(entry));
    uint64_t* const slot = page.as<uint64_t>() + offset_in_page(entry) / sizeof(uint64_t);
    if (!maps(Pte{read_once(*slot)}, frame)) return GrantStatus::kOkay;

    const L1Place named = locate(vcpu, where);
    if (named.table == kInvalidMfn || address_of_entry(named) != entry) return GrantStatus::kBadVirtAddr;
    pv::put_l1_target_to_be_flushed(Pte{__atomic_exchange_n(slot, 0, __ATOMIC_ACQ_REL)});
    return GrantStatus::kOkay;
}

GrantStatus replace_grant_entry(Vcpu& vcpu, const Frame& frame, GrantAddress where, MachineAddr entry,
                                uint64_t replacement) {
    Domain& holder = *vcpu.domain;
    if (where.contains_pte) return GrantStatus::kGeneralError;
    const LockGuard guard(holder.page_table_lock);
    const L1Place to = locate(vcpu, where);
    if (to.table == kInvalidMfn || address_of_entry(to) != entry) return GrantStatus::kBadVirtAddr;
    const L1Place from = pv::find_l1(vcpu.pv.kernel_root, replacement);
    if (from.table == kInvalidMfn) return GrantStatus::kGeneralError;

    const MappedFrame to_page(to.table);
    const MappedFrame from_page(from.table);
    uint64_t* const to_slot = to_page.as<uint64_t>() + to.slot;
    uint64_t* const from_slot = from_page.as<uint64_t>() + from.slot;
    if (!maps(Pte{read_once(*to_slot)}, frame) || !may_move(holder, Pte{read_once(*from_slot)}) ||
        from_slot == to_slot)
        return GrantStatus::kGeneralError;
    // The references of the moved entry move with it. The CPU may set its accessed and dirty bits until it is
    // exchanged.
    const uint64_t moved = __atomic_exchange_n(from_slot, 0, __ATOMIC_ACQ_REL);
    const Pte old{__atomic_exchange_n(to_slot, moved, __ATOMIC_ACQ_REL)};
    pv::put_l1_target_to_be_flushed(old);
    return GrantStatus::kOkay;
}

}  // namespace torii
