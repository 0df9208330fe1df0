#include "lifecycle/domain_view.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "cpus/placement.h"
#include "lifecycle/uuid.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr uint64_t kKibPerPage = 4;

// Whether `line` names the domain, and not another whose number begins or ends alike.
bool mentions(const std::string& line, const std::string& needle) {
    for (size_t at = line.find(needle); at != std::string::npos; at = line.find(needle, at + 1)) {
        const bool starts = at == 0 || std::isalnum(static_cast<unsigned char>(line[at - 1])) == 0;
        const size_t end = at + needle.size();
        const bool ends = end >= line.size() || std::isdigit(static_cast<unsigned char>(line[end])) == 0;
        if (starts && ends) return true;
    }
    return false;
}

std::string without_decoration(std::string line) {
    for (const std::string_view prefix : {"(XEN) ", "(torii) "}) {
        if (line.starts_with(prefix)) line.erase(0, prefix.size());
    }
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0)
        line.pop_back();
    return line;
}

void set_state(v1::Domain& view, v1::DomainState state, int reason, const std::string& explanation) {
    view.set_state(state);
    view.set_reason(reason);
    view.set_explanation(explanation);
}

template <typename Reason>
int number(Reason reason) {
    return static_cast<int>(reason);
}

void describe_live_state(v1::Domain& view, const DomainInfo& info) {
    if (info.shut_down) {
        const EndOfLife end = describe_end(info.shutdown_reason, "");
        set_state(view, end.state, end.reason, end.explanation);
    } else if (info.paused) {
        set_state(view, v1::PAUSED, number(PausedReason::kUser), "paused");
    } else if (info.blocked && !info.running) {
        set_state(view, v1::BLOCKED, 0, "waiting for something to do");
    } else {
        set_state(view, v1::RUNNING, number(RunningReason::kBooted), "running");
    }
}

void add_info(v1::Domain& view, const DomainInfo& info) {
    view.set_active(true);
    view.set_domid(info.domain.raw());
    view.set_dying(info.dying);
    view.set_memory_kib(info.pages * kKibPerPage);
    view.set_online_vcpus(info.online_vcpus);
    view.set_vcpus(info.vcpus);
    view.set_cpu_time_ns(info.cpu_time_ns);
}

}  // namespace

EndOfLife describe_end(abi::ShutdownReason reason, const std::string& hypervisor_line) {
    switch (reason) {
        case abi::ShutdownReason::kPoweroff:
            return {v1::SHUTOFF, number(ShutoffReason::kShutdown), "powered itself off"};
        case abi::ShutdownReason::kReboot:
            return {v1::SHUTOFF, number(ShutoffReason::kShutdown), "asked for a reboot"};
        case abi::ShutdownReason::kSuspend:
            return {v1::SHUTOFF, number(ShutoffReason::kShutdown),
                    "suspended itself, which cannot be resumed here"};
        case abi::ShutdownReason::kWatchdog:
            return {v1::CRASHED, number(CrashedReason::kUnknown), "its watchdog ran out"};
        default:
            break;
    }
    if (hypervisor_line.empty()) {
        return {v1::CRASHED, number(CrashedReason::kPanicked),
                "its kernel panicked: the last lines of `torii log` tell why"};
    }
    return {v1::CRASHED, number(CrashedReason::kUnknown), "crashed; the hypervisor says: " + hypervisor_line};
}

std::string find_log_line(const std::string& log, DomId domain) {
    const std::string names[] = {fmt::format("d{}", domain.raw()), fmt::format("Domain {}", domain.raw())};
    // The words of Torii and of Xen for it, the more telling first. Other lines about the domain need not be
    // why.
    for (const char* word : {" killed: ", "Unhandled", "crashed"}) {
        std::string found;
        size_t start = 0;
        while (start < log.size()) {
            const size_t end = std::min(log.find('\n', start), log.size());
            const std::string line = log.substr(start, end - start);
            const bool named = mentions(line, names[0]) || mentions(line, names[1]);
            if (named && line.find(word) != std::string::npos) found = line;
            start = end + 1;
        }
        if (!found.empty()) return without_decoration(found);
    }
    return {};
}

v1::Domain describe_domain(const v1::DomainRecord& record, const std::optional<DomainInfo>& info) {
    v1::Domain view;
    const v1::DomainConfig& config = record.config();
    view.set_managed(true);
    view.set_name(config.name());
    view.set_uuid(config.uuid());
    view.set_vcpus(max_vcpus(config));
    view.set_max_memory_kib(config.max_memory_kib());
    view.set_target_memory_kib(record.target_memory_kib());
    view.set_created_unix(record.created_unix());
    view.set_ended_unix(record.ended_unix());
    view.set_console_log(record.console_log());
    *view.mutable_config() = config;
    if (info) {
        add_info(view, *info);
        view.set_vcpus(max_vcpus(config));
    }
    switch (record.phase()) {
        case v1::PHASE_BUILDING:
            view.set_building(true);
            set_state(view, v1::PAUSED, number(PausedReason::kStartingUp), "being built");
            break;
        case v1::PHASE_ENDING:
            view.set_dying(true);
            set_state(view, v1::SHUTDOWN, number(ShutdownStateReason::kUnknown),
                      info && info->dying && info->pages != 0
                          ? fmt::format("dying ({}); others still hold {} pages of it",
                                        record.end_explanation(), info->pages)
                          : fmt::format("dying ({})", record.end_explanation()));
            break;
        case v1::PHASE_ENDED:
            set_state(view, static_cast<v1::DomainState>(record.end_state()), record.end_reason(),
                      record.end_explanation());
            break;
        default:
            if (!info) {
                set_state(view, v1::NO_STATE, 0, "the hypervisor does not know it any more");
            } else if (record.end_handled()) {
                set_state(view, static_cast<v1::DomainState>(record.end_state()), record.end_reason(),
                          record.end_explanation());
            } else {
                describe_live_state(view, *info);
                if (record.shutdown_requested() && !info->shut_down) {
                    set_state(view, v1::SHUTDOWN, number(ShutdownStateReason::kUser), "asked to shut down");
                }
            }
            break;
    }
    return view;
}

v1::Domain describe_foreign(const DomainInfo& info) {
    v1::Domain view;
    add_info(view, info);
    view.set_uuid(format_uuid(info.handle));
    view.set_name(info.domain == kDom0 ? "Domain-0" : fmt::format("(domain {})", info.domain.raw()));
    view.set_max_memory_kib(info.max_pages == 0 ? 0 : info.max_pages * kKibPerPage);
    describe_live_state(view, info);
    if (info.domain == kDom0) {
        view.set_explanation("the control domain");
    } else if (info.dying) {
        set_state(view, v1::SHUTDOWN, 0, "dying; others still hold some of its memory");
    }
    return view;
}

}  // namespace torii::dom0
