#pragma once
// The control calls that the daemon makes, as typed functions. Every failure is a Failure (kHypercall, or a
// more exact code where one fits) with a sentence that names the domain and what was asked.

#include <torii/abi/domctl.h>
#include <torii/abi/sched.h>
#include <torii/abi/sysctl.h>
#include <torii/abi/trap.h>

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "xen/cpu_types.h"
#include "xen/ids.h"
#include "xen/privileged_calls.h"

namespace torii::dom0 {

using Uuid = std::array<uint8_t, 16>;

struct DomainLimits {
    uint32_t max_vcpus = 1;
    uint32_t max_event_port = 1023;
    uint32_t max_grant_frames = 64;
    uint32_t max_maptrack_frames = 1024;
};

// Arguments of settscinfo's tsc_mode.
enum class TscPolicy : uint32_t { kDefault = 0, kAlwaysEmulate = 1, kNeverEmulate = 2 };

struct DomainInfo {
    DomId domain;
    Uuid handle{};
    bool dying = false;
    bool shut_down = false;
    abi::ShutdownReason shutdown_reason = abi::ShutdownReason::kPoweroff;  // valid if shut_down
    bool paused = false;
    bool blocked = false;
    bool running = false;
    uint64_t pages = 0;
    uint64_t max_pages = 0;
    Mfn shared_info;
    uint64_t cpu_time_ns = 0;
    uint32_t online_vcpus = 0;
    uint32_t vcpus = 0;
    PoolId pool;
};

struct HostInfo {
    uint64_t total_pages = 0;
    uint64_t free_pages = 0;
    uint64_t scrub_pages = 0;
    uint32_t cpus = 0;
    uint32_t cores_per_socket = 0;
    uint32_t threads_per_core = 0;
    uint32_t cpu_khz = 0;
    uint32_t cpu_limit = 0;  // every CPU's number is below it
};

struct VersionInfo {
    std::string version;  // "4.17.3"
    std::string capabilities;
    std::string compiler;
    std::string command_line;
    std::string changeset;
};

struct PerformanceCounter {
    std::string name;
    std::vector<uint64_t> values;
};

class Hypervisor {
public:
    explicit Hypervisor(PrivilegedCalls& calls) : calls_(calls) {}

    PrivilegedCalls& calls() { return calls_; }

    // --- Building. The new domain is paused.
    DomId create_domain(const Uuid& handle, const DomainLimits& limits);
    void set_max_vcpus(DomId domain, uint32_t count);
    void set_max_memory(DomId domain, uint64_t kib);
    void set_tsc_policy(DomId domain, TscPolicy policy);
    void fill_hypercall_page(DomId domain, Mfn frame);
    void set_vcpu_context(DomId domain, uint32_t vcpu, const abi::VcpuGuestContext& context);
    void pin_top_level_table(DomId domain, Mfn table);
    Port allocate_unbound_port(DomId domain, DomId remote);

    // Gives the domain `1 << order` frames at each of the given PFNs; on return `frames` holds the first MFN
    // of each. Returns how many extents were populated: fewer than asked when memory ran out.
    size_t populate(DomId domain, unsigned order, std::span<uint64_t> frames);

    // --- Running
    void pause(DomId domain);
    void unpause(DomId domain);
    // Returns when the domain is dying; its memory is gone when others have let go of it and it is no longer
    // listed. May take long for a large domain. A domain that does not exist any more is no failure.
    void destroy(DomId domain);
    std::optional<DomainInfo> domain(DomId domain);
    std::vector<DomainInfo> domains();
    // The sentence with which the hypervisor ended the domain; empty for one that ended by itself or is gone.
    // Nothing from a hypervisor that doesn't keep it (it is Torii's own call): then its log may tell.
    std::optional<std::string> end_reason(DomId domain);

    // --- CPUs (hypervisor_cpus.cpp)
    VcpuInfo vcpu(DomId domain, uint32_t vcpu);
    // Nothing from a hypervisor that doesn't tell (it is Torii's own call).
    std::optional<VcpuTimes> vcpu_times(DomId domain, uint32_t vcpu);
    VcpuAffinity vcpu_affinity(DomId domain, uint32_t vcpu);
    void set_vcpu_affinity(DomId domain, uint32_t vcpu, const AffinityChange& change);
    // Nothing when the scheduler has no weights.
    std::optional<SchedulerShare> scheduler_share(DomId domain, abi::SchedulerId scheduler);
    void set_scheduler_share(DomId domain, abi::SchedulerId scheduler, const SchedulerShare& share);
    std::vector<PoolInfo> pools();
    CpuSet free_cpus();  // in no pool
    PoolId create_pool();
    void destroy_pool(PoolId pool);
    void add_pool_cpu(PoolId pool, uint32_t cpu);
    void remove_pool_cpu(PoolId pool, uint32_t cpu);
    void move_to_pool(DomId domain, PoolId pool);
    // Microseconds; nothing when the pool's scheduler has no such limit.
    std::optional<uint32_t> ratelimit(const PoolInfo& pool);
    void set_ratelimit(const PoolInfo& pool, uint32_t microseconds);
    // By CPU number; nothing for those that are not there.
    std::vector<std::optional<CpuPlace>> cpu_topology();

    // --- The machine
    // Whether both kinds of control calls are of the version that this daemon was written for.
    bool speaks_control_interface();
    HostInfo host();
    VersionInfo version();
    // Up to `limit` bytes of the hypervisor's log, the newest; with `clear` they are dropped there.
    std::string read_log(bool clear, size_t limit);
    // Throws Failure (kNotSupported) when the hypervisor was built without counters.
    std::vector<PerformanceCounter> counters();
    void reset_counters();

private:
    int64_t domctl(CallStruct<abi::Domctl>& call, abi::DomctlCommand command, DomId domain);
    int64_t sysctl(CallStruct<abi::Sysctl>& call, abi::SysctlCommand command);
    void simple_domctl(abi::DomctlCommand command, DomId domain, const char* what,
                       const std::function<void(abi::Domctl&)>& fill = nullptr);
    std::string version_text(uint32_t operation, size_t bytes);
    uint32_t bitmap_bits();
    int64_t pool_operation(abi::CpupoolOp operation, PoolId pool, uint32_t cpu = 0, DomId domain = kDom0);

    PrivilegedCalls& calls_;
};

}  // namespace torii::dom0
