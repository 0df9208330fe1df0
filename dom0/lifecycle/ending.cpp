// The part of DomainManager that deals with the end of domains.

#include <boost/asio/post.hpp>
#include <ctime>

#include "lifecycle/domain_manager.h"
#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxEnded = 32;
constexpr size_t kHypervisorLogTail = 16 * 1024;
constexpr auto kPollInterval = 50ms;
// How long a destroy request waits for a domain that others hold before it says so.
constexpr auto kHeldAfter = 2s;
// A guest that ends this soon after its start, this often in a row, is not started again.
constexpr int64_t kQuickSeconds = 5;
constexpr uint32_t kMaxQuickRestarts = 5;

v1::EndAction action_for(const v1::DomainConfig& config, abi::ShutdownReason reason) {
    switch (reason) {
        case abi::ShutdownReason::kPoweroff:
        case abi::ShutdownReason::kSuspend:
            return config.on_poweroff();
        case abi::ShutdownReason::kReboot:
            return config.on_reboot();
        default:
            return config.on_crash();
    }
}

}  // namespace

void DomainManager::check_domains() {
    const Infos infos = parts_.hypervisor.domains();
    std::vector<std::string> live;
    for (const auto& [uuid, managed] : domains_) {
        if (managed->record.phase() == v1::PHASE_LIVE) live.push_back(uuid);
    }
    for (const std::string& uuid : live) {
        Managed& managed = *by_uuid(uuid);
        const auto info = info_of(managed, infos);
        if (!info) {
            begin_end(
                managed, v1::AFTER_REMEMBER,
                {v1::SHUTOFF, static_cast<int>(ShutoffReason::kDestroyed), "was destroyed by someone else"});
        } else if (info->dying) {
            begin_end(
                managed, v1::AFTER_REMEMBER,
                {v1::SHUTOFF, static_cast<int>(ShutoffReason::kDestroyed), "was destroyed by someone else"});
        } else if (info->shut_down && !managed.record.end_handled()) {
            handle_end(managed, *info);
        }
    }
    check_ending();
}

void DomainManager::handle_end(Managed& managed, const DomainInfo& info) {
    const abi::ShutdownReason reason = info.shutdown_reason;
    end_as(managed, reason,
           describe_end(reason, reason == abi::ShutdownReason::kCrash ? why_killed(info.domain) : ""));
}

// What the hypervisor says of a domain that crashed; empty if it did not end it itself.
std::string DomainManager::why_killed(DomId domain) {
    try {
        if (const auto told = parts_.hypervisor.end_reason(domain)) return *told;
        return find_log_line(parts_.hypervisor.read_log(false, kHypervisorLogTail), domain);
    } catch (const Failure& failure) {
        log_warning("{}", failure.what());
        return "";
    }
}

void DomainManager::ring_broken(DomId domain, const std::string& why) {
    for (const auto& [uuid, managed] : domains_) {
        if (managed->record.phase() != v1::PHASE_LIVE || managed->domain() != domain) continue;
        if (managed->record.end_handled()) return;
        // What it does while its end is decided would only be more of the same.
        parts_.hypervisor.pause(domain);
        end_as(*managed, abi::ShutdownReason::kCrash,
               {v1::CRASHED, static_cast<int>(CrashedReason::kUnknown), "ended, since it broke " + why});
        return;
    }
}

// Does what the domain's description wants at such an end.
void DomainManager::end_as(Managed& managed, abi::ShutdownReason reason, const EndOfLife& end) {
    log_info("{} (domain {}) ended: {}", managed.name(), managed.record.domid(), end.explanation);
    if (managed.console) managed.console->console().drain();
    parts_.store.domain_shut_down(managed.domain());
    v1::EndAction action =
        managed.record.ends_for_good() ? v1::END_DESTROY : action_for(managed.record.config(), reason);
    if (action == v1::END_RESTART) {
        const bool quick = std::time(nullptr) - managed.record.created_unix() < kQuickSeconds;
        const uint32_t count = quick ? managed.record.quick_restarts() + 1 : 0;
        managed.record.set_quick_restarts(count);
        if (count > kMaxQuickRestarts) {
            log_warning("{} ends again and again within seconds and is not restarted any more",
                        managed.name());
            action = v1::END_DESTROY;
        }
    }
    if (action == v1::END_PRESERVE) {
        managed.record.set_end_handled(true);
        set_end(managed.record, end);
        save(managed);
        return;
    }
    // libvirt's word for a domain that is gone because it crashed.
    EndOfLife gone = end;
    if (gone.state == v1::CRASHED) {
        gone.state = v1::SHUTOFF;
        gone.reason = static_cast<int>(ShutoffReason::kCrashed);
    }
    begin_end(managed, action == v1::END_RESTART ? v1::AFTER_RESTART : v1::AFTER_REMEMBER, gone);
}

void DomainManager::destroy(const std::string& key, Outcome outcome) {
    Managed& managed = find(key);
    switch (managed.record.phase()) {
        case v1::PHASE_BUILDING:
            cancel_creation(managed.uuid());
            outcome.done(v1::Domain());
            return;
        case v1::PHASE_ENDED:
            forget(std::string(managed.uuid()));
            outcome.done(v1::Domain());
            return;
        case v1::PHASE_ENDING:
            managed.record.set_afterwards(v1::AFTER_FORGET);
            save(managed);
            managed.waiting_for_end.push_back(std::move(outcome));
            return;
        default:
            break;
    }
    managed.waiting_for_end.push_back(std::move(outcome));
    begin_end(managed, v1::AFTER_FORGET,
              EndOfLife{v1::SHUTOFF, static_cast<int>(ShutoffReason::kDestroyed), "destroyed"});
}

