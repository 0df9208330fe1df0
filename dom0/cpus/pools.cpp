#include "cpus/pools.h"

#include <torii/failure.h>

#include <algorithm>
#include <cctype>

#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr size_t kMaxNameLength = 63;
constexpr const char* kFirstPoolName = "Pool-0";

std::string pool_home(PoolId id) {
    return fmt::format("/local/pool/{}", id.raw());
}

void check_pool_name(const std::string& name) {
    const auto refuse = [&](const std::string& why) {
        throw Failure(ErrorCode::kInvalidArgument, fmt::format("\"{}\" cannot name a pool: {}", name, why));
    };
    if (name.empty() || name.size() > kMaxNameLength) {
        refuse(fmt::format("a name has 1 to {} characters", kMaxNameLength));
    }
    const bool legal = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '+';
    });
    if (!legal || name.front() == '-' || name.front() == '.') {
        refuse("use letters, digits and - _ . + and begin with a letter, a digit or _");
    }
    if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
        refuse("it would be taken for a pool's number; add a letter");
    }
}

std::string names_of(const std::vector<NamedPool>& pools) {
    std::string names;
    for (const NamedPool& pool : pools)
        names += (names.empty() ? "" : ", ") + pool.name;
    return names;
}

}  // namespace

CpuSet running_cpus(Hypervisor& hypervisor) {
    CpuSet all = hypervisor.free_cpus();
    for (const PoolInfo& pool : hypervisor.pools())
        all.insert(pool.cpus.begin(), pool.cpus.end());
    return all;
}

void Pools::write_first_name() {
    const std::string path = pool_home(kFirstPool) + "/name";
    if (store_.read(path).value_or("").empty()) store_.write(path, kFirstPoolName);
}

std::string Pools::name_of(PoolId id) {
    const std::string name = store_.read(pool_home(id) + "/name").value_or("");
    return name.empty() ? fmt::format("Pool-{}", id.raw()) : name;
}

std::vector<NamedPool> Pools::list() {
    std::vector<NamedPool> named;
    for (PoolInfo& pool : hypervisor_.pools()) {
        std::string name = name_of(pool.id);
        named.push_back({std::move(pool), std::move(name)});
    }
    return named;
}

NamedPool Pools::find(const std::string& key) {
    if (key.empty()) return find(kFirstPool);
    const std::vector<NamedPool> pools = list();
    for (const NamedPool& pool : pools) {
        if (pool.name == key || std::to_string(pool.info.id.raw()) == key) return pool;
    }
    throw Failure(ErrorCode::kInvalidArgument,
                  fmt::format("there is no CPU pool \"{}\"; there are: {}", key, names_of(pools)));
}

NamedPool Pools::find(PoolId id) {
    return find(std::to_string(id.raw()));
}

// The CPUs that `text` means, all of which must be in no pool.
CpuSet Pools::free_ones(const std::string& text, const char* what) {
    const CpuSet wanted = CpuList::parse(text).among(running_cpus(hypervisor_));
    for (const NamedPool& pool : list()) {
        const CpuSet taken = common_cpus(wanted, pool.info.cpus);
        if (taken.empty()) continue;
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot {}: CPU {} belongs to pool {}; take it out first with `torii pool "
                                  "remove-cpu {} {}`",
                                  what, format_cpus(taken), pool.name, pool.name, format_cpus(taken)));
    }
    return wanted;
}

void Pools::take_back(const NamedPool& pool, const CpuSet& cpus) noexcept {
    for (const uint32_t cpu : cpus) {
        try {
            hypervisor_.remove_pool_cpu(pool.info.id, cpu);
        } catch (const std::exception& problem) {
            log_error("CPU {} stays in pool {}: {}", cpu, pool.name, problem.what());
        }
    }
}

