#include "cpus/vcpu_control.h"

#include <torii/failure.h>

#include <algorithm>
#include <chrono>

#include "cpus/placement.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

using Present = DomainManager::Present;

constexpr size_t kVcpusPerPiece = 1024;  // a frame has room for many more, with long lists of CPUs too

v1::VcpuState state_of(const VcpuInfo& info) {
    if (!info.online) return v1::VCPU_OFFLINE;
    if (info.running) return v1::VCPU_RUNNING;
    return info.blocked ? v1::VCPU_BLOCKED : v1::VCPU_RUNNABLE;
}

uint64_t now_ns() {
    return static_cast<uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

void stamp(v1::VcpuReport& report, Hypervisor& hypervisor) {
    report.set_taken_ns(now_ns());
    for (const uint32_t cpu : running_cpus(hypervisor))
        report.add_cpus(cpu);
}

std::string watched_path(DomId domain) {
    return fmt::format("/local/domain/{}/cpu", domain.raw());
}

const NamedPool* pool_with(const std::vector<NamedPool>& pools, PoolId id) {
    for (const NamedPool& pool : pools) {
        if (pool.info.id == id) return &pool;
    }
    return nullptr;
}

}  // namespace

v1::Vcpu VcpuControl::describe_vcpu(DomId domain, uint32_t number, bool times) {
    const VcpuInfo info = hypervisor_.vcpu(domain, number);
    v1::Vcpu vcpu;
    vcpu.set_number(number);
    vcpu.set_state(state_of(info));
    vcpu.set_cpu(info.cpu);
    vcpu.set_cpu_time_ns(info.cpu_time_ns);
    if (times) {
        if (const auto told = hypervisor_.vcpu_times(domain, number)) {
            vcpu.mutable_times()->set_running(told->running);
            vcpu.mutable_times()->set_runnable(told->runnable);
            vcpu.mutable_times()->set_blocked(told->blocked);
            vcpu.mutable_times()->set_offline(told->offline);
        }
    } else {
        const VcpuAffinity affinity = hypervisor_.vcpu_affinity(domain, number);
        vcpu.set_hard_cpus(format_cpus(affinity.hard));
        vcpu.set_soft_cpus(format_cpus(affinity.soft));
    }
    return vcpu;
}

static void add_traffic(v1::DomainVcpus& described, const v1::DomainDevices& devices) {
    for (const v1::Device& device : devices.devices()) {
        v1::Traffic& sum = *described.mutable_traffic();
        sum.set_bytes_read(sum.bytes_read() + device.disk_counters().bytes_read());
        sum.set_bytes_written(sum.bytes_written() + device.disk_counters().bytes_written());
        sum.set_bytes_received(sum.bytes_received() + device.net_counters().bytes_to_guest());
        sum.set_bytes_sent(sum.bytes_sent() + device.net_counters().bytes_from_guest());
    }
}

v1::DomainVcpus VcpuControl::describe(const Present& present, bool times) {
    v1::DomainVcpus described;
    *described.mutable_domain() = present.view;
    described.mutable_domain()->clear_config();
    described.set_listens(store_.watches(present.info.domain, watched_path(present.info.domain)));
    for (uint32_t number = 0; number < present.info.vcpus; number++) {
        *described.add_vcpus() = describe_vcpu(present.info.domain, number, times);
    }
    if (times && present.ours) add_traffic(described, domains_.devices(present.view.uuid()));
    return described;
}

void VcpuControl::list(const v1::VcpuListRequest& request, const SendPiece& send) {
    const std::vector<Present> all = request.domain().empty()
                                         ? domains_.present()
                                         : std::vector{domains_.present(request.domain(), "look into")};
    v1::VcpuReport piece;
    stamp(piece, hypervisor_);
    size_t held = 0;
    for (const Present& present : all) {
        try {
            *piece.add_domains() = describe(present, request.times());
        } catch (const Failure&) {
            piece.mutable_domains()->RemoveLast();
            // One among all may end while it is looked at.
            if (!request.domain().empty()) throw;
            continue;
        }
        held += present.info.vcpus;
        if (held < kVcpusPerPiece) continue;
        send(piece);
        piece.clear_domains();
        held = 0;
    }
    piece.set_last(true);
    send(piece);
}

