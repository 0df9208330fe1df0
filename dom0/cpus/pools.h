#pragma once
// CPU pools with names. The hypervisor knows pools by number only; their names are in xenstore below
// /local/pool/<number>/name, where Xen's own tools keep them too.

#include <string>
#include <vector>

#include "xen/hypervisor.h"
#include "xenstore/local_client.h"

namespace torii::dom0 {

struct NamedPool {
    PoolInfo info;
    std::string name;
};

// All CPUs that run: those of all pools, and those in none.
CpuSet running_cpus(Hypervisor& hypervisor);

// All throw Failure with a sentence that names the pool and what exists.
class Pools {
public:
    Pools(Hypervisor& hypervisor, xenstore::LocalClient& store) : hypervisor_(hypervisor), store_(store) {}

    // The first pool gets its name, unless it has one. Call it once, at the start.
    void write_first_name();

    std::vector<NamedPool> list();
    // By name or number; the first pool for an empty `key`.
    NamedPool find(const std::string& key);
    NamedPool find(PoolId id);

    // `cpus` as people write them; may be empty. Nothing is left behind when a CPU cannot be had.
    void create(const std::string& name, const std::string& cpus);
    void destroy(const std::string& key);
    void add_cpus(const std::string& key, const std::string& cpus);
    void remove_cpus(const std::string& key, const std::string& cpus);
    void set_ratelimit(const std::string& key, uint32_t microseconds);
    // Moves nothing when the domain is there already.
    void move(const DomainInfo& domain, const std::string& domain_name, const std::string& key);

private:
    std::string name_of(PoolId id);
    CpuSet free_ones(const std::string& text, const char* what);
    void take_back(const NamedPool& pool, const CpuSet& cpus) noexcept;

    Hypervisor& hypervisor_;
    xenstore::LocalClient& store_;
};

}  // namespace torii::dom0
