#pragma once
// The xenstore nodes of a domain: what a PV guest and stock tools expect below /local/domain/<id> and
// /vm/<uuid>.

#include <torii/v1/internal.pb.h>

#include <string>

#include "xen/ids.h"
#include "xenstore/local_client.h"

namespace torii::dom0 {

class StoreNodes {
public:
    explicit StoreNodes(xenstore::LocalClient& client) : client_(client) {}

    // For the control domain itself, which has that many vCPUs.
    void write_control_domain(uint32_t vcpus);
    // All at once, in one transaction.
    void write(const v1::DomainRecord& record);
    void set_terminal(DomId domain, const std::string& path);
    void remove(DomId domain, const std::string& uuid);

    void rename(DomId domain, const std::string& uuid, const std::string& name);
    void set_memory_target(DomId domain, uint64_t kib);
    // The first `online` of its vCPUs are to run, the others not. Linux's PV kernels follow.
    void set_vcpus(DomId domain, uint32_t vcpus, uint32_t online);
    // Whether the guest's kernel has said that it listens to such requests.
    bool accepts_shutdown(DomId domain, bool reboot);
    void request_shutdown(DomId domain, bool reboot);

private:
    xenstore::LocalClient& client_;
};

}  // namespace torii::dom0
