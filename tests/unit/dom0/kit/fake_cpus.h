#pragma once
// The CPUs of the fake hypervisor: pools, affinity and shares with the rules of Xen 4.17, and vCPUs whose
// state tests set.

#include <torii/abi/domctl.h>
#include <torii/abi/sysctl.h>
#include <torii/abi/torii_control.h>
#include <torii/cpu_set.h>

#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace torii::dom0::test {

struct FakeVcpu {
    bool online = true;
    bool blocked = false;
    bool running = false;
    uint32_t cpu = 0;
    std::array<uint64_t, 4> times{};  // by abi::RunState
    CpuSet hard;
    CpuSet soft;
};

struct FakeDomainCpus {
    uint32_t pool = 0;
    abi::DomctlSchedCredit share{256, 0};
    std::vector<FakeVcpu> vcpus;
};

struct FakePool {
    CpuSet cpus;
    uint32_t ratelimit_us = 1000;
    abi::SchedulerId scheduler = abi::SchedulerId::kCredit2;
};

class FakeCpus {
public:
    explicit FakeCpus(uint32_t count) : count_(count) { pools[0].cpus = first_cpus(count); }

    // Whether the operation is about CPUs; then `result` is its result.
    bool domctl(uint16_t domain, uint32_t vcpus, abi::Domctl& request, int64_t& result);
    bool sysctl(abi::Sysctl& request, int64_t& result);
    // Makes what is not there yet.
    FakeDomainCpus& domain(uint16_t id, uint32_t vcpus);
    void forget(uint16_t id) { domains.erase(id); }
    uint32_t count() const { return count_; }

    std::map<uint16_t, FakeDomainCpus> domains;
    std::map<uint32_t, FakePool> pools;
    CpuSet free;
    bool supports_affinity = true;
    bool supports_pools = true;
    bool tells_times = true;  // as Torii, unlike Xen
    int64_t affinity_calls = 0;

private:
    int64_t affinity(FakeDomainCpus& domain, abi::DomctlVcpuaffinity& request, bool set);
    int64_t scheduler(FakeDomainCpus& domain, abi::DomctlSchedulerOp& request);
    int64_t runstate(FakeDomainCpus& domain, abi::Domctl& request);
    int64_t pool_operation(abi::SysctlCpupoolOp& request);
    int64_t change_pool(FakePool& pool, abi::SysctlCpupoolOp& request);
    int64_t settings(abi::SysctlSchedulerOp& request);
    int64_t topology(abi::SysctlCputopoinfo& request) const;
    uint32_t domains_in(uint32_t pool) const;

    uint32_t count_;
};

}  // namespace torii::dom0::test
