// Maps of memory (public memory.h): the machine's, a guest's, where the machine-to-physical table lies, and
// frames of the hypervisor that a tool may map.
#include <cstddef>

#include "core/call/memory_ops.h"
#include "core/call/target.h"
#include "core/domain/grants.h"
#include "core/domain/privilege.h"
#include "core/memory/machine_map.h"

namespace torii::call {
namespace {

// All entries or, when there is too little room, none; a null buffer asks for the number alone.
CallResult answer_map(uint64_t address, const abi::E820Entry* entries, uint32_t count) {
    const GuestInOut<abi::MemoryMap> pointer(address);
    abi::MemoryMap request;
    TRY(pointer.copy_in(request));
    if (request.buffer.address != 0) {
        if (request.nr_entries < count) return Errno::kEINVAL;
        TRY(GuestArray<abi::E820Entry>(request.buffer).write_many(0, entries, count));
    }
    request.nr_entries = count;
    TRY(pointer.copy_out(request));
    return 0;
}

CallResult grant_table_size(const MemoryCall& call, const Domain& domain,
                            const abi::AcquireResource& request) {
    if (request.nr_frames != 0 || request.frame != 0) return Errno::kEINVAL;
    const GuestOut<uint32_t> place(call.address + offsetof(abi::AcquireResource, nr_frames));
    TRY(place.copy_out(domain.grants.frame_limit()));
    return 0;
}

CallResult acquire_grant_table(const MemoryCall& call, Domain& domain, const abi::AcquireResource& request) {
    if (request.id == abi::kResourceGrantTableStatus) return Errno::kEINVAL;  // of version 2
    if (request.id != abi::kResourceGrantTableShared) return Errno::kEINVAL;
    if (request.frame_list.address == 0) return grant_table_size(call, domain, request);
    const uint64_t limit = domain.grants.frame_limit();
    if (request.nr_frames == 0 || request.frame >= limit || request.nr_frames > limit - request.frame)
        return Errno::kEINVAL;
    if (call.start >= request.nr_frames) return Errno::kEINVAL;
    const GuestArray<uint64_t> list(request.frame_list);
    Budget budget(kMemoryBudget);
    for (uint64_t i = call.start; i < request.nr_frames; ++i) {
        if (i != call.start && !budget.spend(cost_of_block(0))) return call.continue_at(i);
        Mfn mfn{};
        TRY(get_grant_frames(domain, request.frame + i, std::span<Mfn>(&mfn, 1)));
        TRY(list.write(i, mfn.raw()));
    }
    return 0;
}

}  // namespace

CallResult machine_memory_map(const MemoryCall& call) {
    if (!may_use_devices(call.context.domain())) return Errno::kEPERM;
    return answer_map(call.address, boot_memory_map.entries, boot_memory_map.count);
}

// No guest has a map of its own: its memory is what its start_info says, from frame zero on, without holes.
CallResult memory_map(const MemoryCall& call) {
    return Errno::kENOSYS;
}
CallResult set_memory_map(const MemoryCall& call) {
    return may_control_machine(call.context.domain()) ? Errno::kENOSYS : Errno::kEPERM;
}

// Where the table lies is no secret: every guest reads it. Mapping those frames elsewhere is another
// question.
CallResult machphys_mfn_list(const MemoryCall& call) {
    const GuestInOut<abi::MachphysMfnList> pointer(call.address);
    abi::MachphysMfnList request;
    TRY(pointer.copy_in(request));
    const uint32_t count = request.max_extents < m2p_frames.count ? request.max_extents : m2p_frames.count;
    const GuestArray<uint64_t> list(request.extent_start);
    for (uint32_t i = 0; i < count; ++i)
        TRY(list.write(i, m2p_frames.superpages[i].raw()));
    request.nr_extents = count;
    TRY(pointer.copy_out(request));
    return 0;
}

CallResult acquire_resource(const MemoryCall& call) {
    abi::AcquireResource request;
    TRY(GuestIn<abi::AcquireResource>(call.address).copy_in(request));
    if (request.pad != 0) return Errno::kEINVAL;
    const Domain& caller = call.context.domain();
    const DomainRef domain(TRY(find_target(caller, request.domid)));
    if (&*domain == &caller || !may_map_frames_of(caller, *domain)) return Errno::kEPERM;
    if (request.type != static_cast<uint16_t>(abi::ResourceType::kGrantTable)) return Errno::kEOPNOTSUPP;
    return acquire_grant_table(call, *domain, request);
}

}  // namespace torii::call
