#include "render.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "json.h"
#include "render_cpus.h"
#include "render_devices.h"
#include "sizes.h"

namespace torii::cli {
namespace {

std::string local_time(int64_t unix_seconds) {
    if (unix_seconds == 0) return "-";
    const std::time_t time = unix_seconds;
    std::tm parts{};
    localtime_r(&time, &parts);
    char text[32];
    std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
    return text;
}

const char* end_action_word(v1::EndAction action) {
    switch (action) {
        case v1::END_RESTART:
            return "restart";
        case v1::END_PRESERVE:
            return "preserve";
        default:
            return "destroy";
    }
}

// Control characters of a guest's or a log's making must not reach the terminal.
std::string printable(const std::string& text) {
    std::string clean = text;
    for (char& c : clean) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    }
    return clean;
}

void add_row(std::vector<std::vector<std::string>>& rows, const char* label, const std::string& content) {
    if (!content.empty()) rows.push_back({label, printable(content)});
}

void write_domain(JsonWriter& json, const v1::Domain& domain) {
    json.begin_object();
    json.field("name", domain.name());
    json.field("uuid", domain.uuid());
    json.key("domid");
    if (domain.active()) {
        json.value(domain.domid());
    } else {
        json.null();
    }
    json.field("active", domain.active());
    json.field("managed", domain.managed());
    json.field("state", state_word(domain));
    json.field("state_number", static_cast<int>(domain.state()));
    json.field("reason_number", domain.reason());
    json.field("explanation", domain.explanation());
    json.field("dying", domain.dying());
    json.field("memory_kib", domain.memory_kib());
    json.field("max_memory_kib", domain.max_memory_kib());
    json.field("target_memory_kib", domain.target_memory_kib());
    json.field("vcpus", domain.vcpus());
    json.field("online_vcpus", domain.online_vcpus());
    json.field("cpu_time_ns", domain.cpu_time_ns());
    if (!domain.pool().empty()) json.field("pool", domain.pool());
    if (domain.share().known()) {
        json.field("weight", domain.share().weight());
        json.field("cap_percent", domain.share().cap_percent());
    }
    json.field("created", static_cast<int64_t>(domain.created_unix()));
    json.field("ended", static_cast<int64_t>(domain.ended_unix()));
    json.field("terminal", domain.terminal());
    json.field("console_log", domain.console_log());
    if (domain.managed()) {
        const v1::DomainConfig& config = domain.config();
        json.field("kernel", config.kernel());
        json.field("ramdisk", config.ramdisk());
        json.field("command_line", config.command_line());
        json.field("on_poweroff", end_action_word(config.on_poweroff()));
        json.field("on_reboot", end_action_word(config.on_reboot()));
        json.field("on_crash", end_action_word(config.on_crash()));
    }
    if (domain.devices_size() != 0) {
        json.key("devices");
        json.begin_array();
        for (const v1::Device& device : domain.devices())
            write_device(json, device);
        json.end_array();
    }
    json.end_object();
}

}  // namespace

std::string format_cpu_time(uint64_t nanoseconds) {
    char text[32];
    std::snprintf(text, sizeof(text), "%llu.%01llus",
                  static_cast<unsigned long long>(nanoseconds / 1000000000),
                  static_cast<unsigned long long>(nanoseconds / 100000000 % 10));
    return text;
}

std::string render_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        if (widths.size() < row.size()) widths.resize(row.size());
        for (size_t i = 0; i < row.size(); i++)
            widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (size_t i = 0; i < row.size(); i++) {
            text += row[i];
            if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
        }
        text.push_back('\n');
    }
    return text;
}

std::string state_word(const v1::Domain& domain) {
    if (domain.building()) return "building";
    if (domain.dying()) return "dying";
    switch (domain.state()) {
        case v1::RUNNING:
            return "running";
        case v1::BLOCKED:
            return "idle";
        case v1::PAUSED:
            return "paused";
        case v1::SHUTDOWN:
            return "shutting-down";
        case v1::SHUTOFF:
            return "off";
        case v1::CRASHED:
            return "crashed";
        case v1::SUSPENDED:
            return "suspended";
        default:
            return "unknown";
    }
}

std::string render_list(const v1::DomainList& list) {
    std::vector<std::vector<std::string>> rows{{"ID", "NAME", "STATE", "MEMORY", "CPUS", "CPU-TIME", "WHY"}};
    for (const v1::Domain& domain : list.domains()) {
        rows.push_back({domain.active() ? std::to_string(domain.domid()) : "-", domain.name(),
                        state_word(domain), domain.active() ? format_kib(domain.memory_kib()) : "-",
                        online_of_max(domain), domain.active() ? format_cpu_time(domain.cpu_time_ns()) : "-",
                        printable(domain.explanation())});
    }
    return render_table(rows);
}

std::string render_list_json(const v1::DomainList& list) {
    JsonWriter json;
    json.begin_array();
    for (const v1::Domain& domain : list.domains())
        write_domain(json, domain);
    json.end_array();
    return json.take();
}

