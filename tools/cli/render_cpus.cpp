#include "render_cpus.h"

#include <torii/cpu_set.h>

#include <map>

#include "render.h"

namespace torii::cli {
namespace {

// What covers every CPU is told in a word.
std::string affinity_text(const std::string& cpus, const std::string& all) {
    return cpus == all ? "all" : cpus;
}

std::string all_cpus(const v1::VcpuReport& report) {
    return format_cpus(CpuSet(report.cpus().begin(), report.cpus().end()));
}

void write_vcpu(JsonWriter& json, const v1::Vcpu& vcpu) {
    json.begin_object();
    json.field("vcpu", vcpu.number());
    json.field("state", vcpu_state_word(vcpu.state()));
    json.key("cpu");
    if (vcpu.state() == v1::VCPU_OFFLINE) {
        json.null();
    } else {
        json.value(vcpu.cpu());
    }
    json.field("cpu_time_ns", vcpu.cpu_time_ns());
    json.field("hard_affinity", vcpu.hard_cpus());
    json.field("soft_affinity", vcpu.soft_cpus());
    json.end_object();
}

struct Package {
    CpuSet cpus;
    std::map<uint32_t, CpuSet> cores;
};

std::map<uint32_t, Package> packages_of(const v1::Host& host) {
    std::map<uint32_t, Package> packages;
    for (const v1::HostCpu& cpu : host.topology()) {
        if (!cpu.known()) continue;
        Package& package = packages[cpu.package()];
        package.cpus.insert(cpu.number());
        package.cores[cpu.core()].insert(cpu.number());
    }
    return packages;
}

std::string describe(const Package& package) {
    std::string text = "CPUs " + format_cpus(package.cpus) + ", " + std::to_string(package.cores.size()) +
                       (package.cores.size() == 1 ? " core" : " cores");
    if (package.cores.size() == package.cpus.size()) return text;
    text += " with the threads";
    for (const auto& [core, threads] : package.cores)
        text += " " + format_cpus(threads);
    return text;
}

}  // namespace

const char* vcpu_state_word(v1::VcpuState state) {
    switch (state) {
        case v1::VCPU_RUNNING:
            return "running";
        case v1::VCPU_RUNNABLE:
            return "runnable";
        case v1::VCPU_BLOCKED:
            return "blocked";
        default:
            return "offline";
    }
}

std::string online_of_max(const v1::Domain& domain) {
    if (!domain.active()) return std::to_string(domain.vcpus());
    return std::to_string(domain.online_vcpus()) + "/" + std::to_string(domain.vcpus());
}

std::string render_vcpus(const v1::VcpuReport& report) {
    Rows rows{{"NAME", "ID", "VCPU", "CPU", "STATE", "CPU-TIME", "HARD", "SOFT"}};
    const std::string all = all_cpus(report);
    for (const v1::DomainVcpus& domain : report.domains()) {
        for (const v1::Vcpu& vcpu : domain.vcpus()) {
            const bool offline = vcpu.state() == v1::VCPU_OFFLINE;
            rows.push_back({domain.domain().name(), std::to_string(domain.domain().domid()),
                            std::to_string(vcpu.number()), offline ? "-" : std::to_string(vcpu.cpu()),
                            vcpu_state_word(vcpu.state()), format_cpu_time(vcpu.cpu_time_ns()),
                            affinity_text(vcpu.hard_cpus(), all), affinity_text(vcpu.soft_cpus(), all)});
        }
    }
    return render_table(rows);
}

std::string render_vcpus_json(const v1::VcpuReport& report) {
    JsonWriter json;
    json.begin_array();
    for (const v1::DomainVcpus& domain : report.domains()) {
        json.begin_object();
        json.field("name", domain.domain().name());
        json.field("domid", domain.domain().domid());
        json.field("uuid", domain.domain().uuid());
        json.field("online_vcpus", domain.domain().online_vcpus());
        json.field("max_vcpus", domain.domain().vcpus());
        json.field("listens", domain.listens());
        json.key("vcpus");
        json.begin_array();
        for (const v1::Vcpu& vcpu : domain.vcpus())
            write_vcpu(json, vcpu);
        json.end_array();
        json.end_object();
    }
    json.end_array();
    return json.take();
}

std::string weight_text(const v1::SchedulerShare& share) {
    return share.known() ? std::to_string(share.weight()) : "-";
}

std::string cap_text(const v1::SchedulerShare& share) {
    if (!share.known()) return "-";
    return share.cap_percent() == 0 ? "none" : std::to_string(share.cap_percent()) + " %";
}

std::string render_shares(const v1::ShareList& list) {
    Rows rows{{"NAME", "ID", "WEIGHT", "CAP", "POOL", "SCHEDULER"}};
    for (const v1::DomainShare& share : list.shares()) {
        rows.push_back({share.name(), std::to_string(share.domid()), weight_text(share.share()),
                        cap_text(share.share()), share.pool(), share.scheduler()});
    }
    return render_table(rows);
}

std::string render_shares_json(const v1::ShareList& list) {
    JsonWriter json;
    json.begin_array();
    for (const v1::DomainShare& share : list.shares()) {
        json.begin_object();
        json.field("name", share.name());
        json.field("domid", share.domid());
        json.key("weight");
        if (share.share().known()) {
            json.value(share.share().weight());
        } else {
            json.null();
        }
        json.key("cap_percent");
        if (share.share().known()) {
            json.value(share.share().cap_percent());
        } else {
            json.null();
        }
        json.field("pool", share.pool());
        json.field("scheduler", share.scheduler());
        json.end_object();
    }
    json.end_array();
    return json.take();
}

std::string render_pools(const v1::PoolList& list) {
    Rows rows{{"ID", "NAME", "CPUS", "DOMAINS", "SCHEDULER", "RATELIMIT"}};
    for (const v1::Pool& pool : list.pools()) {
        const std::string limit =
            !pool.has_ratelimit()
                ? "-"
                : (pool.ratelimit_us() == 0 ? "none" : std::to_string(pool.ratelimit_us()) + " us");
        rows.push_back({std::to_string(pool.id()), pool.name(), pool.cpus(), std::to_string(pool.domains()),
                        pool.scheduler(), limit});
    }
    std::string text = render_table(rows);
    if (!list.free_cpus().empty() && list.free_cpus() != "none") {
        text += "in no pool, and idle: CPUs " + list.free_cpus() + "\n";
    }
    return text;
}

void write_pools(JsonWriter& json, const v1::PoolList& list) {
    json.begin_array();
    for (const v1::Pool& pool : list.pools()) {
        json.begin_object();
        json.field("id", pool.id());
        json.field("name", pool.name());
        json.field("cpus", pool.cpus());
        json.field("domains", pool.domains());
        json.field("scheduler", pool.scheduler());
        json.key("ratelimit_us");
        if (pool.has_ratelimit()) {
            json.value(pool.ratelimit_us());
        } else {
            json.null();
        }
        json.end_object();
    }
    json.end_array();
}

std::string render_pools_json(const v1::PoolList& list) {
    JsonWriter json;
    json.begin_object();
    json.key("pools");
    write_pools(json, list);
    json.field("free_cpus", list.free_cpus());
    json.end_object();
    return json.take();
}

void add_topology(Rows& rows, const v1::Host& host) {
    for (const auto& [number, package] : packages_of(host))
        rows.push_back({"package " + std::to_string(number), describe(package)});
    for (const v1::Pool& pool : host.pools().pools()) {
        rows.push_back({"pool " + pool.name(), "CPUs " + pool.cpus() + ", " + std::to_string(pool.domains()) +
                                                   (pool.domains() == 1 ? " domain, " : " domains, ") +
                                                   pool.scheduler()});
    }
    const std::string& free = host.pools().free_cpus();
    if (!free.empty() && free != "none") rows.push_back({"in no pool", "CPUs " + free});
}

void write_topology(JsonWriter& json, const v1::Host& host) {
    json.key("topology");
    json.begin_array();
    for (const v1::HostCpu& cpu : host.topology()) {
        if (!cpu.known()) continue;
        json.begin_object();
        json.field("cpu", cpu.number());
        json.field("core", cpu.core());
        json.field("package", cpu.package());
        json.field("node", cpu.node());
        json.end_object();
    }
    json.end_array();
    json.key("pools");
    write_pools(json, host.pools());
    json.field("free_cpus", host.pools().free_cpus());
}

}  // namespace torii::cli
