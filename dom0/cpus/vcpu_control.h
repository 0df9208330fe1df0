#pragma once
// Virtual CPUs of domains that run: which are online, where they run, how much they get. Of all domains: the
// daemon's own, the control domain, and those of other toolstacks.

#include <torii/v1/control.pb.h>

#include <functional>

#include "cpus/pools.h"
#include "lifecycle/domain_manager.h"
#include "xenstore/service.h"

namespace torii::dom0 {

class VcpuControl {
public:
    VcpuControl(DomainManager& domains, Hypervisor& hypervisor, xenstore::Service& store, Pools& pools)
        : domains_(domains), hypervisor_(hypervisor), store_(store), pools_(pools) {}

    // In pieces that each fit a frame, the last one marked.
    using SendPiece = std::function<void(const v1::VcpuReport&)>;
    void list(const v1::VcpuListRequest& request, const SendPiece& send);

    // These answer with how things stand then. Throw Failure for what cannot be.
    // The guest follows by itself, or not: to be seen in `list`.
    v1::VcpuReport set_online(const v1::VcpuSetRequest& request);
    v1::VcpuReport pin(const v1::VcpuPinRequest& request);
    v1::ShareList schedule(const v1::ScheduleRequest& request);
    void move(const v1::PoolMoveRequest& request);
    // What `info` says of the domain's pool, weight and cap.
    void add_share(v1::Domain& view);

private:
    v1::DomainVcpus describe(const DomainManager::Present& present, bool times);
    v1::Vcpu describe_vcpu(DomId domain, uint32_t number, bool times);
    v1::VcpuReport report_of(const DomainManager::Present& present);
    AffinityChange affinity_asked(const v1::VcpuPinRequest& request, const DomainManager::Present& present);
    v1::DomainShare describe_share(const DomainManager::Present& present,
                                   const std::vector<NamedPool>& pools);

    DomainManager& domains_;
    Hypervisor& hypervisor_;
    xenstore::Service& store_;
    Pools& pools_;
};

}  // namespace torii::dom0