v1::VcpuReport VcpuControl::report_of(const Present& present) {
    v1::VcpuReport report;
    stamp(report, hypervisor_);
    *report.add_domains() = describe(present, false);
    report.set_last(true);
    return report;
}

v1::VcpuReport VcpuControl::set_online(const v1::VcpuSetRequest& request) {
    const Present present = domains_.present(request.domain(), "change the number of vCPUs of");
    const uint32_t count = request.count();
    const std::string& name = present.view.name();
    if (count == 0) {
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("{} cannot be left without a vCPU: 1 is the least. `torii pause {}` stops "
                                  "all of them",
                                  name, name));
    }
    if (count > present.info.vcpus) {
        const char* where = present.info.domain == kDom0
                                ? "the hypervisor's option dom0_max_vcpus"
                                : "max-vcpus in its description, for the next time it is created";
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("{} can have at most {} vCPUs online; {} were asked for. {} sets the most",
                                  name, present.info.vcpus, count, where));
    }
    domains_.set_vcpus(present, count);
    log_info("{} (domain {}) asked to have {} vCPUs online", name, present.info.domain.raw(), count);
    return report_of(present);
}

AffinityChange VcpuControl::affinity_asked(const v1::VcpuPinRequest& request, const Present& present) {
    if (request.hard_cpus().empty() && request.soft_cpus().empty()) {
        throw Failure(ErrorCode::kInvalidArgument,
                      "nothing is to be changed: give the CPUs to run on, or the soft affinity, or both");
    }
    const CpuSet existing = running_cpus(hypervisor_);
    AffinityChange change;
    if (!request.hard_cpus().empty()) change.hard = CpuList::parse(request.hard_cpus()).among(existing);
    if (!request.soft_cpus().empty()) change.soft = CpuList::parse(request.soft_cpus()).among(existing);
    const NamedPool pool = pools_.find(present.info.pool);
    if (!change.hard.empty() && common_cpus(change.hard, pool.info.cpus).empty()) {
        throw Failure(
            ErrorCode::kInvalidArgument,
            fmt::format("{} cannot run on {}: its pool {} has the CPUs {}. Name one of these, or move "
                        "it with `torii pool move {} POOL`",
                        present.view.name(), format_cpus(change.hard), pool.name, format_cpus(pool.info.cpus),
                        present.view.name()));
    }
    return change;
}

v1::VcpuReport VcpuControl::pin(const v1::VcpuPinRequest& request) {
    const Present present = domains_.present(request.domain(), "pin the vCPUs of");
    const uint32_t vcpus = present.info.vcpus;
    if (!request.all() && request.vcpu() >= vcpus) {
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("{} has no vCPU {}: its vCPUs are {}", present.view.name(), request.vcpu(),
                                  format_cpus(first_cpus(vcpus))));
    }
    const AffinityChange change = affinity_asked(request, present);
    const uint32_t first = request.all() ? 0 : request.vcpu();
    const uint32_t end = request.all() ? vcpus : request.vcpu() + 1;
    for (uint32_t vcpu = first; vcpu < end; vcpu++)
        hypervisor_.set_vcpu_affinity(present.info.domain, vcpu, change);
    domains_.keep(present, [&](v1::DomainRecord& record) {
        for (uint32_t vcpu = first; vcpu < end; vcpu++) {
            v1::VcpuPlace& place = (*record.mutable_pins())[vcpu];
            if (!change.hard.empty()) place.set_hard_cpus(format_cpus(change.hard));
            if (!change.soft.empty()) place.set_soft_cpus(format_cpus(change.soft));
        }
    });
    log_info("vCPU {} of {} (domain {}) may run on {}, rather on {}",
             request.all() ? "all" : std::to_string(first), present.view.name(), present.info.domain.raw(),
             change.hard.empty() ? "what it could" : format_cpus(change.hard),
             change.soft.empty() ? "what it did" : format_cpus(change.soft));
    return report_of(present);
}

