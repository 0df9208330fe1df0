// memory_op (public memory.h): questions about memory; the operations that move it are in the files beside.
#include "base/once.h"
#include "core/call/handlers.h"
#include "core/call/memory_ops.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"
#include "core/memory/machine_map.h"
#include "core/memory/reservation.h"

namespace torii::call {
namespace {

using abi::MemoryOp;

CallResult of_domain(const MemoryCall& call) {
    abi::MemoryDomain request;
    TRY(GuestIn<abi::MemoryDomain>(call.address).copy_in(request));
    const DomainRef domain(TRY(find_target(call.context.domain(), request.domid)));
    if (!may_ask_about(call.context.domain(), *domain)) return Errno::kEPERM;
    switch (call.op) {
        case MemoryOp::kCurrentReservation:
            return static_cast<int64_t>(read_once(domain->frame_count));
        case MemoryOp::kMaximumReservation:
            return static_cast<int64_t>(frame_limit_of(*domain));
        default:
            break;
    }
    // The guest says itself how large its own table of frames is.
    const LockGuard guard(domain->control_lock);
    const uint64_t frames = domain->shared_info != nullptr ? read_once(domain->shared_info->arch.max_pfn) : 0;
    return static_cast<int64_t>(frames) - 1;
}

CallResult machphys_mapping(const MemoryCall& call) {
    const abi::MachphysMapping mapping{abi::kMachineToPhysVirtStart, abi::kMachineToPhysVirtEnd,
                                       abi::kMachineToPhysEntries - 1};
    TRY(GuestOut<abi::MachphysMapping>(call.address).copy_out(mapping));
    return 0;
}

// A promise that so many frames will be there. The allocator keeps nothing back, so the answer is only
// whether it could be kept now; a builder that believes it and comes too late is told so by populate_physmap.
CallResult claim_pages(const MemoryCall& call) {
    if (!may_control_machine(call.context.domain())) return Errno::kEPERM;
    abi::MemoryReservation request;
    TRY(GuestIn<abi::MemoryReservation>(call.address).copy_in(request));
    if (request.extent_order != 0 || request.mem_flags != 0 || request.extent_start.address != 0)
        return Errno::kEINVAL;
    const DomainRef domain(TRY(find_target(call.context.domain(), request.domid)));
    if (request.nr_extents > read_once(domain->frame_limit)) return Errno::kEINVAL;
    const uint64_t has = read_once(domain->frame_count);
    const uint64_t wants = request.nr_extents > has ? request.nr_extents - has : 0;
    if (wants > free_frame_count()) return Errno::kENOMEM;
    return 0;
}

// Physical maps other than the guest's own table exist for hardware-virtualised guests only.
CallResult change_physmap(const MemoryCall& call) {
    abi::RawDomId domid;
    TRY(GuestIn<abi::RawDomId>(call.address).copy_in(domid));
    const DomainRef domain(TRY(find_target(call.context.domain(), domid)));
    if (!may_change_memory_of(call.context.domain(), *domain)) return Errno::kEPERM;
    return Errno::kEACCES;
}

// Memory that a device needs left alone: without an IOMMU there is none.
CallResult reserved_device_memory(const MemoryCall& call) {
    abi::ReservedDeviceMemoryMap request;
    const GuestInOut<abi::ReservedDeviceMemoryMap> pointer(call.address);
    TRY(pointer.copy_in(request));
    if ((request.flags & ~abi::kReservedDeviceMemoryAll) != 0) return Errno::kEINVAL;
    request.nr_entries = 0;
    TRY(pointer.copy_out(request));
    return 0;
}

}  // namespace

Result<AllocationWish> wish_of(uint32_t mem_flags) {
    AllocationWish wish;
    const uint32_t bits = mem_flags & abi::kMemFlagAddressBitsMask;
    if (bits == 0) return wish;
    if (bits <= kPageShift) return Errno::kEINVAL;
    wish.address_bits = bits < 64 ? bits : 64;
    return wish;
}

CallResult memory_op(CallContext& context) {
    const uint64_t command = context.arg<0>();
    const auto op = static_cast<MemoryOp>(command & ((1u << kMemoryOpBits) - 1));
    const MemoryCall call{context, op, command >> kMemoryOpBits, context.arg<1>()};
    switch (op) {
        case MemoryOp::kIncreaseReservation:
        case MemoryOp::kDecreaseReservation:
        case MemoryOp::kPopulatePhysmap:
            return change_reservation(call);
        case MemoryOp::kExchange:
            return exchange(call);
        case MemoryOp::kMaximumRamPage:
            return static_cast<int64_t>(boot_memory_map.end_of_ram.raw());
        case MemoryOp::kCurrentReservation:
        case MemoryOp::kMaximumReservation:
        case MemoryOp::kMaximumGpfn:
            return of_domain(call);
        case MemoryOp::kMachphysMfnList:
            return machphys_mfn_list(call);
        case MemoryOp::kMachphysMapping:
            return machphys_mapping(call);
        case MemoryOp::kMemoryMap:
            return memory_map(call);
        case MemoryOp::kMachineMemoryMap:
            return machine_memory_map(call);
        case MemoryOp::kSetMemoryMap:
            return set_memory_map(call);
        case MemoryOp::kAddToPhysmap:
        case MemoryOp::kAddToPhysmapBatch:
        case MemoryOp::kRemoveFromPhysmap:
            return change_physmap(call);
        case MemoryOp::kClaimPages:
            return claim_pages(call);
        case MemoryOp::kReservedDeviceMemoryMap:
            return reserved_device_memory(call);
        case MemoryOp::kAcquireResource:
            return acquire_resource(call);
        case MemoryOp::kGetVnumainfo:
            return Errno::kEOPNOTSUPP;
        default:
            return Errno::kENOSYS;  // populate on demand, paging, sharing: for other kinds of guests
    }
}

}  // namespace torii::call
