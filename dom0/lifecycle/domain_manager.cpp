#include "lifecycle/domain_manager.h"

#include <algorithm>
#include <charconv>

#include "lifecycle/config_rules.h"
#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

std::optional<uint32_t> parse_number(const std::string& text) {
    uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace

DomainManager::DomainManager(Parts parts, ManagerOptions options, BuilderStarter start_builder)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      start_builder_(std::move(start_builder)),
      nodes_(parts_.store.client()),
      pools_(parts_.hypervisor, parts_.store.client()),
      timer_(parts_.context) {}

DomainManager::~DomainManager() {
    slow_calls_.join();
}

DomainManager::Managed* DomainManager::by_uuid(const std::string& uuid) {
    const auto found = domains_.find(uuid);
    return found == domains_.end() ? nullptr : found->second.get();
}

// A name, a domain id, or a UUID. Of a dying domain and a new one with the same name, the new one is meant.
DomainManager::Managed& DomainManager::find(const std::string& key) {
    if (Managed* managed = by_uuid(key)) return *managed;
    const auto number = parse_number(key);
    Managed* best = nullptr;
    for (auto& [uuid, managed] : domains_) {
        const bool has_domain =
            managed->record.phase() == v1::PHASE_LIVE || managed->record.phase() == v1::PHASE_ENDING;
        const bool matches =
            number ? has_domain && managed->record.domid() == *number : managed->name() == key;
        if (matches && (best == nullptr || managed->record.phase() < best->record.phase()))
            best = managed.get();
    }
    if (best != nullptr) return *best;
    if (key == "0" || key == "Domain-0") {
        throw Failure(ErrorCode::kOperationInvalid,
                      "Domain-0 is the control domain: it cannot be managed from here");
    }
    throw Failure(ErrorCode::kNoDomain,
                  "there is no domain \"" + key + "\": `torii list` shows those that there are");
}

DomainManager::Managed& DomainManager::find_live(const std::string& key, const char* what) {
    Managed& managed = find(key);
    const char* state = nullptr;
    switch (managed.record.phase()) {
        case v1::PHASE_BUILDING:
            state = "is still being built";
            break;
        case v1::PHASE_ENDING:
            state = "is dying";
            break;
        case v1::PHASE_ENDED:
            state = "has ended";
            break;
        default:
            return managed;
    }
    throw Failure(ErrorCode::kOperationInvalid,
                  fmt::format("cannot {} {}: it {}", what, managed.name(), state));
}

std::optional<DomainInfo> DomainManager::info_of(const Managed& managed, const Infos& infos) const {
    const auto found = std::find_if(infos.begin(), infos.end(), [&](const DomainInfo& info) {
        return format_uuid(info.handle) == managed.uuid();
    });
    if (found == infos.end()) return std::nullopt;
    return *found;
}

v1::Domain DomainManager::view(const Managed& managed, const std::optional<DomainInfo>& info) const {
    v1::Domain view = describe_domain(managed.record, info);
    if (managed.console) view.set_terminal(managed.console->terminal());
    view.set_building_percent(managed.building_percent);
    return view;
}

std::vector<v1::Domain> DomainManager::list() {
    const Infos infos = parts_.hypervisor.domains();
    std::vector<v1::Domain> all;
    for (const DomainInfo& info : infos) {
        const bool ours = by_uuid(format_uuid(info.handle)) != nullptr;
        if (!ours || info.domain == kDom0) all.push_back(describe_foreign(info));
    }
    for (const auto& [uuid, managed] : domains_)
        all.push_back(view(*managed, info_of(*managed, infos)));
    std::stable_sort(all.begin(), all.end(), [](const v1::Domain& a, const v1::Domain& b) {
        if (a.active() != b.active()) return a.active();
        return a.active() ? a.domid() < b.domid() : a.ended_unix() < b.ended_unix();
    });
    return all;
}

v1::Domain DomainManager::info(const std::string& key) {
    const Infos infos = parts_.hypervisor.domains();
    try {
        const Managed& managed = find(key);
        return view(managed, info_of(managed, infos));
    } catch (const Failure&) {
        const auto number = key == "Domain-0" ? std::optional<uint32_t>(0) : parse_number(key);
        for (const DomainInfo& info : infos) {
            if ((number && info.domain.raw() == *number) || format_uuid(info.handle) == key) {
                return describe_foreign(info);
            }
        }
        throw;
    }
}

void DomainManager::pause(const std::string& key) {
    Managed& managed = find_live(key, "pause");
    if (managed.record.start_paused()) {
        throw Failure(ErrorCode::kOperationInvalid, managed.name() + " is paused already");
    }
    parts_.hypervisor.pause(managed.domain());
    managed.record.set_start_paused(true);
    save(managed);
    log_info("{} (domain {}) paused", managed.name(), managed.record.domid());
}

void DomainManager::unpause(const std::string& key) {
    Managed& managed = find_live(key, "unpause");
    if (!managed.record.start_paused()) {
        throw Failure(ErrorCode::kOperationInvalid, managed.name() + " is not paused");
    }
    parts_.hypervisor.unpause(managed.domain());
    managed.record.set_start_paused(false);
    save(managed);
    log_info("{} (domain {}) unpaused", managed.name(), managed.record.domid());
}

void DomainManager::request_shutdown(const std::string& key, bool reboot, bool for_good) {
    Managed& managed = find_live(key, reboot ? "reboot" : "shut down");
    const char* verb = reboot ? "reboot" : "shut down";
    if (managed.record.start_paused()) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot {} {}: it is paused and would not notice; unpause or destroy it",
                                  verb, managed.name()));
    }
    if (managed.record.end_handled()) {
        throw Failure(ErrorCode::kOperationInvalid,
                      fmt::format("cannot {} {}: it has stopped ({}); destroy it", verb, managed.name(),
                                  managed.record.end_explanation()));
    }
    if (!nodes_.accepts_shutdown(managed.domain(), reboot)) {
        throw Failure(
            ErrorCode::kOperationInvalid,
            fmt::format("cannot {} {}: its kernel does not (yet) listen to such requests. Wait until it has "
                        "booted, or destroy it",
                        verb, managed.name()));
    }
    nodes_.request_shutdown(managed.domain(), reboot);
    managed.record.set_shutdown_requested(true);
    managed.record.set_ends_for_good(for_good);
    save(managed);
    log_info("{} (domain {}) asked to {}", managed.name(), managed.record.domid(), verb);
}

