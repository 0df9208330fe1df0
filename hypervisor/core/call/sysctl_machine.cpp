// sysctl: CPUs and memory of the machine.
#include "core/call/platform_hooks.h"
#include "core/call/sysctl_ops.h"
#include "core/memory/allocator.h"
#include "core/memory/machine_map.h"
#include "port/machine.h"

namespace torii::call {
namespace {

constexpr uint32_t kLocalDistance = 10;  // ACPI SLIT: a node to itself

}  // namespace

CallResult physical_info(SysctlCall& call) {
    auto& info = call.request.u.physinfo;
    info = abi::SysctlPhysinfo{};
    info.threads_per_core = platform.threads_per_core;
    info.cores_per_socket = platform.cores_per_socket;
    info.nr_cpus = cpu_count();
    info.max_cpu_id = cpu_count() - 1;
    info.nr_nodes = 1;
    info.max_node_id = 0;
    info.cpu_khz = platform.cpu_khz;
    info.capabilities = abi::kPhysicalCapPv | abi::kPhysicalCapGnttabV1;
    info.total_pages = boot_memory_map.ram_frames;
    info.free_pages = free_frame_count();
    info.max_mfn = boot_memory_map.end_of_ram.raw() - 1;
    for (unsigned i = 0; i < 8; ++i)
        info.hw_cap[i] = platform.cpu_features[i];
    return 0;
}

CallResult cpu_times(SysctlCall& call) {
    auto& request = call.request.u.getcpuinfo;
    const uint32_t count = request.max_cpus < cpu_count() ? request.max_cpus : cpu_count();
    const GuestArray<abi::SysctlCpuinfo> places(request.info);
    for (uint32_t i = 0; i < count; ++i)
        TRY(places.write(i, {.idletime = idle_time_of(CpuId(i))}));
    request.nr_cpus = count;
    return 0;
}

// A null buffer asks for the number alone.
CallResult cpu_topology(SysctlCall& call) {
    auto& request = call.request.u.cputopoinfo;
    const GuestArray<abi::SysctlCputopo> places(request.cputopo);
    if (places.is_null()) {
        request.num_cpus = cpu_count();
        return 0;
    }
    const uint32_t count = request.num_cpus < cpu_count() ? request.num_cpus : cpu_count();
    for (uint32_t i = 0; i < count; ++i) {
        const CpuIdentity identity = identity_of(CpuId(i));
        TRY(places.write(i, {.core = identity.core, .socket = identity.socket, .node = identity.node}));
    }
    request.num_cpus = cpu_count();
    return 0;
}

// All memory is one node.
CallResult numa_info(SysctlCall& call) {
    auto& request = call.request.u.numainfo;
    const GuestArray<abi::SysctlMeminfo> memory(request.meminfo);
    const GuestArray<uint32_t> distance(request.distance);
    if (request.num_nodes != 0) {
        if (!memory.is_null()) {
            TRY(memory.write(0, {.memsize = boot_memory_map.ram_frames << kPageShift,
                                 .memfree = free_frame_count() << kPageShift}));
        }
        if (!distance.is_null()) TRY(distance.write(0, kLocalDistance));
    }
    request.num_nodes = 1;
    return 0;
}

CallResult available_heap(SysctlCall& call) {
    auto& request = call.request.u.availheap;
    if (request.node != -1 && request.node != 0) return Errno::kEINVAL;
    request.avail_bytes = free_frame_count() << kPageShift;
    return 0;
}

// Which node a PCI device belongs to: there is one node, and the hypervisor keeps no list of devices.
CallResult pci_topology(SysctlCall& call) {
    auto& request = call.request.u.pcitopoinfo;
    constexpr uint32_t kPerCall = 64;
    const uint32_t count = request.num_devs < kPerCall ? request.num_devs : kPerCall;
    const GuestArray<uint32_t> nodes(request.nodes);
    for (uint32_t i = 0; i < count; ++i)
        TRY(nodes.write(i, abi::kInvalidDevice));
    request.num_devs = count;
    return 0;
}

}  // namespace torii::call
