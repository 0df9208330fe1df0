#pragma once
// From a request to the part of the daemon that does it, and back. One function per verb.

#include <torii/v1/control.pb.h>

#include <memory>

#include "cpus/vcpu_control.h"
#include "lifecycle/domain_manager.h"
#include "xen/hypervisor.h"

namespace torii::dom0 {

class Session;

class Dispatcher {
public:
    // `remark` is told with the machine's description; may be empty.
    Dispatcher(DomainManager& domains, Hypervisor& hypervisor, xenstore::Service& store,
               std::string remark = {})
        : domains_(domains),
          hypervisor_(hypervisor),
          vcpus_(domains, hypervisor, store, domains.pools()),
          remark_(std::move(remark)) {}

    // Throws Failure for a request that is refused at once; otherwise replies now or later.
    void handle(const std::shared_ptr<Session>& session, const v1::Request& request);

private:
    void info(const std::shared_ptr<Session>& session, uint64_t id, const std::string& domain);
    void create(const std::shared_ptr<Session>& session, uint64_t id, const v1::CreateRequest& request);
    void destroy(const std::shared_ptr<Session>& session, uint64_t id, const v1::DestroyRequest& request);
    void attach_console(const std::shared_ptr<Session>& session, uint64_t id,
                        const v1::ConsoleAttachRequest& request);
    void console_input(const std::shared_ptr<Session>& session, uint64_t id, const v1::ConsoleInput& input);
    void counters(const std::shared_ptr<Session>& session, uint64_t id, const v1::CountersRequest& request);
    v1::Host describe_host();

    // --- dispatch_devices.cpp
    // False for a request that is not about devices.
    bool handle_devices(const std::shared_ptr<Session>& session, const v1::Request& request);
    void detach(const std::shared_ptr<Session>& session, uint64_t id, const v1::DetachRequest& request);
    void resize(const std::shared_ptr<Session>& session, uint64_t id, const v1::ResizeRequest& request);

    // --- dispatch_cpus.cpp
    // False for a request that is not about CPUs.
    bool handle_cpus(const std::shared_ptr<Session>& session, const v1::Request& request);
    bool change_pools(const v1::Request& request);
    v1::PoolList describe_pools();
    void describe_topology(v1::Host& host);

    DomainManager& domains_;
    Hypervisor& hypervisor_;
    VcpuControl vcpus_;
    const std::string remark_;
};

}  // namespace torii::dom0
