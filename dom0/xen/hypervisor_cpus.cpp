// The part of Hypervisor about CPUs: where vCPUs run, how much of the machine a domain gets, and pools.
// Errors are those of Xen 4.17's domctl and sysctl.

#include <torii/abi/torii_control.h>

#include <algorithm>
#include <cstring>

#include "log/log.h"
#include "xen/call_result.h"
#include "xen/hypervisor.h"

namespace torii::dom0 {
namespace {

constexpr uint32_t kBitsPerWord = 64;
constexpr uint32_t kMaxPools = 65536;  // bounds a walk over them, should the answers never end

// A set of CPUs in hypercall memory.
class CpuBitmap {
public:
    CpuBitmap(PrivilegedCalls& calls, uint32_t bits) : words_(calls, bits / kBitsPerWord) {}

    abi::ControlBitmap descriptor() const {
        return {{words_.address()}, static_cast<uint32_t>(words_.size() * kBitsPerWord), 0};
    }
    void write(const CpuSet& cpus) {
        for (const uint32_t cpu : cpus) {
            if (cpu / kBitsPerWord < words_.size())
                words_[cpu / kBitsPerWord] |= uint64_t{1} << (cpu % kBitsPerWord);
        }
    }
    CpuSet read() {
        CpuSet cpus;
        for (uint32_t cpu = 0; cpu < words_.size() * kBitsPerWord; cpu++) {
            if ((words_[cpu / kBitsPerWord] >> (cpu % kBitsPerWord) & 1) != 0) cpus.insert(cpus.end(), cpu);
        }
        return cpus;
    }

private:
    CallArray<uint64_t> words_;
};

std::string vcpu_text(DomId domain, uint32_t vcpu) {
    return fmt::format("vCPU {} of domain {}", vcpu, domain.raw());
}

bool has_weights(abi::SchedulerId scheduler) {
    return scheduler == abi::SchedulerId::kCredit || scheduler == abi::SchedulerId::kCredit2;
}

Meaning no_such_vcpu(abi::Errno error) {
    return {error, ErrorCode::kInvalidArgument,
            "the domain has no such vCPU, or has ended meanwhile; `torii vcpu-list` shows those that exist"};
}

Meaning no_such_pool() {
    return {abi::Errno::kENOENT, ErrorCode::kInvalidArgument,
            "there is no such pool any more; `torii pool` lists them"};
}

Meaning cpu_moves_already() {
    return {abi::Errno::kEADDRNOTAVAIL, ErrorCode::kResourceBusy,
            "it is just being moved between pools; try again"};
}

}  // namespace

const char* scheduler_name(abi::SchedulerId scheduler) {
    switch (scheduler) {
        case abi::SchedulerId::kCredit:
            return "credit";
        case abi::SchedulerId::kCredit2:
            return "credit2";
        case abi::SchedulerId::kArinc653:
            return "arinc653";
        case abi::SchedulerId::kRtds:
            return "rtds";
        case abi::SchedulerId::kNull:
            return "null";
    }
    return "unknown";
}

uint32_t Hypervisor::bitmap_bits() {
    const uint32_t limit = std::clamp(host().cpu_limit, 1u, kMaxCpus);
    return (limit + kBitsPerWord - 1) / kBitsPerWord * kBitsPerWord;
}

VcpuInfo Hypervisor::vcpu(DomId domain, uint32_t vcpu) {
    CallStruct<abi::Domctl> call(calls_);
    call->u.getvcpuinfo.vcpu = vcpu;
    const int64_t result = domctl(call, abi::DomctlCommand::kGetvcpuinfo, domain);
    if (result < 0) {
        fail_call(result, "describe " + vcpu_text(domain, vcpu), {no_such_vcpu(abi::Errno::kEINVAL)});
    }
    const auto& raw = call->u.getvcpuinfo;
    return {raw.online != 0, raw.blocked != 0, raw.running != 0, raw.cpu, raw.cpu_time};
}

std::optional<VcpuTimes> Hypervisor::vcpu_times(DomId domain, uint32_t vcpu) {
    CallStruct<abi::Domctl> call(calls_);
    abi::DomctlVcpuRunstate request{};
    request.vcpu = vcpu;
    static_assert(sizeof(request) <= sizeof(call->u.payload));
    std::memcpy(call->u.payload, &request, sizeof(request));
    if (domctl(call, static_cast<abi::DomctlCommand>(abi::kDomctlGetVcpuRunstate), domain) < 0)
        return std::nullopt;
    std::memcpy(&request, call->u.payload, sizeof(request));
    const auto time = [&](abi::RunState state) { return request.info.time[static_cast<unsigned>(state)]; };
    return VcpuTimes{time(abi::RunState::kRunning), time(abi::RunState::kRunnable),
                     time(abi::RunState::kBlocked), time(abi::RunState::kOffline)};
}

VcpuAffinity Hypervisor::vcpu_affinity(DomId domain, uint32_t vcpu) {
    const uint32_t bits = bitmap_bits();
    CpuBitmap hard(calls_, bits);
    CpuBitmap soft(calls_, bits);
    CallStruct<abi::Domctl> call(calls_);
    auto& request = call->u.vcpuaffinity;
    request.vcpu = vcpu;
    request.flags = abi::kVcpuAffinityHard | abi::kVcpuAffinitySoft;
    request.cpumap_hard = hard.descriptor();
    request.cpumap_soft = soft.descriptor();
    const int64_t result = domctl(call, abi::DomctlCommand::kGetvcpuaffinity, domain);
    if (result < 0) {
        fail_call(result, "tell where " + vcpu_text(domain, vcpu) + " may run",
                  {no_such_vcpu(abi::Errno::kEINVAL)});
    }
    return {hard.read(), soft.read()};
}

void Hypervisor::set_vcpu_affinity(DomId domain, uint32_t vcpu, const AffinityChange& change) {
    const uint32_t bits = bitmap_bits();
    CpuBitmap hard(calls_, bits);
    CpuBitmap soft(calls_, bits);
    hard.write(change.hard);
    soft.write(change.soft);
    CallStruct<abi::Domctl> call(calls_);
    auto& request = call->u.vcpuaffinity;
    request.vcpu = vcpu;
    request.flags = (change.hard.empty() ? 0 : abi::kVcpuAffinityHard) |
                    (change.soft.empty() ? 0 : abi::kVcpuAffinitySoft);
    if (request.flags == 0) return;
    request.cpumap_hard = hard.descriptor();
    request.cpumap_soft = soft.descriptor();
    const int64_t result = domctl(call, abi::DomctlCommand::kSetvcpuaffinity, domain);
    if (result >= 0) return;
    std::string what = fmt::format("give {} ", vcpu_text(domain, vcpu));
    if (!change.hard.empty()) what += "the CPUs " + format_cpus(change.hard);
    if (!change.soft.empty()) {
        what += (change.hard.empty() ? "the soft affinity " : " and the soft affinity ") +
                format_cpus(change.soft);
    }
    fail_call(result, what,
              {{abi::Errno::kEINVAL, ErrorCode::kOperationInvalid,
                "the hypervisor does not accept them. It may keep this vCPU on its CPU (the option "
                "dom0_vcpus_pin, for dom0), or none of them runs in the domain's pool; `torii vcpu-list` "
                "shows where it is, `torii pool` which CPUs its pool has"},
               {abi::Errno::kEBUSY, ErrorCode::kResourceBusy,
                "its kernel has itself moved onto another CPU for a while; try again"}});
}

std::optional<SchedulerShare> Hypervisor::scheduler_share(DomId domain, abi::SchedulerId scheduler) {
    if (!has_weights(scheduler)) return std::nullopt;
    CallStruct<abi::Domctl> call(calls_);
    auto& request = call->u.scheduler_op;
    request.sched_id = static_cast<uint32_t>(scheduler);
    request.cmd = static_cast<uint32_t>(abi::DomctlSchedulerCommand::kGetinfo);
    const int64_t result = domctl(call, abi::DomctlCommand::kSchedulerOp, domain);
    if (result < 0) {
        fail_call(result, fmt::format("tell the weight of domain {}", domain.raw()),
                  {{abi::Errno::kEINVAL, ErrorCode::kOperationInvalid,
                    "it has just been moved to a pool with another scheduler; try again"}});
    }
    return SchedulerShare{request.u.credit2.weight, request.u.credit2.cap};
}

void Hypervisor::set_scheduler_share(DomId domain, abi::SchedulerId scheduler, const SchedulerShare& share) {
    CallStruct<abi::Domctl> call(calls_);
    auto& request = call->u.scheduler_op;
    request.sched_id = static_cast<uint32_t>(scheduler);
    request.cmd = static_cast<uint32_t>(abi::DomctlSchedulerCommand::kPutinfo);
    request.u.credit2 = {share.weight, share.cap_percent};
    const int64_t result = domctl(call, abi::DomctlCommand::kSchedulerOp, domain);
    if (result >= 0) return;
    const std::string what = fmt::format("give domain {} the weight {} and the cap {}", domain.raw(),
                                         share.weight, share.cap_percent);
    fail_call(
        result, what,
        {{abi::Errno::kEINVAL, ErrorCode::kInvalidArgument,
          fmt::format("the scheduler of its pool ({}) does not accept these", scheduler_name(scheduler))},
         {abi::Errno::kEOPNOTSUPP, ErrorCode::kNotSupported, "this hypervisor has no caps"}});
}

int64_t Hypervisor::pool_operation(abi::CpupoolOp operation, PoolId pool, uint32_t cpu, DomId domain) {
    CallStruct<abi::Sysctl> call(calls_);
    auto& request = call->u.cpupool_op;
    request.op = static_cast<uint32_t>(operation);
    request.cpupool_id = pool.raw();
    request.cpu = cpu;
    request.domid = domain.raw();
    return sysctl(call, abi::SysctlCommand::kCpupoolOp);
}

std::vector<PoolInfo> Hypervisor::pools() {
    const uint32_t bits = bitmap_bits();
    std::vector<PoolInfo> all;
    uint32_t next = 0;
    while (all.size() < kMaxPools) {
        CpuBitmap cpus(calls_, bits);
        CallStruct<abi::Sysctl> call(calls_);
        auto& request = call->u.cpupool_op;
        request.op = static_cast<uint32_t>(abi::CpupoolOp::kInfo);
        request.cpupool_id = next;
        request.cpumap = cpus.descriptor();
        const int64_t result = sysctl(call, abi::SysctlCommand::kCpupoolOp);
        if (is(result, abi::Errno::kENOENT)) break;
        if (result < 0) fail_call(result, "list the CPU pools");
        // Answered with the first pool from that number on.
        if (request.cpupool_id < next) break;
        all.push_back({PoolId(request.cpupool_id), static_cast<abi::SchedulerId>(request.sched_id),
                       request.n_dom, cpus.read()});
        next = request.cpupool_id + 1;
    }
    return all;
}

CpuSet Hypervisor::free_cpus() {
    CpuBitmap cpus(calls_, bitmap_bits());
    CallStruct<abi::Sysctl> call(calls_);
    call->u.cpupool_op.op = static_cast<uint32_t>(abi::CpupoolOp::kFreeInfo);
    call->u.cpupool_op.cpumap = cpus.descriptor();
    const int64_t result = sysctl(call, abi::SysctlCommand::kCpupoolOp);
    if (result < 0) fail_call(result, "tell which CPUs are in no pool");
    return cpus.read();
}

PoolId Hypervisor::create_pool() {
    CallStruct<abi::Sysctl> call(calls_);
    auto& request = call->u.cpupool_op;
    request.op = static_cast<uint32_t>(abi::CpupoolOp::kCreate);
    request.cpupool_id = abi::kCpupoolAny;
    request.sched_id = static_cast<uint32_t>(abi::SchedulerId::kCredit2);
    const int64_t result = sysctl(call, abi::SysctlCommand::kCpupoolOp);
    if (result < 0) fail_call(result, "make another CPU pool");
    return PoolId(request.cpupool_id);
}

void Hypervisor::destroy_pool(PoolId pool) {
    const int64_t result = pool_operation(abi::CpupoolOp::kDestroy, pool);
    if (result < 0) {
        fail_call(result, fmt::format("destroy CPU pool {}", pool.raw()),
                  {no_such_pool(),
                   {abi::Errno::kEBUSY, ErrorCode::kResourceBusy,
                    "it still has CPUs or domains: move the domains away with `torii pool move`"}});
    }
}

void Hypervisor::add_pool_cpu(PoolId pool, uint32_t cpu) {
    const int64_t result = pool_operation(abi::CpupoolOp::kAddCpu, pool, cpu);
    if (result < 0) {
        fail_call(result, fmt::format("add CPU {} to CPU pool {}", cpu, pool.raw()),
                  {no_such_pool(),
                   cpu_moves_already(),
                   {abi::Errno::kEINVAL, ErrorCode::kInvalidArgument, "there is no such CPU"},
                   {abi::Errno::kENODEV, ErrorCode::kOperationInvalid,
                    "it belongs to another pool, or is offline; `torii pool` shows which are free"},
                   {abi::Errno::kEBUSY, ErrorCode::kResourceBusy,
                    "it belongs to another pool: take it out there first with `torii pool remove-cpu`"}});
    }
}

void Hypervisor::remove_pool_cpu(PoolId pool, uint32_t cpu) {
    const int64_t result = pool_operation(abi::CpupoolOp::kRemoveCpu, pool, cpu);
    if (result < 0) {
        fail_call(result, fmt::format("take CPU {} out of CPU pool {}", cpu, pool.raw()),
                  {no_such_pool(),
                   cpu_moves_already(),
                   {abi::Errno::kEINVAL, ErrorCode::kInvalidArgument, "it is not in that pool"},
                   {abi::Errno::kENODEV, ErrorCode::kOperationInvalid, "it is not in that pool"},
                   {abi::Errno::kEADDRINUSE, ErrorCode::kResourceBusy,
                    "a kernel has moved one of its vCPUs onto it for a while; try again"},
                   {abi::Errno::kEBUSY, ErrorCode::kResourceBusy,
                    "it is the last CPU of a pool that has domains. Move the domains away with `torii pool "
                    "move`, or add another CPU first"}});
    }
}

void Hypervisor::move_to_pool(DomId domain, PoolId pool) {
    const int64_t result = pool_operation(abi::CpupoolOp::kMoveDomain, pool, 0, domain);
    if (result < 0) {
        fail_call(result, fmt::format("move domain {} to CPU pool {}", domain.raw(), pool.raw()),
                  {no_such_pool(),
                   {abi::Errno::kEINVAL, ErrorCode::kOperationInvalid,
                    "the hypervisor does not move that domain, or not to that pool (it must have a CPU)"},
                   {abi::Errno::kENODEV, ErrorCode::kOperationInvalid, "that pool has no CPUs: add one"},
                   {abi::Errno::kEBUSY, ErrorCode::kResourceBusy,
                    "another change to one of the two pools is going on; try again"}});
    }
}

std::optional<uint32_t> Hypervisor::ratelimit(const PoolInfo& pool) {
    if (!has_weights(pool.scheduler)) return std::nullopt;
    CallStruct<abi::Sysctl> call(calls_);
    auto& request = call->u.scheduler_op;
    request.cpupool_id = pool.id.raw();
    request.sched_id = static_cast<uint32_t>(pool.scheduler);
    request.cmd = static_cast<uint32_t>(abi::SysctlSchedulerCommand::kGetinfo);
    const int64_t result = sysctl(call, abi::SysctlCommand::kSchedulerOp);
    // A pool may go between two calls; what is left to tell of it is still right.
    if (result < 0) return std::nullopt;
    return pool.scheduler == abi::SchedulerId::kCredit ? request.u.sched_credit.ratelimit_us
                                                       : request.u.sched_credit2.ratelimit_us;
}

void Hypervisor::set_ratelimit(const PoolInfo& pool, uint32_t microseconds) {
    CallStruct<abi::Sysctl> call(calls_);
    auto& request = call->u.scheduler_op;
    request.cpupool_id = pool.id.raw();
    request.sched_id = static_cast<uint32_t>(pool.scheduler);
    int64_t result = abi::negated(abi::Errno::kEOPNOTSUPP);
    if (has_weights(pool.scheduler)) {
        // credit has other settings besides, which stay.
        request.cmd = static_cast<uint32_t>(abi::SysctlSchedulerCommand::kGetinfo);
        result = sysctl(call, abi::SysctlCommand::kSchedulerOp);
    }
    if (result >= 0) {
        uint32_t& limit = pool.scheduler == abi::SchedulerId::kCredit ? request.u.sched_credit.ratelimit_us
                                                                      : request.u.sched_credit2.ratelimit_us;
        limit = microseconds;
        request.cmd = static_cast<uint32_t>(abi::SysctlSchedulerCommand::kPutinfo);
        result = sysctl(call, abi::SysctlCommand::kSchedulerOp);
    }
    if (result >= 0) return;
    fail_call(result, fmt::format("set the rate limit of CPU pool {} to {} us", pool.id.raw(), microseconds),
              {{abi::Errno::kESRCH, ErrorCode::kInvalidArgument,
                "there is no such pool any more; `torii pool` lists them"},
               {abi::Errno::kEINVAL, ErrorCode::kInvalidArgument,
                fmt::format("its scheduler ({}) does not accept it", scheduler_name(pool.scheduler))}});
}

std::vector<std::optional<CpuPlace>> Hypervisor::cpu_topology() {
    CallStruct<abi::Sysctl> size(calls_);
    const int64_t asked = sysctl(size, abi::SysctlCommand::kCputopoinfo);
    if (asked < 0) fail_call(asked, "tell the CPUs' topology");
    const uint32_t count = std::min(size->u.cputopoinfo.num_cpus, kMaxCpus);
    if (count == 0) return {};
    CallArray<abi::SysctlCputopo> places(calls_, count);
    CallStruct<abi::Sysctl> call(calls_);
    call->u.cputopoinfo.num_cpus = count;
    call->u.cputopoinfo.cputopo.address = places.address();
    const int64_t result = sysctl(call, abi::SysctlCommand::kCputopoinfo);
    if (result < 0) fail_call(result, "tell the CPUs' topology");
    std::vector<std::optional<CpuPlace>> all(count);
    for (uint32_t cpu = 0; cpu < std::min(count, call->u.cputopoinfo.num_cpus); cpu++) {
        const abi::SysctlCputopo& place = places[cpu];
        if (place.core == abi::kInvalidCoreId || place.socket == abi::kInvalidSocketId) continue;
        all[cpu] = CpuPlace{place.core, place.socket, place.node};
    }
    return all;
}

}  // namespace torii::dom0