v1::DomainShare VcpuControl::describe_share(const Present& present, const std::vector<NamedPool>& pools) {
    v1::DomainShare described;
    described.set_domid(present.info.domain.raw());
    described.set_name(present.view.name());
    const NamedPool* pool = pool_with(pools, present.info.pool);
    if (pool == nullptr) return described;
    described.set_pool(pool->name);
    described.set_scheduler(scheduler_name(pool->info.scheduler));
    if (const auto share = hypervisor_.scheduler_share(present.info.domain, pool->info.scheduler)) {
        described.mutable_share()->set_known(true);
        described.mutable_share()->set_weight(share->weight);
        described.mutable_share()->set_cap_percent(share->cap_percent);
    }
    return described;
}

v1::ShareList VcpuControl::schedule(const v1::ScheduleRequest& request) {
    v1::ShareList list;
    const std::vector<NamedPool> pools = pools_.list();
    if (request.domain().empty()) {
        for (const Present& present : domains_.present()) {
            try {
                *list.add_shares() = describe_share(present, pools);
            } catch (const Failure&) {  // one among all may end while it is looked at
                list.mutable_shares()->RemoveLast();
            }
        }
        return list;
    }
    const Present present = domains_.present(request.domain(), "schedule");
    if (request.has_weight()) check_weight(request.weight());
    if (request.has_cap_percent()) check_cap(request.cap_percent());
    if (request.has_weight() || request.has_cap_percent()) {
        const NamedPool* pool = pool_with(pools, present.info.pool);
        const auto scheduler = pool == nullptr ? abi::SchedulerId::kCredit2 : pool->info.scheduler;
        auto share = hypervisor_.scheduler_share(present.info.domain, scheduler);
        if (!share) {
            throw Failure(ErrorCode::kNotSupported,
                          fmt::format("{} has no weight and no cap: the scheduler of its pool is {}",
                                      present.view.name(), scheduler_name(scheduler)));
        }
        if (request.has_weight()) share->weight = static_cast<uint16_t>(request.weight());
        if (request.has_cap_percent()) share->cap_percent = static_cast<uint16_t>(request.cap_percent());
        hypervisor_.set_scheduler_share(present.info.domain, scheduler, *share);
        domains_.keep(present, [&](v1::DomainRecord& record) {
            record.mutable_config()->set_weight(share->weight);
            record.mutable_config()->set_cap_percent(share->cap_percent);
        });
        log_info("{} (domain {}) has the weight {} and the cap {} %", present.view.name(),
                 present.info.domain.raw(), share->weight, share->cap_percent);
    }
    *list.add_shares() = describe_share(present, pools);
    return list;
}

void VcpuControl::move(const v1::PoolMoveRequest& request) {
    const Present present = domains_.present(request.domain(), "move");
    pools_.move(present.info, present.view.name(), request.pool());
    domains_.keep(present, [&](v1::DomainRecord& record) {
        record.mutable_config()->set_pool(pools_.find(request.pool()).name);
    });
}

void VcpuControl::add_share(v1::Domain& view) {
    if (!view.active() || view.dying()) return;
    try {
        const auto info = hypervisor_.domain(DomId(static_cast<uint16_t>(view.domid())));
        if (!info) return;
        const v1::DomainShare share = describe_share({*info, view, false}, pools_.list());
        view.set_pool(share.pool());
        *view.mutable_share() = share.share();
    } catch (const Failure& failure) {  // the rest of what is known is worth telling
        log_debug("the share of domain {} is not known: {}", view.domid(), failure.what());
    }
}

}  // namespace torii::dom0
