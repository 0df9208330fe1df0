// Grants: given, mapped in both forms, copied through, transferred.
#include <gtest/gtest.h>

#include "base/once.h"
#include "kit/random/world.h"

namespace torii::test {
namespace {

using abi::GrantTableOp;

uint64_t op(GrantTableOp operation) {
    return static_cast<uint64_t>(operation);
}

}  // namespace

// What others may map or copy later. Alone, an entry is made for the call that uses it.
void RandomWorld::offer_grants() {
    if (is_alone()) return;
    HostedDomain& granter = caller();
    const uint32_t ref = pick(kRefs);
    if (chance(20)) return granter.grant(ref, some().id(), Mfn{}, abi::kGtfAcceptTransfer);
    granter.grant(ref, some().id(), unused_frame(granter),
                  abi::kGtfPermitAccess | (chance(30) ? abi::kGtfReadonly : uint16_t{0}));
}

void RandomWorld::map_grant() {
    HostedDomain& mapper = caller();
    HostedDomain& granter = some();
    offer_grants();
    abi::GrantMap elements[2]{};
    const unsigned count = 1 + pick(2);
    for (unsigned i = 0; i < count; ++i) {
        const uint32_t ref = pick(kRefs);
        if (is_own(granter) && chance(80)) {
            const uint16_t only_read = chance(30) ? abi::kGtfReadonly : 0;
            granter.grant(ref, chance(95) ? mapper.id() : some().id(), unused_frame(granter),
                          abi::kGtfPermitAccess | only_read);
        }
        uint32_t flags = one_of({abi::kGrantMapHost, abi::kGrantMapHost | abi::kGrantMapContainsPte,
                                 abi::kGrantMapDevice, abi::kGrantMapHost | abi::kGrantMapDevice});
        if (chance(40)) flags |= abi::kGrantMapReadonly;
        const unsigned page = pick(kPages);
        const uint64_t at =
            (flags & abi::kGrantMapContainsPte) != 0 ? mapper.pte_address(page) : CallDomain::va(page);
        elements[i] = {at, flags, ref, granter.id().raw(), 1, 0, 0};
    }
    (void)call(mapper, "map_grant_ref", Number::kGrantTableOp,
               {op(GrantTableOp::kMapGrantRef), address(elements), count});
    for (unsigned i = 0; i < count; ++i) {
        if (elements[i].status == 1) continue;  // not reached
        note_status("grant map", elements[i].status == 0);
        if (elements[i].status != 0) continue;
        mappings_.push_back({&mapper, elements[i]});
        if (is_alone()) continue;
        const std::lock_guard guard(shared_->lock);
        shared_->entries[own_].maps[pick(4)] = elements[i];
    }
}

void RandomWorld::unmap_grant() {
    if (!is_alone() && chance(40)) {
        abi::GrantMap map;
        {
            const std::lock_guard guard(shared_->lock);
            map = shared_->entries[own_].maps[pick(4)];
        }
        if (chance(40)) map.handle = pick(8);  // or one that it never heard of
        return end_mapping(caller(), map);
    }
    if (mappings_.empty()) return map_grant();
    const size_t index = pick(static_cast<unsigned>(mappings_.size()));
    const auto [mapper, map] = mappings_[index];
    if (!can_call(slot_of(*mapper))) return;
    end_mapping(*mapper, map);
    if (mapper->domain().grants.handles.at(GrantHandle(map.handle)).state.load() == 0)
        mappings_.erase(mappings_.begin() + static_cast<ptrdiff_t>(index));
}

void RandomWorld::end_mapping(HostedDomain& mapper, const abi::GrantMap& map) {
    const bool host = (map.flags & abi::kGrantMapHost) != 0;
    const bool device = (map.flags & abi::kGrantMapDevice) != 0;
    if (host && !device && chance(15)) {
        abi::GrantUnmapAndReplace element{map.host_addr, CallDomain::va(pick(kPages)), map.handle, 1, 0};
        (void)call(mapper, "unmap_and_replace", Number::kGrantTableOp,
                   {op(GrantTableOp::kUnmapAndReplace), address(element), 1});
        if (element.status != 1) note_status("grant replace", element.status == 0);
    } else {
        abi::GrantUnmap element{host ? map.host_addr : 0, device ? map.dev_bus_addr : 0, map.handle, 1, 0};
        if (host && device && chance(30)) element.host_addr = 0;  // half of it
        (void)call(mapper, "unmap_grant_ref", Number::kGrantTableOp,
                   {op(GrantTableOp::kUnmapGrantRef), address(element), 1});
        if (element.status != 1) note_status("grant unmap", element.status == 0);
    }
}

void RandomWorld::copy_grant() {
    HostedDomain& by = caller();
    HostedDomain& granter = some();
    const uint32_t ref = pick(kRefs);
    if (is_own(granter) && chance(80)) granter.grant(ref, by.id(), unused_frame(granter));
    abi::GrantCopyPointer grant_end{};
    grant_end.u.ref = ref;
    grant_end.domid = granter.id().raw();
    grant_end.offset = static_cast<uint16_t>(pick(64) * 32);
    abi::GrantCopyPointer own_end{};
    own_end.u.gmfn = (chance(90) ? unused_frame(by) : some_frame(by)).raw();
    own_end.domid = kSelf;
    own_end.offset = static_cast<uint16_t>(pick(64) * 32);
    abi::GrantCopy element{};
    const bool out = chance(50);
    element.source = out ? own_end : grant_end;
    element.dest = out ? grant_end : own_end;
    element.flags = out ? abi::kGrantCopyDestGref : abi::kGrantCopySourceGref;
    element.len = static_cast<uint16_t>(chance(97) ? pick(2048) : 4096);
    element.status = 1;
    (void)call(by, "copy", Number::kGrantTableOp, {op(GrantTableOp::kCopy), address(element), 1});
    if (element.status != 1) note_status("grant copy", element.status == 0);
}

void RandomWorld::transfer_grant() {
    HostedDomain& from = caller();
    HostedDomain& to = some();
    if (from.frames() <= kFewestFrames || to.frames() >= kMostFrames) return;
    const uint32_t ref = pick(kRefs);
    // Waits for a frame from there, unless the entry is in use.
    if (is_own(to) && chance(95) &&
        (read_once(to.CallDomain::entry(ref).flags) & (abi::kGtfReading | abi::kGtfWriting)) == 0)
        to.grant(ref, from.id(), Mfn{}, abi::kGtfAcceptTransfer);
    Mfn given = unused_frame(from);
    for (unsigned i = 0; i < from.frames() && frame_at(given).references() != 1 && chance(98); ++i)
        given = from.mfn(i);
    abi::GrantTransfer element{given.raw(), to.id().raw(), 0, ref, 1, {}};
    (void)call(from, "transfer", Number::kGrantTableOp, {op(GrantTableOp::kTransfer), address(element), 1});
    if (element.status != 1) note_status("grant transfer", element.status == 0);
    from.refresh_frames();
    to.refresh_frames();
}

void RandomWorld::manage_grants() {
    HostedDomain& by = caller();
    uint64_t frames[4]{};
    switch (pick(5)) {
        case 0: {
            abi::GrantSetupTable element{kSelf, 0, 1 + pick(4), 1, {}, {address(frames)}};
            if (chance(20)) element.dom = guest().id().raw();
            (void)call(by, "setup_table", Number::kGrantTableOp,
                       {op(GrantTableOp::kSetupTable), address(element), 1});
            return;
        }
        case 1: {
            abi::GrantQuerySize element{kSelf, 0, 0, 0, 1, 0};
            (void)call(by, "query_size", Number::kGrantTableOp,
                       {op(GrantTableOp::kQuerySize), address(element), 1});
            return;
        }
        case 2: {
            abi::GrantSetVersion wish{1 + pick(2)};
            (void)call(by, "set_version", Number::kGrantTableOp,
                       {op(GrantTableOp::kSetVersion), address(wish), 1});
            return;
        }
        case 3: {
            abi::GrantGetVersion question{kSelf, 0, 0};
            (void)call(by, "get_version", Number::kGrantTableOp,
                       {op(GrantTableOp::kGetVersion), address(question), 1});
            return;
        }
        default: {
            abi::GrantSwapRef element{pick(kRefs), pick(kRefs), 1, 0};
            (void)call(by, "swap_grant_ref", Number::kGrantTableOp,
                       {op(GrantTableOp::kSwapGrantRef), address(element), 1});
            if (element.status != 1) note_status("grant swap", element.status == 0);
        }
    }
}

}  // namespace torii::test
