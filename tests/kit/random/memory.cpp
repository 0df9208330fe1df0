// memory_op: frames come and go, and so do a domain's ways to find out about them.
#include <gtest/gtest.h>
#include <torii/abi/memory.h>

#include "kit/random/world.h"

namespace torii::test {
namespace {

uint64_t op(abi::MemoryOp operation) {
    return static_cast<uint64_t>(operation);
}

}  // namespace

void RandomWorld::populate(HostedDomain& caller, HostedDomain& owner) {
    uint64_t extents[8];
    const unsigned order = pick(3);
    const unsigned count = 1 + pick(order == 0 ? 6 : 2);
    for (unsigned i = 0; i < count; ++i)
        extents[i] = pick(256);
    const bool populates = chance(70);
    abi::MemoryReservation request{{address(extents)}, count, order, 0, owner.id().raw(), {}};
    if (chance(10)) request.mem_flags = 32;
    (void)call(caller, populates ? "populate_physmap" : "increase_reservation", Number::kMemoryOp,
               {op(populates ? abi::MemoryOp::kPopulatePhysmap : abi::MemoryOp::kIncreaseReservation),
                address(request)});
    owner.refresh_frames();
}

// Of what it holds, whatever it is used for; a table or a granted frame stays until that is over.
void RandomWorld::decrease(HostedDomain& caller, HostedDomain& owner) {
    uint64_t extents[4];
    const unsigned count = 1 + pick(4);
    for (unsigned i = 0; i < count; ++i)
        extents[i] = (chance(70) ? unused_frame(owner) : some_frame(owner)).raw();
    if (chance(5)) extents[0] = some_frame(some()).raw();
    abi::MemoryReservation request{{address(extents)}, count, 0, 0, owner.id().raw(), {}};
    (void)call(caller, "decrease_reservation", Number::kMemoryOp,
               {op(abi::MemoryOp::kDecreaseReservation), address(request)});
    owner.refresh_frames();
}

void RandomWorld::change_memory() {
    HostedDomain& owner = may_control() ? some() : caller();
    HostedDomain& by = chance(20) || !is_own(owner) ? caller_with_rights() : owner;
    if (owner.frames() > kMostFrames || (owner.frames() > kFewestFrames + 4 && chance(50)))
        return decrease(by, owner);
    populate(by, owner);
}

void RandomWorld::exchange() {
    HostedDomain& domain = caller();
    uint64_t given[4];
    uint64_t got[4]{};
    const bool together = chance(20);
    const unsigned count = together ? 4 : 1 + pick(4);
    const unsigned first = pick(domain.frames());
    for (unsigned i = 0; i < count; ++i)
        given[i] = domain.mfn((first + i) % domain.frames()).raw();
    // Those that nobody uses; now and then another.
    for (unsigned i = 0; i < count && chance(90); ++i) {
        if (frame_at(Mfn(given[i])).references() != 1) given[i] = unused_frame(domain).raw();
    }
    abi::MemoryExchange request{};
    request.in = {{address(given)}, count, 0, 0, kSelf, {}};
    request.out = {{address(got)}, together ? 1u : count, together ? 2u : 0u, 0, kSelf, {}};
    if (chance(30)) request.out.mem_flags = 30;
    (void)call(domain, "exchange", Number::kMemoryOp, {op(abi::MemoryOp::kExchange), address(request)});
    domain.refresh_frames();
}

void RandomWorld::ask_about_memory() {
    HostedDomain& by = caller();
    std::array<uint64_t, 16> buffer{};
    const abi::MemoryDomain about{chance(60) ? kSelf : some().id().raw()};
    abi::MachphysMfnList list{1, 0, {address(buffer)}, 0, 0};
    abi::ReservedDeviceMemoryMap reserved{};
    abi::AddToPhysmap physmap{};
    physmap.domid = kSelf;
    switch (pick(8)) {
        case 0:
        case 1:
            (void)call(by, "ask about memory", Number::kMemoryOp,
                       {op(one_of({abi::MemoryOp::kCurrentReservation, abi::MemoryOp::kMaximumReservation,
                                   abi::MemoryOp::kMaximumGpfn, abi::MemoryOp::kMaximumRamPage})),
                        address(about)});
            return;
        case 2:
        case 3:
            (void)call(by, "machphys_mfn_list", Number::kMemoryOp,
                       {op(abi::MemoryOp::kMachphysMfnList), address(list)});
            return;
        case 4:
            (void)call(by, "machphys_mapping", Number::kMemoryOp,
                       {op(abi::MemoryOp::kMachphysMapping), address(buffer)});
            return;
        case 5:
            (void)call(by, "reserved_device_memory", Number::kMemoryOp,
                       {op(abi::MemoryOp::kReservedDeviceMemoryMap), address(reserved)});
            return;
        case 6: {
            abi::MemoryReservation claim{{0}, pick(40), 0, 0, guest().id().raw(), {}};
            (void)call(caller_with_rights(), "claim_pages", Number::kMemoryOp,
                       {op(abi::MemoryOp::kClaimPages), address(claim)});
            return;
        }
        default:
            (void)call(by, "add_to_physmap", Number::kMemoryOp,
                       {op(one_of({abi::MemoryOp::kAddToPhysmap, abi::MemoryOp::kAddToPhysmapBatch,
                                   abi::MemoryOp::kRemoveFromPhysmap})),
                        address(physmap)});
    }
}

// The control domain finds a guest's grant table, and maps it.
void RandomWorld::acquire_resource() {
    HostedDomain& by = chance(95) ? caller_with_rights() : caller();
    HostedDomain& owner = guest();
    uint64_t frames[4]{};
    abi::AcquireResource request{};
    request.domid = owner.id().raw();
    request.type = static_cast<uint16_t>(abi::ResourceType::kGrantTable);
    request.nr_frames = 1 + pick(3);
    request.frame = pick(3);
    request.frame_list = {address(frames)};
    const int64_t result = call(by, "acquire_resource", Number::kMemoryOp,
                                {op(abi::MemoryOp::kAcquireResource), address(request)});
    if (result != 0 || by.unfinished || frames[0] == 0 || chance(50)) return;
    (void)call(by, "map acquired", Number::kUpdateVaMappingOtherdomain,
               {CallDomain::va(pick(kPages)), HostedDomain::entry(Mfn(frames[0])), 0, owner.id().raw()});
}

}  // namespace torii::test
