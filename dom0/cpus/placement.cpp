#include "cpus/placement.h"

#include <torii/failure.h>

#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr uint32_t kMaxWeight = 65535;
constexpr uint32_t kMaxCap = 65534;  // the number above it says "leave it" in the call

CpuSet chosen(const std::string& text, const CpuSet& existing) {
    return text.empty() ? CpuSet() : CpuList::parse(text).among(existing);
}

void check_cpus(const std::string& text, const char* what, const CpuSet& existing, const NamedPool& pool) {
    const CpuSet cpus = chosen(text, existing);
    if (cpus.empty() || !common_cpus(cpus, pool.info.cpus).empty()) return;
    throw Failure(
        ErrorCode::kInvalidArgument,
        fmt::format("the domain is to run {} the CPUs {}, none of which is in its pool {}, which has "
                    "the CPUs {}",
                    what, format_cpus(cpus), pool.name, format_cpus(pool.info.cpus)));
}

void apply_affinity(Hypervisor& hypervisor, const v1::DomainRecord& record, DomId domain) {
    const v1::DomainConfig& config = record.config();
    if (config.cpus().empty() && config.soft_cpus().empty() && record.pins().empty()) return;
    const CpuSet existing = running_cpus(hypervisor);
    const AffinityChange common{chosen(config.cpus(), existing), chosen(config.soft_cpus(), existing)};
    for (uint32_t vcpu = 0; vcpu < max_vcpus(config); vcpu++) {
        AffinityChange change = common;
        const auto pin = record.pins().find(vcpu);
        if (pin != record.pins().end()) {
            if (!pin->second.hard_cpus().empty()) change.hard = chosen(pin->second.hard_cpus(), existing);
            if (!pin->second.soft_cpus().empty()) change.soft = chosen(pin->second.soft_cpus(), existing);
        }
        hypervisor.set_vcpu_affinity(domain, vcpu, change);
    }
}

void apply_share(Hypervisor& hypervisor, Pools& pools, const v1::DomainConfig& config, DomId domain) {
    if (config.weight() == 0 && config.cap_percent() == 0) return;
    const NamedPool pool = pools.find(config.pool());
    auto share = hypervisor.scheduler_share(domain, pool.info.scheduler);
    if (!share) {
        throw Failure(ErrorCode::kNotSupported,
                      fmt::format("the scheduler {} of the pool {} has no weights and caps: leave them out",
                                  scheduler_name(pool.info.scheduler), pool.name));
    }
    if (config.weight() != 0) share->weight = static_cast<uint16_t>(config.weight());
    share->cap_percent = static_cast<uint16_t>(config.cap_percent());
    hypervisor.set_scheduler_share(domain, pool.info.scheduler, *share);
}

}  // namespace

uint32_t max_vcpus(const v1::DomainConfig& config) {
    return config.max_vcpus() == 0 ? config.vcpus() : config.max_vcpus();
}

uint32_t wanted_vcpus(const v1::DomainRecord& record) {
    return record.target_vcpus() == 0 ? record.config().vcpus() : record.target_vcpus();
}

void check_weight(uint32_t weight) {
    if (weight >= 1 && weight <= kMaxWeight) return;
    throw Failure(ErrorCode::kInvalidArgument,
                  fmt::format("a weight of {} is not possible: give 1 to {} (most domains have 256)", weight,
                              kMaxWeight));
}

void check_cap(uint32_t cap_percent) {
    if (cap_percent <= kMaxCap) return;
    throw Failure(
        ErrorCode::kInvalidArgument,
        fmt::format("a cap of {} % is not possible: give percent of one CPU, at most {} (200 is two "
                    "whole CPUs), or 0 for none",
                    cap_percent, kMaxCap));
}

void check_placement(Hypervisor& hypervisor, Pools& pools, const v1::DomainConfig& config) {
    if (config.pool().empty() && config.cpus().empty() && config.soft_cpus().empty()) return;
    const NamedPool pool = pools.find(config.pool());
    if (pool.info.cpus.empty()) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("the pool {} has no CPUs to run the domain on: add one with `torii pool "
                                  "add-cpu {} CPUS`",
                                  pool.name, pool.name));
    }
    const CpuSet existing = running_cpus(hypervisor);
    check_cpus(config.cpus(), "on", existing, pool);
    check_cpus(config.soft_cpus(), "rather on", existing, pool);
}

void apply_placement(Hypervisor& hypervisor, Pools& pools, const v1::DomainRecord& record) {
    const v1::DomainConfig& config = record.config();
    const DomId domain(static_cast<uint16_t>(record.domid()));
    if (!config.pool().empty()) {
        if (const auto info = hypervisor.domain(domain)) pools.move(*info, config.name(), config.pool());
    }
    apply_share(hypervisor, pools, config, domain);
    apply_affinity(hypervisor, record, domain);
}

}  // namespace torii::dom0
