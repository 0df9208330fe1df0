// The part of DomainManager that brings domains into being.

#include <boost/asio/post.hpp>
#include <ctime>

#include "cpus/placement.h"
#include "lifecycle/config_rules.h"
#include "lifecycle/domain_manager.h"
#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

// Unpacking a kernel takes about 100 MiB of dom0's memory for a while.
constexpr unsigned kMaxBuilders = 2;

}  // namespace

void DomainManager::check_name_free(const std::string& name) {
    std::string ended;
    for (const auto& [uuid, managed] : domains_) {
        if (managed->name() != name) continue;
        switch (managed->record.phase()) {
            case v1::PHASE_ENDED:
                ended = uuid;
                break;
            case v1::PHASE_ENDING:
                if (managed->record.afterwards() != v1::AFTER_RESTART)
                    break;  // the name is free while it dies
                [[fallthrough]];
            default:
                throw Failure(
                    ErrorCode::kDomainExists,
                    fmt::format("the name {} is taken: choose another one, or destroy that domain first",
                                name));
        }
    }
    if (!ended.empty()) forget(ended);
}

// Only to tell early: the hypervisor decides when the memory is taken.
void DomainManager::check_memory_free(const v1::DomainConfig& config) {
    const HostInfo host = parts_.hypervisor.host();
    const uint64_t free_kib = (host.free_pages + host.scrub_pages) * 4;
    if (config.memory_kib() <= free_kib) return;
    throw Failure(
        ErrorCode::kNoMemory,
        fmt::format("{} MiB of memory were asked for, but only {} MiB are free. Ask for less, destroy a "
                    "domain, or shrink one with `torii mem-set`",
                    config.memory_kib() >> 10, free_kib >> 10));
}

std::string DomainManager::create(v1::DomainConfig config, bool paused, ProgressCallback progress,
                                  Outcome outcome) {
    check_config(config);
    check_name_free(config.name());
    if (by_uuid(config.uuid()) != nullptr) {
        throw Failure(ErrorCode::kDomainExists, "the UUID " + config.uuid() + " is taken by another domain");
    }
    check_memory_free(config);
    check_placement(parts_.hypervisor, pools_, config);
    auto managed = std::make_unique<Managed>();
    v1::DomainRecord& record = managed->record;
    record.set_phase(v1::PHASE_BUILDING);
    record.set_created_unix(std::time(nullptr));
    record.set_start_paused(paused);
    record.set_target_memory_kib(config.memory_kib());
    record.set_console_log((options_.log_directory / (config.name() + ".log")).string());
    *record.mutable_config() = std::move(config);
    managed->progress = std::move(progress);
    managed->creation = std::move(outcome);
    save(*managed);
    parts_.fail_point("create.recorded");
    const std::string uuid = managed->uuid();
    log_info("{} is being created from {}", managed->name(), record.config().kernel());
    domains_.emplace(uuid, std::move(managed));
    build_queue_.push_back(uuid);
    start_builders();
    return uuid;
}

void DomainManager::start_builders() {
    while (builders_ < kMaxBuilders && !build_queue_.empty()) {
        const std::string uuid = build_queue_.front();
        build_queue_.pop_front();
        Managed* managed = by_uuid(uuid);
        if (managed == nullptr) continue;
        v1::BuilderRequest request;
        request.set_uuid(uuid);
        *request.mutable_config() = managed->record.config();
        BuilderProcess::Callbacks callbacks;
        callbacks.progress = [this, uuid](const std::string& step, unsigned percent) {
            Managed* building = by_uuid(uuid);
            if (building == nullptr) return;
            building->building_percent = percent;
            if (building->progress) building->progress(step, percent);
        };
        callbacks.built = [this, uuid](const v1::BuilderResult& result) { on_built(uuid, result); };
        callbacks.failed = [this, uuid](const Failure& failure) { on_build_failed(uuid, failure); };
        builders_++;
        try {
            managed->builder = start_builder_(request, std::move(callbacks));
        } catch (const Failure& failure) {
            // From the event loop, so that the caller of create() has its answer first.
            boost::asio::post(parts_.context, [this, uuid, failure] { on_build_failed(uuid, failure); });
        }
    }
}

void DomainManager::cancel_creation(const std::string& uuid) {
    Managed* managed = by_uuid(uuid);
    if (managed == nullptr || managed->record.phase() != v1::PHASE_BUILDING) return;
    if (managed->builder) {
        managed->builder->cancel();
        return;
    }
    std::erase(build_queue_, uuid);
    abandon_creation(*managed, Failure(ErrorCode::kAborted, "the creation was cancelled"));
}