void DomainManager::set_end(v1::DomainRecord& record, const EndOfLife& end) {
    record.set_ended_unix(std::time(nullptr));
    record.set_end_state(end.state);
    record.set_end_reason(end.reason);
    record.set_end_explanation(end.explanation);
}

void DomainManager::remember_end(Managed& managed, const EndOfLife& end) {
    set_end(managed.record, end);
    managed.record.set_phase(v1::PHASE_ENDED);
    save(managed);
    trim_ended();
}

void DomainManager::begin_end(Managed& managed, v1::Afterwards afterwards, const EndOfLife& end) {
    v1::DomainRecord& record = managed.record;
    record.set_phase(v1::PHASE_ENDING);
    record.set_afterwards(afterwards);
    set_end(record, end);
    save(managed);
    parts_.fail_point("destroy.recorded");
    kill(managed);
}

// First our own mappings and ports, so that they do not hold what is being destroyed.
void DomainManager::kill(Managed& managed) {
    if (managed.console) managed.console->console().drain();
    managed.console.reset();
    parts_.devices.stop(managed.domain());
    parts_.store.release(managed.domain());
    managed.killed = false;
    boost::asio::post(slow_calls_, [this, uuid = std::string(managed.uuid()), domain = managed.domain()] {
        std::string problem;
        try {
            // Not if the id is somebody else's by now.
            const auto info = parts_.hypervisor.domain(domain);
            if (info && format_uuid(info->handle) == uuid) parts_.hypervisor.destroy(domain);
        } catch (const std::exception& failure) {
            problem = failure.what();
        }
        boost::asio::post(parts_.context, [this, uuid, problem] {
            if (!problem.empty()) log_error("{}", problem);
            on_killed(uuid);
        });
    });
}

void DomainManager::on_killed(const std::string& uuid) {
    Managed* managed = by_uuid(uuid);
    if (managed == nullptr) return;
    managed->killed = true;
    managed->killed_at = std::chrono::steady_clock::now();
    parts_.fail_point("destroy.killed");
    check_ending();
}

void DomainManager::check_ending() {
    std::vector<std::string> ending;
    for (const auto& [uuid, managed] : domains_) {
        if (managed->record.phase() == v1::PHASE_ENDING && managed->killed) ending.push_back(uuid);
    }
    if (ending.empty()) return;
    const Infos infos = parts_.hypervisor.domains();
    bool left = false;
    for (const std::string& uuid : ending) {
        Managed& managed = *by_uuid(uuid);
        const auto info = info_of(managed, infos);
        if (!info) {
            finish_end(uuid);
            continue;
        }
        left = true;
        if (std::chrono::steady_clock::now() - managed.killed_at < kHeldAfter) continue;
        // Told once; whoever asked may go, the domain stays listed.
        const auto waiting = std::move(managed.waiting_for_end);
        managed.waiting_for_end.clear();
        for (const Outcome& outcome : waiting)
            outcome.done(view(managed, info));
    }
    if (left) arm_timer();
}

void DomainManager::arm_timer() {
    if (timer_armed_) return;
    timer_armed_ = true;
    timer_.expires_after(kPollInterval);
    timer_.async_wait([this](const boost::system::error_code& error) {
        timer_armed_ = false;
        if (error) return;
        try {
            check_ending();
        } catch (const Failure& failure) {
            log_error("{}", failure.what());
            arm_timer();
        }
    });
}

void DomainManager::finish_end(const std::string& uuid) {
    Managed& managed = *by_uuid(uuid);
    parts_.store.remove_domain_entries(managed.domain());
    nodes_.remove(managed.domain(), uuid);
    parts_.fail_point("destroy.released");
    const auto waiting = std::move(managed.waiting_for_end);
    managed.waiting_for_end.clear();
    log_info("{} (domain {}) is gone", managed.name(), managed.record.domid());
    v1::Domain last = view(managed, std::nullopt);
    last.set_dying(false);
    switch (managed.record.afterwards()) {
        case v1::AFTER_RESTART:
            restart(managed);
            break;
        case v1::AFTER_REMEMBER:
            managed.record.set_phase(v1::PHASE_ENDED);
            save(managed);
            trim_ended();
            break;
        default:
            forget(uuid);
            break;
    }
    parts_.fail_point("destroy.forgotten");
    for (const Outcome& outcome : waiting)
        outcome.done(last);
}

void DomainManager::restart(Managed& managed) {
    v1::DomainRecord& record = managed.record;
    record.set_phase(v1::PHASE_BUILDING);
    record.set_afterwards(v1::AFTER_RESTART);  // until it is complete: a killed daemon's successor goes on
    record.set_created_unix(std::time(nullptr));
    record.set_start_paused(false);
    record.set_shutdown_requested(false);
    record.set_ends_for_good(false);
    record.set_end_explanation("");
    record.set_end_handled(false);
    record.set_domid(0);
    drop_detaching(record);
    record.set_target_memory_kib(record.config().memory_kib());
    managed.building_percent = 0;
    save(managed);
    log_info("{} is started again", managed.name());
    build_queue_.push_back(managed.uuid());
    start_builders();
}

void DomainManager::trim_ended() {
    while (true) {
        size_t count = 0;
        const Managed* oldest = nullptr;
        for (const auto& [uuid, managed] : domains_) {
            if (managed->record.phase() != v1::PHASE_ENDED) continue;
            count++;
            if (oldest == nullptr || managed->record.ended_unix() < oldest->record.ended_unix()) {
                oldest = managed.get();
            }
        }
        if (count <= kMaxEnded) return;
        forget(std::string(oldest->uuid()));
    }
}

}  // namespace torii::dom0
