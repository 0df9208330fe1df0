// The part of DomainManager that takes over what an earlier daemon left.

#include <algorithm>
#include <set>

#include "lifecycle/domain_manager.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

uint32_t own_vcpus(const std::vector<DomainInfo>& infos) {
    for (const DomainInfo& info : infos) {
        if (info.domain == kDom0) return info.vcpus;
    }
    return 0;
}

}  // namespace

void DomainManager::recover() {
    for (v1::DomainRecord& record : parts_.state.load()) {
        auto managed = std::make_unique<Managed>();
        managed->record = std::move(record);
        const std::string uuid = managed->uuid();
        domains_.emplace(uuid, std::move(managed));
    }
    const Infos infos = parts_.hypervisor.domains();
    std::vector<std::string> uuids;
    for (const auto& [uuid, managed] : domains_)
        uuids.push_back(uuid);
    for (const std::string& uuid : uuids) {
        Managed& managed = *by_uuid(uuid);
        recover_record(managed, info_of(managed, infos));
    }
    release_unknown_rings(infos);
    parts_.devices.clean_up([&](DomId domain) {
        return std::any_of(domains_.begin(), domains_.end(), [&](const auto& entry) {
            return entry.second->record.phase() == v1::PHASE_LIVE && entry.second->domain() == domain;
        });
    });
    nodes_.write_control_domain(own_vcpus(infos));
    pools_.write_first_name();
    check_domains();
}

void DomainManager::recover_record(Managed& managed, const std::optional<DomainInfo>& info) {
    switch (managed.record.phase()) {
        case v1::PHASE_BUILDING:
            recover_half_built(managed, info);
            break;
        case v1::PHASE_ENDING:
            kill(managed);
            break;
        case v1::PHASE_LIVE:
            if (info && !info->dying) {
                recover_live(managed, *info);
            } else {
                begin_end(managed, v1::AFTER_REMEMBER,
                          {v1::SHUTOFF, static_cast<int>(ShutoffReason::kDestroyed),
                           "was destroyed by someone else while the daemon was away"});
            }
            break;
        default:
            break;
    }
}

// What was asked for is undone: whoever asked has been told of a failure. A guest that was being started
// again by its own wish is started again.
void DomainManager::recover_half_built(Managed& managed, const std::optional<DomainInfo>& info) {
    const bool again = managed.record.afterwards() == v1::AFTER_RESTART;
    log_info("{} was only half built and is {}", managed.name(), again ? "built again" : "destroyed");
    if (info) managed.record.set_domid(info->domain.raw());
    if (info || managed.record.domid() != 0) {
        begin_end(managed, again ? v1::AFTER_RESTART : v1::AFTER_FORGET,
                  {v1::SHUTOFF, static_cast<int>(ShutoffReason::kFailed),
                   "the daemon was killed while it was being built"});
    } else if (again) {
        restart(managed);
    } else {
        forget(std::string(managed.uuid()));
    }
}

void DomainManager::recover_live(Managed& managed, const DomainInfo& info) {
    const v1::DomainRecord& record = managed.record;
    try {
        auto ring = map_store_ring(info.domain, Mfn(record.xenstore_frame()), Port(record.xenstore_port()));
        bool resumed = false;
        for (const auto& restored : parts_.store.restored_domains()) {
            if (restored.domain != info.domain) continue;
            parts_.store.resume(info.domain, std::move(ring));
            resumed = true;
            break;
        }
        if (!resumed) {
            nodes_.write(record);
            parts_.store.introduce(info.domain, {record.xenstore_frame(), record.xenstore_port()},
                                   std::move(ring));
        }
    } catch (const std::exception& problem) {
        log_error("xenstore of {} cannot be connected again: {}", managed.name(), problem.what());
    }
    try {
        connect_console(managed, false);
    } catch (const std::exception& problem) {
        log_error("the console of {} cannot be connected again: {}", managed.name(), problem.what());
    }
    recover_devices(managed);
    // Killed between recording the domain as complete and starting it.
    if (info.paused && !record.start_paused() && !info.shut_down && !record.end_handled())
        parts_.hypervisor.unpause(info.domain);
    log_info("{} (domain {}) found again", managed.name(), info.domain.raw());
}

// Connections of domains that are gone, or that another toolstack made.
void DomainManager::release_unknown_rings(const Infos& infos) {
    std::set<DomId> existing;
    for (const DomainInfo& info : infos) {
        if (!info.dying) existing.insert(info.domain);
    }
    for (const auto& restored : parts_.store.restored_domains()) {
        if (restored.domain == kDom0) continue;
        try {
            if (existing.contains(restored.domain)) {
                parts_.store.resume(restored.domain,
                                    map_store_ring(restored.domain, Mfn(restored.location.frame),
                                                   Port(restored.location.port)));
                continue;
            }
        } catch (const std::exception& problem) {
            log_warning("the xenstore ring of domain {} is given up: {}", restored.domain.raw(),
                        problem.what());
        }
        parts_.store.release(restored.domain);
    }
}

}  // namespace torii::dom0