void DomainManager::on_built(const std::string& uuid, const v1::BuilderResult& result) {
    builders_--;
    Managed& managed = *by_uuid(uuid);
    managed.builder.reset();
    v1::DomainRecord& record = managed.record;
    record.set_domid(result.domid());
    record.set_xenstore_frame(result.xenstore_frame());
    record.set_xenstore_port(result.xenstore_port());
    record.set_console_frame(result.console_frame());
    record.set_console_port(result.console_port());
    try {
        connect(managed);
        log_info("{} runs as domain {}", managed.name(), record.domid());
        managed.building_percent = 100;
        const auto creation = std::move(managed.creation);
        managed.creation.reset();
        managed.progress = nullptr;
        if (creation) creation->done(view(managed, parts_.hypervisor.domain(managed.domain())));
    } catch (const Failure& failure) {
        abandon_creation(managed, failure);
    } catch (const std::exception& problem) {  // the store's own failures
        abandon_creation(managed, Failure(ErrorCode::kInternal, problem.what()));
    }
    start_builders();
}

void DomainManager::connect(Managed& managed) {
    v1::DomainRecord& record = managed.record;
    save(managed);  // still BUILDING, but now with the id whose nodes are about to be made
    parts_.fail_point("create.built");
    parts_.store.remove_domain_entries(managed.domain());
    nodes_.write(record);
    parts_.fail_point("create.store-nodes");
    parts_.devices.start(record);
    parts_.fail_point("create.devices");
    parts_.store.introduce(
        managed.domain(), {record.xenstore_frame(), record.xenstore_port()},
        map_store_ring(managed.domain(), Mfn(record.xenstore_frame()), Port(record.xenstore_port())));
    parts_.fail_point("create.introduced");
    connect_console(managed, true);
    parts_.fail_point("create.console");
    apply_placement(parts_.hypervisor, pools_, record);
    record.set_phase(v1::PHASE_LIVE);
    record.set_afterwards(v1::AFTER_FORGET);
    save(managed);
    parts_.fail_point("create.saved");
    if (!record.start_paused()) parts_.hypervisor.unpause(managed.domain());
    parts_.fail_point("create.unpaused");
}

std::unique_ptr<StoreRing> DomainManager::map_store_ring(DomId domain, Mfn frame, Port port) {
    const uint64_t mfn = frame.raw();
    ForeignMapping page = parts_.hypervisor.calls().map_frames(domain, std::span(&mfn, 1));
    BoundPort bound(parts_.channels, parts_.channels.bind_interdomain(domain, port, [this, domain] {
        parts_.store.ring_signalled(domain);
    }));
    return std::make_unique<StoreRing>(std::move(page), std::move(bound));
}

void DomainManager::connect_console(Managed& managed, bool fresh_log) {
    const v1::DomainRecord& record = managed.record;
    ConsolePlace place;
    place.domain = managed.domain();
    place.frame = Mfn(record.console_frame());
    place.port = Port(record.console_port());
    place.name = managed.name();
    place.log.file = record.console_log();
    place.log.position_file = parts_.state.console_position_file(managed.uuid());
    place.log.limit_bytes = record.config().console_log_bytes() != 0 ? record.config().console_log_bytes()
                                                                     : options_.console_log_bytes;
    place.log.fresh = fresh_log;
    place.broken = [this, uuid = managed.uuid()] {
        boost::asio::post(parts_.context, [this, uuid] {
            const Managed* broken = by_uuid(uuid);
            if (broken != nullptr)
                ring_broken(broken->domain(), "its console ring: an index in it makes no sense");
        });
    };
    managed.console = std::make_unique<ConsoleConnection>(parts_.context, parts_.hypervisor, parts_.channels,
                                                          place, parts_.fail_point);
    nodes_.set_terminal(managed.domain(), managed.console->terminal());
}

void DomainManager::on_build_failed(const std::string& uuid, const Failure& failure) {
    builders_--;
    Managed* managed = by_uuid(uuid);
    if (managed != nullptr) {
        managed->builder.reset();
        abandon_creation(*managed, failure);
    }
    start_builders();
}

// Whatever exists by now goes: the domain, its nodes, its record. The one who asked is told when all is gone.
void DomainManager::abandon_creation(Managed& managed, const Failure& failure) {
    log_warning("{} could not be created: {}", managed.name(), failure.what());
    const EndOfLife end{v1::SHUTOFF, static_cast<int>(ShutoffReason::kFailed), failure.what()};
    // A guest that was to be started again has nobody waiting: its record tells.
    const v1::Afterwards afterwards = managed.creation ? v1::AFTER_FORGET : v1::AFTER_REMEMBER;
    const auto info = info_of(managed, parts_.hypervisor.domains());
    if (!info) {
        managed.record.set_domid(0);
        const auto creation = std::move(managed.creation);
        managed.creation.reset();
        if (afterwards == v1::AFTER_FORGET) {
            forget(std::string(managed.uuid()));
        } else {
            remember_end(managed, end);
        }
        if (creation) creation->failed(failure);
        return;
    }
    managed.record.set_domid(info->domain.raw());
    if (managed.creation) {
        const auto failed = managed.creation->failed;
        managed.waiting_for_end.push_back({[failed, failure](const v1::Domain&) { failed(failure); },
                                           [failed, failure](const Failure&) { failed(failure); }});
        managed.creation.reset();
    }
    begin_end(managed, afterwards, end);
}

}  // namespace torii::dom0