void DomainManager::rename(const std::string& key, const std::string& name) {
    Managed& managed = find(key);
    if (managed.name() == name) return;
    check_domain_name(name);
    check_name_free(name);
    if (managed.record.phase() == v1::PHASE_BUILDING) {
        throw Failure(ErrorCode::kOperationInvalid,
                      "cannot rename " + managed.name() + ": it is still being built");
    }
    const std::string before = managed.name();
    const auto log = options_.log_directory / (name + ".log");
    if (managed.console) {
        managed.console->console().log().move_to(log);
        managed.console->console().rename(name);
        managed.record.set_console_log(log.string());
    }
    managed.record.mutable_config()->set_name(name);
    save(managed);
    if (managed.record.phase() == v1::PHASE_LIVE) nodes_.rename(managed.domain(), managed.uuid(), name);
    log_info("{} renamed to {}", before, name);
}

void DomainManager::set_memory(const std::string& key, uint64_t kib) {
    Managed& managed = find_live(key, "change the memory of");
    const v1::DomainConfig& config = managed.record.config();
    if (kib > config.max_memory_kib()) {
        throw Failure(
            ErrorCode::kInvalidArgument,
            fmt::format("{} can have at most {} MiB (its max-memory at creation); {} MiB were asked for",
                        managed.name(), config.max_memory_kib() >> 10, kib >> 10));
    }
    if (kib < kMinMemoryKib) {
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("{} KiB is too little: no guest lives with less than {} MiB", kib,
                                  kMinMemoryKib >> 10));
    }
    nodes_.set_memory_target(managed.domain(), kib);
    managed.record.set_target_memory_kib(kib);
    save(managed);
    log_info("{} (domain {}) asked to go to {} KiB", managed.name(), managed.record.domid(), kib);
}

ConsoleConnection& DomainManager::console(const std::string& key) {
    Managed& managed = find_live(key, "attach to the console of");
    if (!managed.console) {
        throw Failure(ErrorCode::kOperationFailed, "the console of " + managed.name() +
                                                       " could not be connected; the daemon's log says why");
    }
    return *managed.console;
}

std::string DomainManager::console_log(const std::string& key, size_t limit) {
    const Managed& managed = find(key);
    if (managed.console) return managed.console->console().log().tail(limit);
    return read_console_log(managed.record.console_log(), limit);
}

void DomainManager::forget(const std::string& uuid) {
    parts_.state.remove(uuid);
    domains_.erase(uuid);
}

}  // namespace torii::dom0
