// GNTTABOP_map_grant_ref, unmap_grant_ref, unmap_and_replace. What refers to what: core/grant/grant_table.h.
#include <span>

#include "core/call/grant_call.h"
#include "core/grant/host_mapping.h"
#include "port/machine.h"

namespace torii::call {
namespace {

using abi::GrantStatus;

constexpr uint32_t kMapChunk = 16;
constexpr uint32_t kUnmapChunk = 32;  // one flush for so many

constexpr int16_t raw(GrantStatus status) {
    return static_cast<int16_t>(status);
}

GrantAccess access_of(uint16_t mapping_state) {
    return (mapping_state & GrantMapping::kReadonly) != 0 ? GrantAccess::kRead : GrantAccess::kWrite;
}

uint16_t mapping_state_of(uint32_t map_flags) {
    uint16_t state = 0;
    if ((map_flags & abi::kGrantMapHost) != 0) state |= GrantMapping::kHost;
    if ((map_flags & abi::kGrantMapDevice) != 0) state |= GrantMapping::kDevice;
    if ((map_flags & abi::kGrantMapReadonly) != 0) state |= GrantMapping::kReadonly;
    if ((map_flags & abi::kGrantMapContainsPte) != 0) state |= GrantMapping::kContainsPte;
    return state;
}

void unpin_parts(GrantTable& granter, GrantRef ref, uint16_t parts, GrantAccess access) {
    if ((parts & GrantMapping::kHost) != 0) granter.unpin(ref, access);
    if ((parts & GrantMapping::kDevice) != 0) granter.unpin(ref, access);
}

// Pins the grant once for each part; all or none.
GrantStatus pin_parts(Domain& caller, Domain& granter, GrantRef ref, uint16_t state, GrantTable::Pin& pin) {
    const GrantAccess access = access_of(state);
    uint16_t pinned = 0;
    for (const uint16_t part : {GrantMapping::kHost, GrantMapping::kDevice}) {
        if ((state & part) == 0) continue;
        const GrantStatus status = granter.grants.pin(ref, caller.id, access, pin);
        if (status != GrantStatus::kOkay) [[unlikely]] {
            unpin_parts(granter.grants, ref, pinned, access);
            return status == GrantStatus::kBadPage ? GrantStatus::kGeneralError : status;
        }
        pinned |= part;
    }
    return GrantStatus::kOkay;
}

// Fills in a reserved handle.
GrantStatus map_with_handle(Vcpu& vcpu, Domain& granter, abi::GrantMap& element, GrantMapping& mapping) {
    const uint16_t state = mapping_state_of(element.flags);
    const GrantRef ref(element.ref);
    GrantTable::Pin pin;
    GrantStatus status = pin_parts(*vcpu.domain, granter, ref, state, pin);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    Frame* const frame = pin.frame();
    MachineAddr entry{};
    if ((state & GrantMapping::kHost) != 0) {
        const GrantAddress where{element.host_addr, (state & GrantMapping::kContainsPte) != 0};
        status = install_grant_entry(vcpu, granter, *frame, where, element.flags, entry);
        if (status != GrantStatus::kOkay) [[unlikely]] {
            unpin_parts(granter.grants, ref, state, access_of(state));
            return status;
        }
    }
    mapping.granter = granter.id;
    mapping.ref = ref;
    mapping.entry = entry;
    // Linux takes the frame number from here for host maps too.
    element.dev_bus_addr = address_of(mfn_of(*frame)).raw();
    Maptrack::commit(mapping, state);
    return GrantStatus::kOkay;
}

GrantStatus map_one(Vcpu& vcpu, NamedDomain& granters, abi::GrantMap& element) {
    if ((element.flags & (abi::kGrantMapHost | abi::kGrantMapDevice)) == 0) [[unlikely]]
        return GrantStatus::kBadGntref;
    Domain* const granter = granters.find_living(element.dom);
    if (granter == nullptr) [[unlikely]]
        return GrantStatus::kBadDomain;
    Maptrack& handles = vcpu.domain->grants.handles;
    Result<GrantHandle> reserved = handles.reserve();
    if (!reserved.ok()) [[unlikely]]
        return GrantStatus::kNoSpace;
    const GrantHandle handle = reserved.take();
    const GrantStatus status = map_with_handle(vcpu, *granter, element, handles.at(handle));
    if (status != GrantStatus::kOkay) [[unlikely]]
        handles.release(handle);
    element.handle = handle.raw();
    return status;
}

// An unmap between the moment its page-table entry is gone and the flush after which the rest may go.
struct Ending {
    GrantMapping* mapping;  // null: nothing ends
    uint32_t handle;
    uint16_t state;  // of the mapping before
    uint16_t parts;  // that end
};

struct UnmapRequest {
    uint64_t host_addr;
    uint64_t dev_bus_addr;
    uint64_t replacement;  // a linear address whose entry moves to host_addr; zero: none
    GrantHandle handle;
};

// The page-table side of a claimed handle. Fills in `parts` on success.
GrantStatus end_parts(Vcpu& vcpu, Domain& granter, const UnmapRequest& request, Ending& ending) {
    const GrantMapping& mapping = *ending.mapping;
    const Frame& frame = granter.grants.pinned_frame(mapping.ref);
    uint16_t parts = 0;
    if (request.dev_bus_addr != 0) {
        if (request.dev_bus_addr != address_of(mfn_of(frame)).raw()) return GrantStatus::kBadDevAddr;
        parts |= ending.state & GrantMapping::kDevice;
    }
    if (request.host_addr != 0) {
        if ((ending.state & GrantMapping::kHost) == 0) return GrantStatus::kBadVirtAddr;
        const GrantAddress where{request.host_addr, (ending.state & GrantMapping::kContainsPte) != 0};
        const GrantStatus status =
            request.replacement != 0
                ? replace_grant_entry(vcpu, frame, where, mapping.entry, request.replacement)
                : remove_grant_entry(vcpu, frame, where, mapping.entry);
        if (status != GrantStatus::kOkay) [[unlikely]]
            return status;
        parts |= GrantMapping::kHost;
    }
    ending.parts = parts;
    return GrantStatus::kOkay;
}

GrantStatus begin_unmap(Vcpu& vcpu, NamedDomain& granters, const UnmapRequest& request, Ending& ending) {
    Maptrack& handles = vcpu.domain->grants.handles;
    GrantMapping* const mapping = handles.claim(request.handle);
    ending = {};
    if (mapping == nullptr) [[unlikely]]
        return GrantStatus::kBadHandle;
    const auto state =
        static_cast<uint16_t>(mapping->state.load(std::memory_order_relaxed) & GrantMapping::kAll);
    ending = {mapping, request.handle.raw(), state, 0};
    Domain* const granter = granters.find(mapping->granter.raw());
    // Our pin holds a frame of the granter, and that holds the granter.
    BUG_ON(granter == nullptr);
    const GrantStatus status = end_parts(vcpu, *granter, request, ending);
    if (ending.parts == 0) {
        Maptrack::commit(*mapping, state);
        ending.mapping = nullptr;
    }
    return status;
}

// After the flush: the pins go, and with the last part the handle.
void finish_unmap(Domain& caller, NamedDomain& granters, const Ending& ending) {
    if (ending.mapping == nullptr) return;
    Domain* const granter = granters.find(ending.mapping->granter.raw());
    BUG_ON(granter == nullptr);
    unpin_parts(granter->grants, ending.mapping->ref, ending.parts, access_of(ending.state));
    const auto left = static_cast<uint16_t>(ending.state & ~ending.parts);
    if ((left & GrantMapping::kParts) != 0) {
        Maptrack::commit(*ending.mapping, left);
    } else {
        caller.grants.handles.release(GrantHandle(ending.handle));
    }
}

UnmapRequest request_of(const abi::GrantUnmap& element) {
    return {element.host_addr, element.dev_bus_addr, 0, GrantHandle(element.handle)};
}
UnmapRequest request_of(const abi::GrantUnmapAndReplace& element) {
    return {element.host_addr, 0, element.new_addr, GrantHandle(element.handle)};
}

// Ends a chunk of mappings with one flush. The whole of the caller's translations goes: the same L1 table may
// be reachable through several linear addresses, of which the caller names one at most.
template <class Element>
void unmap_chunk(Vcpu& vcpu, NamedDomain& granters, std::span<Element> elements) {
    Domain& caller = *vcpu.domain;
    Ending endings[kUnmapChunk];  // set as far as there are elements
    bool flush = false;
    for (size_t i = 0; i < elements.size(); ++i) {
        elements[i].status = raw(begin_unmap(vcpu, granters, request_of(elements[i]), endings[i]));
        flush = flush || (endings[i].parts & GrantMapping::kHost) != 0;
    }
    if (flush) flush_tlb(caller.dirty_cpus);
    for (size_t i = 0; i < elements.size(); ++i)
        finish_unmap(caller, granters, endings[i]);
}

// The caller can't be told its new handles: the maps are ended again.
void undo_maps(Vcpu& vcpu, NamedDomain& granters, std::span<const abi::GrantMap> elements) {
    abi::GrantUnmap endings[kMapChunk];
    size_t count = 0;
    for (const abi::GrantMap& element : elements) {
        if (element.status != raw(GrantStatus::kOkay)) continue;
        const bool host = (element.flags & abi::kGrantMapHost) != 0;
        const bool device = (element.flags & abi::kGrantMapDevice) != 0;
        endings[count++] = {host ? element.host_addr : 0, device ? element.dev_bus_addr : 0, element.handle,
                            0, 0};
    }
    unmap_chunk(vcpu, granters, std::span(endings, count));
}

template <class Element>
CallResult unmap_all(CallContext& context, uint64_t array, uint32_t count) {
    NamedDomain granters(context.domain());
    return for_each_chunk<Element, kUnmapChunk>(
        context, array, count,
        [&](std::span<Element> elements) { unmap_chunk(context.vcpu, granters, elements); },
        [](std::span<Element>) {});
}

}  // namespace

CallResult map_grants(CallContext& context, uint64_t array, uint32_t count) {
    NamedDomain granters(context.domain());
    return for_each_chunk<abi::GrantMap, kMapChunk>(
        context, array, count,
        [&](std::span<abi::GrantMap> elements) {
            for (abi::GrantMap& element : elements)
                element.status = raw(map_one(context.vcpu, granters, element));
        },
        [&](std::span<abi::GrantMap> elements) { undo_maps(context.vcpu, granters, elements); });
}

CallResult unmap_grants(CallContext& context, uint64_t array, uint32_t count) {
    return unmap_all<abi::GrantUnmap>(context, array, count);
}

CallResult unmap_and_replace_grants(CallContext& context, uint64_t array, uint32_t count) {
    return unmap_all<abi::GrantUnmapAndReplace>(context, array, count);
}

}  // namespace torii::call
