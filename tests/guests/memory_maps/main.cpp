// memory_op: what it tells about memory.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(memory_map, "The pseudo-physical map holds our memory and counts its entries") {
    static abi::E820Entry entries[abi::kE820MaxEntries];
    abi::MemoryMap map{abi::kE820MaxEntries, 0, {virtual_address(entries)}};
    const int64_t result = memory_op(abi::MemoryOp::kMemoryMap, map);
    if (result == abi::negated(abi::Errno::kENOSYS)) return skip("no map was set for this domain");
    CHECK_SUCCEEDS(result);
    CHECK(map.nr_entries >= 1);
    CHECK_EQUAL(entries[0].type, static_cast<uint32_t>(abi::E820Type::kRam));
}

GUEST_TEST(memory_machine_map, "The control domain sees the machine's map; too small a buffer is refused") {
    static abi::E820Entry entries[abi::kE820MaxEntries];
    abi::MemoryMap map{abi::kE820MaxEntries, 0, {virtual_address(entries)}};
    const int64_t result = memory_op(abi::MemoryOp::kMachineMemoryMap, map);
    if (!is_control_domain()) {
        CHECK_EQUAL(result, abi::negated(abi::Errno::kEPERM));
        return;
    }
    CHECK_SUCCEEDS(result);
    uint64_t ram = 0;
    for (uint32_t index = 0; index < map.nr_entries; ++index) {
        if (entries[index].type == static_cast<uint32_t>(abi::E820Type::kRam)) ram += entries[index].size;
    }
    CHECK(ram / abi::kPageSize >= start_info().nr_pages);
    const uint32_t all = map.nr_entries;
    entries[1].type = 0x77;
    map.nr_entries = 1;
    CHECK_FAILS(memory_op(abi::MemoryOp::kMachineMemoryMap, map), kEINVAL);
    CHECK_EQUAL(entries[1].type, 0x77u);
    CHECK(all > 1);
}

GUEST_TEST(memory_m2p_mapping, "The M2P's place and size are told") {
    abi::MachphysMapping mapping{};
    CHECK_SUCCEEDS(memory_op(abi::MemoryOp::kMachphysMapping, mapping));
    CHECK_EQUAL(mapping.v_start, abi::kMachineToPhysVirtStart);
    CHECK_EQUAL(mapping.v_end, abi::kMachineToPhysVirtEnd);
    CHECK(mapping.max_mfn > mfn_of(boot_l4()));
}

GUEST_TEST(memory_m2p_frames, "The frames of the M2P are told, one per 2 MiB") {
    uint64_t frames[4] = {};
    abi::MachphysMfnList list{4, 0, {virtual_address(frames)}, 0, 0};
    CHECK_SUCCEEDS(memory_op(abi::MemoryOp::kMachphysMfnList, list));
    CHECK(list.nr_extents >= 1 && list.nr_extents <= 4);
    CHECK(frames[0] != 0);
    CHECK_EQUAL(frames[0] % 512, 0u);
}

GUEST_TEST(memory_acquire_refused, "Resources that do not exist are refused") {
    abi::AcquireResource resource{};
    resource.domid = 0x7000;
    resource.type = static_cast<uint16_t>(abi::ResourceType::kGrantTable);
    CHECK_FAILS(memory_op(abi::MemoryOp::kAcquireResource, resource), kESRCH);
    resource.domid = abi::kDomIdSelf;
    resource.pad = 1;
    CHECK_FAILS(memory_op(abi::MemoryOp::kAcquireResource, resource), kEINVAL);
}