std::string render_domain(const v1::Domain& domain) {
    std::vector<std::vector<std::string>> rows;
    add_row(rows, "name", domain.name());
    add_row(rows, "id", domain.active() ? std::to_string(domain.domid()) : "-");
    add_row(rows, "uuid", domain.uuid());
    add_row(rows, "state", state_word(domain));
    add_row(rows, "why", domain.explanation());
    if (domain.building()) add_row(rows, "built", std::to_string(domain.building_percent()) + " %");
    add_row(rows, "memory", format_kib(domain.memory_kib()));
    if (domain.managed()) {
        add_row(rows, "memory asked for", format_kib(domain.target_memory_kib()));
        add_row(rows, "memory at most", format_kib(domain.max_memory_kib()));
    }
    add_row(rows, "vcpus",
            std::to_string(domain.online_vcpus()) + " online, at most " + std::to_string(domain.vcpus()));
    if (!domain.pool().empty()) {
        add_row(rows, "cpu pool", domain.pool());
        add_row(rows, "weight", weight_text(domain.share()));
        add_row(rows, "cap", cap_text(domain.share()));
    }
    add_row(rows, "cpu time", format_cpu_time(domain.cpu_time_ns()));
    if (domain.managed()) {
        const v1::DomainConfig& config = domain.config();
        add_row(rows, "created", local_time(domain.created_unix()));
        if (domain.ended_unix() != 0) add_row(rows, "ended", local_time(domain.ended_unix()));
        add_row(rows, "kernel", config.kernel());
        add_row(rows, "ramdisk", config.ramdisk());
        add_row(rows, "command line", config.command_line());
        add_row(rows, "on poweroff", end_action_word(config.on_poweroff()));
        add_row(rows, "on reboot", end_action_word(config.on_reboot()));
        add_row(rows, "on crash", end_action_word(config.on_crash()));
        add_row(rows, "terminal", domain.terminal());
        add_row(rows, "console log", domain.console_log());
        for (const v1::Device& device : domain.devices())
            add_row(rows, "device", describe_device(device));
    }
    return render_table(rows);
}

std::string render_domain_json(const v1::Domain& domain) {
    JsonWriter json;
    write_domain(json, domain);
    return json.take();
}

std::string render_host(const v1::Host& host) {
    std::vector<std::vector<std::string>> rows;
    add_row(rows, "hypervisor", host.hypervisor());
    add_row(rows, "capabilities", host.capabilities());
    add_row(rows, "compiled by", host.compiler());
    add_row(rows, "changeset", host.build_id());
    add_row(rows, "command line", host.command_line());
    add_row(rows, "daemon", host.daemon());
    add_row(rows, "dom0 kernel", host.dom0_kernel());
    add_row(rows, "memory", format_kib(host.total_memory_kib()));
    add_row(rows, "free", format_kib(host.free_memory_kib()));
    if (host.scrub_memory_kib() != 0) add_row(rows, "being scrubbed", format_kib(host.scrub_memory_kib()));
    add_row(rows, "cpus",
            std::to_string(host.cpus()) + " (" + std::to_string(host.cores_per_socket()) +
                " cores per socket, " + std::to_string(host.threads_per_core()) + " threads per core)");
    add_topology(rows, host);
    add_row(rows, "cpu clock", std::to_string(host.cpu_khz() / 1000) + " MHz");
    add_row(rows, "domains", std::to_string(host.domains()));
    add_row(rows, "up", format_duration(host.uptime_seconds()));
    if (!host.remark().empty()) add_row(rows, "remark", host.remark());
    return render_table(rows);
}

std::string render_host_json(const v1::Host& host) {
    JsonWriter json;
    json.begin_object();
    json.field("hypervisor", host.hypervisor());
    json.field("capabilities", host.capabilities());
    json.field("compiler", host.compiler());
    json.field("changeset", host.build_id());
    json.field("command_line", host.command_line());
    json.field("daemon", host.daemon());
    json.field("dom0_kernel", host.dom0_kernel());
    json.field("total_memory_kib", host.total_memory_kib());
    json.field("free_memory_kib", host.free_memory_kib());
    json.field("scrub_memory_kib", host.scrub_memory_kib());
    json.field("cpus", host.cpus());
    json.field("cores_per_socket", host.cores_per_socket());
    json.field("threads_per_core", host.threads_per_core());
    json.field("cpu_khz", host.cpu_khz());
    write_topology(json, host);
    json.field("domains", host.domains());
    json.field("uptime_seconds", host.uptime_seconds());
    json.field("remark", host.remark());
    json.end_object();
    return json.take();
}

std::string render_counters(const v1::CounterList& list, bool all) {
    std::vector<std::vector<std::string>> rows{{"COUNTER", "TOTAL"}};
    for (const v1::Counter& counter : list.counters()) {
        uint64_t total = 0;
        for (const uint64_t value : counter.values())
            total += value;
        if (total != 0 || all) rows.push_back({printable(counter.name()), std::to_string(total)});
    }
    return render_table(rows);
}

std::string render_counters_json(const v1::CounterList& list) {
    JsonWriter json;
    json.begin_array();
    for (const v1::Counter& counter : list.counters()) {
        json.begin_object();
        json.field("name", counter.name());
        json.key("values");
        json.begin_array();
        for (const uint64_t value : counter.values())
            json.value(uint64_t{value});
        json.end_array();
        json.end_object();
    }
    json.end_array();
    return json.take();
}

}  // namespace torii::cli
