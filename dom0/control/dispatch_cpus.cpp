// The verbs about CPUs: vCPUs of domains, their shares, and pools.

#include "control/dispatch.h"
#include "control/session.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

v1::Reply reply_to(uint64_t id) {
    v1::Reply reply;
    reply.set_id(id);
    return reply;
}

void send_vcpus(const std::shared_ptr<Session>& session, uint64_t id, const v1::VcpuReport& report) {
    v1::Reply reply = reply_to(id);
    *reply.mutable_vcpus() = report;
    session->send(reply);
}

}  // namespace

bool Dispatcher::handle_cpus(const std::shared_ptr<Session>& session, const v1::Request& request) {
    const uint64_t id = request.id();
    switch (request.verb_case()) {
        case v1::Request::kVcpuList:
            vcpus_.list(request.vcpu_list(),
                        [&](const v1::VcpuReport& piece) { send_vcpus(session, id, piece); });
            return true;
        case v1::Request::kVcpuSet:
            send_vcpus(session, id, vcpus_.set_online(request.vcpu_set()));
            return true;
        case v1::Request::kVcpuPin:
            send_vcpus(session, id, vcpus_.pin(request.vcpu_pin()));
            return true;
        case v1::Request::kSchedule: {
            v1::Reply reply = reply_to(id);
            *reply.mutable_shares() = vcpus_.schedule(request.schedule());
            session->send(reply);
            return true;
        }
        default:
            break;
    }
    if (!change_pools(request)) return false;
    v1::Reply reply = reply_to(id);
    *reply.mutable_pools() = describe_pools();
    session->send(reply);
    return true;
}

// False for a request that is not about pools.
bool Dispatcher::change_pools(const v1::Request& request) {
    Pools& pools = domains_.pools();
    switch (request.verb_case()) {
        case v1::Request::kPoolList:
            return true;
        case v1::Request::kPoolCreate:
            pools.create(request.pool_create().name(), request.pool_create().cpus());
            return true;
        case v1::Request::kPoolDestroy:
            pools.destroy(request.pool_destroy().pool());
            return true;
        case v1::Request::kPoolAddCpus:
            pools.add_cpus(request.pool_add_cpus().pool(), request.pool_add_cpus().cpus());
            return true;
        case v1::Request::kPoolRemoveCpus:
            pools.remove_cpus(request.pool_remove_cpus().pool(), request.pool_remove_cpus().cpus());
            return true;
        case v1::Request::kPoolMove:
            vcpus_.move(request.pool_move());
            return true;
        case v1::Request::kPoolRatelimit:
            pools.set_ratelimit(request.pool_ratelimit().pool(), request.pool_ratelimit().microseconds());
            return true;
        default:
            return false;
    }
}

v1::PoolList Dispatcher::describe_pools() {
    v1::PoolList list;
    for (const NamedPool& pool : domains_.pools().list()) {
        v1::Pool* described = list.add_pools();
        described->set_id(pool.info.id.raw());
        described->set_name(pool.name);
        described->set_scheduler(scheduler_name(pool.info.scheduler));
        described->set_cpus(format_cpus(pool.info.cpus));
        described->set_domains(pool.info.domains);
        if (const auto limit = hypervisor_.ratelimit(pool.info)) {
            described->set_has_ratelimit(true);
            described->set_ratelimit_us(*limit);
        }
    }
    list.set_free_cpus(format_cpus(hypervisor_.free_cpus()));
    return list;
}

void Dispatcher::describe_topology(v1::Host& host) {
    uint32_t number = 0;
    for (const auto& place : hypervisor_.cpu_topology()) {
        v1::HostCpu* cpu = host.add_topology();
        cpu->set_number(number++);
        cpu->set_known(place.has_value());
        if (!place) continue;
        cpu->set_core(place->core);
        cpu->set_package(place->package);
        cpu->set_node(place->node);
    }
}

}  // namespace torii::dom0
