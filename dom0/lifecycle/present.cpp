// The part of DomainManager for what concerns all domains of the machine, also those of other toolstacks.

#include <algorithm>

#include "lifecycle/domain_manager.h"
#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {

std::vector<DomainManager::Present> DomainManager::present() {
    std::vector<Present> all;
    for (const DomainInfo& info : parts_.hypervisor.domains()) {
        if (info.dying) continue;
        const Managed* managed = info.domain == kDom0 ? nullptr : by_uuid(format_uuid(info.handle));
        if (managed == nullptr) {
            all.push_back({info, describe_foreign(info), false});
        } else if (managed->record.phase() == v1::PHASE_LIVE) {
            all.push_back({info, view(*managed, info), true});
        }
    }
    return all;
}

DomainManager::Present DomainManager::present(const std::string& key, const char* verb) {
    const std::vector<Present> all = present();
    const auto found = std::find_if(all.begin(), all.end(), [&](const Present& present) {
        return present.view.name() == key || present.view.uuid() == key ||
               std::to_string(present.info.domain.raw()) == key;
    });
    if (found != all.end()) return *found;
    const Managed& managed = find_live(key, verb);
    throw Failure(
        ErrorCode::kOperationInvalid,
        fmt::format("cannot {} {}: the hypervisor does not know it any more", verb, managed.name()));
}

void DomainManager::keep(const Present& present, const std::function<void(v1::DomainRecord&)>& change) {
    Managed* managed = present.ours ? by_uuid(present.view.uuid()) : nullptr;
    if (managed == nullptr) return;
    change(managed->record);
    save(*managed);
}

void DomainManager::set_vcpus(const Present& present, uint32_t count) {
    nodes_.set_vcpus(present.info.domain, present.info.vcpus, count);
    keep(present, [&](v1::DomainRecord& record) { record.set_target_vcpus(count); });
}

}  // namespace torii::dom0