void Pools::create(const std::string& name, const std::string& cpus) {
    check_pool_name(name);
    for (const NamedPool& pool : list()) {
        if (pool.name == name) {
            throw Failure(ErrorCode::kOperationInvalid,
                          fmt::format("there is a CPU pool {} already; `torii pool` shows it", name));
        }
    }
    const CpuSet wanted = cpus.empty() ? CpuSet() : free_ones(cpus, ("make the pool " + name).c_str());
    NamedPool pool;
    pool.name = name;
    pool.info.id = hypervisor_.create_pool();
    try {
        for (const uint32_t cpu : wanted) {
            hypervisor_.add_pool_cpu(pool.info.id, cpu);
            pool.info.cpus.insert(cpu);
        }
        store_.transaction([&](xenstore::LocalAccess& store) {
            store.write(pool_home(pool.info.id) + "/uuid", format_uuid(make_uuid()));
            store.write(pool_home(pool.info.id) + "/name", name);
        });
    } catch (...) {
        take_back(pool, pool.info.cpus);
        hypervisor_.destroy_pool(pool.info.id);
        throw;
    }
    log_info("CPU pool {} ({}) made, with the CPUs {}", name, pool.info.id.raw(), format_cpus(wanted));
}

void Pools::destroy(const std::string& key) {
    const NamedPool pool = find(key);
    if (pool.info.id == kFirstPool) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("{} cannot be destroyed: it is the hypervisor's own pool", pool.name));
    }
    if (pool.info.domains != 0) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot destroy the pool {}: {} of the domains run in it. `torii sched` "
                                  "shows which; move each away with `torii pool move DOMAIN POOL`",
                                  pool.name, pool.info.domains));
    }
    for (const uint32_t cpu : pool.info.cpus)
        hypervisor_.remove_pool_cpu(pool.info.id, cpu);
    hypervisor_.destroy_pool(pool.info.id);
    store_.remove(pool_home(pool.info.id));
    log_info("CPU pool {} ({}) destroyed; free CPUs: {}", pool.name, pool.info.id.raw(),
             format_cpus(pool.info.cpus));
}

void Pools::add_cpus(const std::string& key, const std::string& cpus) {
    const NamedPool pool = find(key);
    CpuSet done;
    try {
        for (const uint32_t cpu : free_ones(cpus, ("add CPUs to the pool " + pool.name).c_str())) {
            hypervisor_.add_pool_cpu(pool.info.id, cpu);
            done.insert(cpu);
        }
    } catch (...) {
        take_back(pool, done);
        throw;
    }
    log_info("CPUs {} added to pool {}", format_cpus(done), pool.name);
}

void Pools::remove_cpus(const std::string& key, const std::string& cpus) {
    const NamedPool pool = find(key);
    const CpuSet wanted = CpuList::parse(cpus).among(running_cpus(hypervisor_));
    const CpuSet missing = cpus_without(wanted, pool.info.cpus);
    if (!missing.empty()) {
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("CPU {} is not in the pool {}, which has the CPUs {}", format_cpus(missing),
                                  pool.name, format_cpus(pool.info.cpus)));
    }
    if (wanted == pool.info.cpus && pool.info.domains != 0) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot take all CPUs ({}) out of the pool {}: {} of the domains run in it",
                                  format_cpus(wanted), pool.name, pool.info.domains));
    }
    for (const uint32_t cpu : wanted)
        hypervisor_.remove_pool_cpu(pool.info.id, cpu);
    log_info("CPUs {} taken out of pool {}", format_cpus(wanted), pool.name);
}

void Pools::set_ratelimit(const std::string& key, uint32_t microseconds) {
    if (microseconds != 0 &&
        (microseconds < abi::kSchedRatelimitMinUs || microseconds > abi::kSchedRatelimitMaxUs)) {
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("a rate limit of {} us is not possible: give {} to {}, or 0 for none",
                                  microseconds, abi::kSchedRatelimitMinUs, abi::kSchedRatelimitMaxUs));
    }
    const NamedPool pool = find(key);
    hypervisor_.set_ratelimit(pool.info, microseconds);
    log_info("the rate limit of CPU pool {} is {} us", pool.name, microseconds);
}

void Pools::move(const DomainInfo& domain, const std::string& domain_name, const std::string& key) {
    const NamedPool pool = find(key);
    if (pool.info.id == domain.pool) return;
    if (domain.domain == kDom0) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot move {} to the pool {}: the control domain stays in {}",
                                  domain_name, pool.name, find(kFirstPool).name));
    }
    if (pool.info.cpus.empty()) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot move {} to the pool {}: it has no CPUs. Add one with `torii pool "
                                  "add-cpu {} CPUS`",
                                  domain_name, pool.name, pool.name));
    }
    hypervisor_.move_to_pool(domain.domain, pool.info.id);
    log_info("{} (domain {}) moved to CPU pool {}", domain_name, domain.domain.raw(), pool.name);
}

}  // namespace torii::dom0
