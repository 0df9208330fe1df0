#include "unit/dom0/kit/fake_cpus.h"

#include <torii/abi/errno.h>

#include <cstring>

namespace torii::dom0::test {
namespace {

CpuSet read(const abi::ControlBitmap& map) {
    CpuSet cpus;
    const auto* bytes = reinterpret_cast<const uint8_t*>(map.bitmap.address);
    for (uint32_t cpu = 0; cpu < map.nr_bits; cpu++) {
        if ((bytes[cpu / 8] >> (cpu % 8) & 1) != 0) cpus.insert(cpu);
    }
    return cpus;
}

void write(const abi::ControlBitmap& map, const CpuSet& cpus) {
    auto* bytes = reinterpret_cast<uint8_t*>(map.bitmap.address);
    std::memset(bytes, 0, map.nr_bits / 8);
    for (const uint32_t cpu : cpus) {
        if (cpu < map.nr_bits) bytes[cpu / 8] |= static_cast<uint8_t>(1u << (cpu % 8));
    }
}

constexpr int64_t refused(abi::Errno error) {
    return abi::negated(error);
}

}  // namespace

FakeDomainCpus& FakeCpus::domain(uint16_t id, uint32_t vcpus) {
    FakeDomainCpus& found = domains[id];
    while (found.vcpus.size() < vcpus) {
        FakeVcpu vcpu;
        vcpu.hard = vcpu.soft = first_cpus(count_);
        vcpu.cpu = static_cast<uint32_t>(found.vcpus.size()) % count_;
        found.vcpus.push_back(vcpu);
    }
    return found;
}

uint32_t FakeCpus::domains_in(uint32_t pool) const {
    uint32_t count = 0;
    for (const auto& [id, domain] : domains)
        count += domain.pool == pool ? 1 : 0;
    return count;
}

bool FakeCpus::domctl(uint16_t id, uint32_t vcpus, abi::Domctl& request, int64_t& result) {
    FakeDomainCpus& about = domain(id, vcpus);
    if (request.cmd == abi::kDomctlGetVcpuRunstate) {
        result = runstate(about, request);
        return true;
    }
    switch (static_cast<abi::DomctlCommand>(request.cmd)) {
        case abi::DomctlCommand::kGetvcpuinfo: {
            auto& info = request.u.getvcpuinfo;
            result = refused(abi::Errno::kEINVAL);
            if (info.vcpu >= about.vcpus.size()) return true;
            const FakeVcpu& vcpu = about.vcpus[info.vcpu];
            info.online = vcpu.online ? 1 : 0;
            info.blocked = vcpu.blocked ? 1 : 0;
            info.running = vcpu.running ? 1 : 0;
            info.cpu = vcpu.cpu;
            info.cpu_time = vcpu.times[0];
            result = 0;
            return true;
        }
        case abi::DomctlCommand::kSetvcpuaffinity:
        case abi::DomctlCommand::kGetvcpuaffinity:
            affinity_calls++;
            result = affinity(
                about, request.u.vcpuaffinity,
                static_cast<abi::DomctlCommand>(request.cmd) == abi::DomctlCommand::kSetvcpuaffinity);
            return true;
        case abi::DomctlCommand::kSchedulerOp:
            result = scheduler(about, request.u.scheduler_op);
            return true;
        default:
            return false;
    }
}

int64_t FakeCpus::runstate(FakeDomainCpus& about, abi::Domctl& request) {
    if (!tells_times) return refused(abi::Errno::kENOSYS);
    abi::DomctlVcpuRunstate runstate;
    std::memcpy(&runstate, request.u.payload, sizeof(runstate));
    if (runstate.vcpu >= about.vcpus.size()) return refused(abi::Errno::kENOENT);
    const FakeVcpu& vcpu = about.vcpus[runstate.vcpu];
    std::copy(vcpu.times.begin(), vcpu.times.end(), runstate.info.time);
    std::memcpy(request.u.payload, &runstate, sizeof(runstate));
    return 0;
}

int64_t FakeCpus::affinity(FakeDomainCpus& about, abi::DomctlVcpuaffinity& request, bool set) {
    if (!supports_affinity) return refused(abi::Errno::kEOPNOTSUPP);
    if (request.vcpu >= about.vcpus.size()) return refused(abi::Errno::kEINVAL);
    FakeVcpu& vcpu = about.vcpus[request.vcpu];
    if ((request.flags & abi::kVcpuAffinityHard) != 0) {
        const CpuSet wanted = read(request.cpumap_hard);
        if (set && common_cpus(wanted, pools.at(about.pool).cpus).empty())
            return refused(abi::Errno::kEINVAL);
        if (set) vcpu.hard = wanted;
        write(request.cpumap_hard, vcpu.hard);
    }
    if ((request.flags & abi::kVcpuAffinitySoft) != 0) {
        const CpuSet wanted = read(request.cpumap_soft);
        if (set && wanted.empty()) return refused(abi::Errno::kEINVAL);
        if (set) vcpu.soft = wanted;
        write(request.cpumap_soft, vcpu.soft);
    }
    return 0;
}

int64_t FakeCpus::scheduler(FakeDomainCpus& about, abi::DomctlSchedulerOp& request) {
    if (request.sched_id != static_cast<uint32_t>(pools.at(about.pool).scheduler))
        return refused(abi::Errno::kEINVAL);
    if (request.cmd == static_cast<uint32_t>(abi::DomctlSchedulerCommand::kGetinfo)) {
        request.u.credit2 = about.share;
        return 0;
    }
    if (request.cmd != static_cast<uint32_t>(abi::DomctlSchedulerCommand::kPutinfo))
        return refused(abi::Errno::kEINVAL);
    if (request.u.credit2.weight != 0) about.share.weight = request.u.credit2.weight;
    if (request.u.credit2.cap != 0xffff) about.share.cap = request.u.credit2.cap;
    return 0;
}

bool FakeCpus::sysctl(abi::Sysctl& request, int64_t& result) {
    switch (static_cast<abi::SysctlCommand>(request.cmd)) {
        case abi::SysctlCommand::kCpupoolOp:
            result = pool_operation(request.u.cpupool_op);
            return true;
        case abi::SysctlCommand::kSchedulerOp:
            result = settings(request.u.scheduler_op);
            return true;
        case abi::SysctlCommand::kCputopoinfo:
            result = topology(request.u.cputopoinfo);
            return true;
        default:
            return false;
    }
}

int64_t FakeCpus::pool_operation(abi::SysctlCpupoolOp& request) {
    const auto operation = static_cast<abi::CpupoolOp>(request.op);
    if (operation == abi::CpupoolOp::kFreeInfo) {
        write(request.cpumap, free);
        return 0;
    }
    if (operation == abi::CpupoolOp::kInfo) {
        const auto found = pools.lower_bound(request.cpupool_id);
        if (found == pools.end()) return refused(abi::Errno::kENOENT);
        request.cpupool_id = found->first;
        request.sched_id = static_cast<uint32_t>(found->second.scheduler);
        request.n_dom = domains_in(found->first);
        write(request.cpumap, found->second.cpus);
        return 0;
    }
    if (!supports_pools) return refused(abi::Errno::kEOPNOTSUPP);
    if (operation == abi::CpupoolOp::kCreate) {
        uint32_t id = 1;
        while (pools.contains(id))
            id++;
        pools[id] = {};
        request.cpupool_id = id;
        return 0;
    }
    const auto found = pools.find(request.cpupool_id);
    if (found == pools.end()) return refused(abi::Errno::kENOENT);
    if (operation == abi::CpupoolOp::kDestroy) {
        if (domains_in(found->first) != 0 || !found->second.cpus.empty()) return refused(abi::Errno::kEBUSY);
        pools.erase(found);
        return 0;
    }
    return change_pool(found->second, request);
}

int64_t FakeCpus::change_pool(FakePool& pool, abi::SysctlCpupoolOp& request) {
    switch (static_cast<abi::CpupoolOp>(request.op)) {
        case abi::CpupoolOp::kAddCpu:
            if (request.cpu >= count_) return refused(abi::Errno::kEINVAL);
            if (free.erase(request.cpu) == 0) return refused(abi::Errno::kEBUSY);
            pool.cpus.insert(request.cpu);
            return 0;
        case abi::CpupoolOp::kRemoveCpu:
            if (!pool.cpus.contains(request.cpu)) return refused(abi::Errno::kEINVAL);
            if (pool.cpus.size() == 1 && domains_in(request.cpupool_id) != 0)
                return refused(abi::Errno::kEBUSY);
            pool.cpus.erase(request.cpu);
            free.insert(request.cpu);
            return 0;
        case abi::CpupoolOp::kMoveDomain: {
            const auto moved = domains.find(static_cast<uint16_t>(request.domid));
            if (moved == domains.end()) return refused(abi::Errno::kESRCH);
            if (pool.cpus.empty()) return refused(abi::Errno::kEINVAL);
            moved->second.pool = request.cpupool_id;
            return 0;
        }
        default:
            return refused(abi::Errno::kENOSYS);
    }
}

int64_t FakeCpus::settings(abi::SysctlSchedulerOp& request) {
    const auto found = pools.find(request.cpupool_id);
    if (found == pools.end()) return refused(abi::Errno::kESRCH);
    if (request.sched_id != static_cast<uint32_t>(found->second.scheduler))
        return refused(abi::Errno::kEINVAL);
    if (request.cmd == static_cast<uint32_t>(abi::SysctlSchedulerCommand::kGetinfo)) {
        request.u.sched_credit2.ratelimit_us = found->second.ratelimit_us;
    } else {
        found->second.ratelimit_us = request.u.sched_credit2.ratelimit_us;
    }
    return 0;
}

// Cores of two threads, packages of two cores; the last CPU is one that is not there.
int64_t FakeCpus::topology(abi::SysctlCputopoinfo& request) const {
    auto* places = reinterpret_cast<abi::SysctlCputopo*>(request.cputopo.address);
    for (uint32_t cpu = 0; places != nullptr && cpu < request.num_cpus && cpu < count_ + 1; cpu++) {
        places[cpu] = {cpu / 2 % 2, cpu / 4, 0};
        if (cpu == count_) places[cpu] = {abi::kInvalidCoreId, abi::kInvalidSocketId, abi::kInvalidNodeId};
    }
    request.num_cpus = count_ + 1;
    return 0;
}

}  // namespace torii::dom0::test
