// sysctl: CPUs and memory of the machine.
#include <torii/abi/domctl.h>

#include "core/call/control_bitmap.h"
#include "core/call/platform_hooks.h"
#include "core/call/sysctl_ops.h"
#include "core/memory/allocator.h"
#include "core/memory/machine_map.h"
#include "port/machine.h"

namespace torii::call {
namespace {

constexpr uint32_t kTheOnlyPool = 0;
constexpr uint32_t kLocalDistance = 10;  // ACPI SLIT: a node to itself
constexpr uint32_t kRatelimitMicroseconds = 200;

uint64_t cpu_bits() {
    return cpu_count() >= 64 ? ~uint64_t{0} : (uint64_t{1} << cpu_count()) - 1;
}

uint32_t count_domains() {
    uint32_t count = 0;
    for (DomId id{0};; ++count) {
        const DomainRef domain(next_domain(id));
        if (!domain) return count;
        id = DomId(static_cast<uint16_t>(domain->id.raw() + 1));
    }
}

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

// All CPUs and all domains are in one pool.
CallResult cpu_pool_op(SysctlCall& call) {
    auto& request = call.request.u.cpupool_op;
    switch (static_cast<abi::CpupoolOp>(request.op)) {
        case abi::CpupoolOp::kInfo:
            // Asks for the first pool from that id on.
            if (request.cpupool_id != kTheOnlyPool) return Errno::kENOENT;
            request.sched_id = static_cast<uint32_t>(abi::SchedulerId::kCredit2);
            request.n_dom = count_domains();
            TRY(write_bitmap(request.cpumap, cpu_bits()));
            return 0;
        case abi::CpupoolOp::kFreeInfo:
            TRY(write_bitmap(request.cpumap, 0));
            return 0;
        case abi::CpupoolOp::kCreate:
        case abi::CpupoolOp::kDestroy:
        case abi::CpupoolOp::kAddCpu:
        case abi::CpupoolOp::kRemoveCpu:
        case abi::CpupoolOp::kMoveDomain:
            return Errno::kEOPNOTSUPP;
    }
    return Errno::kENOSYS;
}

CallResult scheduler_id(SysctlCall& call) {
    call.request.u.sched_id.sched_id = static_cast<uint32_t>(abi::SchedulerId::kCredit2);
    return 0;
}

CallResult scheduler_settings(SysctlCall& call) {
    auto& request = call.request.u.scheduler_op;
    if (request.cpupool_id != kTheOnlyPool) return Errno::kESRCH;
    if (request.sched_id != static_cast<uint32_t>(abi::SchedulerId::kCredit2)) return Errno::kEINVAL;
    if (request.cmd == static_cast<uint32_t>(abi::SysctlSchedulerCommand::kPutinfo))
        return Errno::kEOPNOTSUPP;
    if (request.cmd != static_cast<uint32_t>(abi::SysctlSchedulerCommand::kGetinfo)) return Errno::kEINVAL;
    request.u.sched_credit2.ratelimit_us = kRatelimitMicroseconds;
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
