#include "top_view.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "json.h"
#include "render.h"
#include "render_cpus.h"
#include "sizes.h"

namespace torii::cli {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

std::string fixed(double number) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f", number);
    return text;
}

// Counters of another domain under the same number may be smaller.
double grown(uint64_t before, uint64_t after) {
    return after > before ? static_cast<double>(after - before) : 0;
}

double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

// The time in each state between the looks, in nanoseconds.
TimeShares spent(const v1::VcpuTimes& before, const v1::VcpuTimes& after) {
    return {grown(before.running(), after.running()), grown(before.runnable(), after.runnable()),
            grown(before.blocked(), after.blocked()), grown(before.offline(), after.offline())};
}

TimeShares in_percent(const TimeShares& part, double whole, double whole_with_offline) {
    return {percent(part.running, whole), percent(part.runnable, whole), percent(part.blocked, whole),
            percent(part.offline, whole_with_offline)};
}

void add(TimeShares& sum, const TimeShares& part) {
    sum.running += part.running;
    sum.runnable += part.runnable;
    sum.blocked += part.blocked;
    sum.offline += part.offline;
}

std::optional<TrafficRates> compare_traffic(const v1::DomainVcpus& before, const v1::DomainVcpus& after,
                                            double elapsed) {
    if (!after.has_traffic() || elapsed <= 0) return std::nullopt;
    const v1::Traffic& then = before.has_traffic() ? before.traffic() : after.traffic();
    const v1::Traffic& now = after.traffic();
    const auto rate = [&](uint64_t earlier, uint64_t later) {
        return grown(earlier, later) * kNanosecondsPerSecond / elapsed;
    };
    return TrafficRates{
        rate(then.bytes_read(), now.bytes_read()), rate(then.bytes_written(), now.bytes_written()),
        rate(then.bytes_received(), now.bytes_received()), rate(then.bytes_sent(), now.bytes_sent())};
}

std::string rate_text(const std::optional<TrafficRates>& traffic, double TrafficRates::*part) {
    return traffic ? format_kib(static_cast<uint64_t>((*traffic).*part) >> 10) : "-";
}

constexpr double TrafficRates::*kRates[] = {&TrafficRates::read, &TrafficRates::written,
                                            &TrafficRates::received, &TrafficRates::sent};
constexpr const char* kRateHeads[] = {"READ/s", "WRITE/s", "RECV/s", "SEND/s"};
constexpr const char* kRateFields[] = {"read_bytes_per_second", "write_bytes_per_second",
                                       "receive_bytes_per_second", "send_bytes_per_second"};

DomainActivity compare_domain(const v1::DomainVcpus& before, const v1::DomainVcpus& after, double elapsed) {
    DomainActivity activity;
    activity.domain = after.domain();
    TimeShares sum;
    bool told = after.vcpus_size() != 0;
    for (int i = 0; i < after.vcpus_size(); i++) {
        const v1::Vcpu& now = after.vcpus(i);
        const v1::Vcpu& then = i < before.vcpus_size() ? before.vcpus(i) : now;
        VcpuActivity vcpu{now, percent(grown(then.cpu_time_ns(), now.cpu_time_ns()), elapsed), {}};
        activity.cpu_percent += vcpu.cpu_percent;
        told = told && now.has_times();
        if (now.has_times()) {
            const TimeShares part = spent(then.times(), now.times());
            const double whole = part.running + part.runnable + part.blocked + part.offline;
            vcpu.shares = in_percent(part, whole, whole);
            add(sum, part);
        }
        activity.vcpus.push_back(std::move(vcpu));
    }
    const double online = sum.running + sum.runnable + sum.blocked;
    activity.traffic = compare_traffic(before, after, elapsed);
    if (told) activity.shares = in_percent(sum, online, online + sum.offline);
    return activity;
}

std::string share_text(const std::optional<TimeShares>& shares, double TimeShares::*part) {
    return shares ? fixed((*shares).*part) : "-";
}

void add_vcpu_rows(std::vector<std::vector<std::string>>& rows, const DomainActivity& domain) {
    for (const VcpuActivity& vcpu : domain.vcpus) {
        const bool offline = vcpu.vcpu.state() == v1::VCPU_OFFLINE;
        rows.push_back(
            {"  vCPU " + std::to_string(vcpu.vcpu.number()), "", vcpu_state_word(vcpu.vcpu.state()),
             offline ? "-" : "on " + std::to_string(vcpu.vcpu.cpu()), fixed(vcpu.cpu_percent),
             share_text(vcpu.shares, &TimeShares::running), share_text(vcpu.shares, &TimeShares::runnable),
             share_text(vcpu.shares, &TimeShares::blocked), share_text(vcpu.shares, &TimeShares::offline),
             ""});
    }
}

size_t widest_line(const std::string& text) {
    size_t widest = 0;
    for (size_t start = 0; start < text.size();) {
        const size_t end = std::min(text.find('\n', start), text.size());
        widest = std::max(widest, end - start);
        start = end + 1;
    }
    return widest;
}

// The table, without the shares of time that CPU% and WAIT% say most of, as far as it is too wide with them.
std::string render_fitting(std::vector<std::vector<std::string>> rows, size_t columns) {
    std::string table = render_table(rows);
    for (const char* const spare : {"OFFLINE%", "BLOCKED%", "RUN%"}) {
        if (widest_line(table) <= columns) break;
        const auto place = std::find(rows[0].begin(), rows[0].end(), spare) - rows[0].begin();
        for (std::vector<std::string>& row : rows)
            row.erase(row.begin() + place);
        table = render_table(rows);
    }
    return table;
}

void write_shares(JsonWriter& json, const std::optional<TimeShares>& shares) {
    const auto field = [&](const char* name, double TimeShares::*part) {
        json.key(name);
        if (shares) {
            json.number(fixed((*shares).*part));
        } else {
            json.null();
        }
    };
    field("run_percent", &TimeShares::running);
    field("wait_percent", &TimeShares::runnable);
    field("blocked_percent", &TimeShares::blocked);
    field("offline_percent", &TimeShares::offline);
}

void write_vcpu(JsonWriter& json, const VcpuActivity& activity) {
    const v1::Vcpu& vcpu = activity.vcpu;
    json.begin_object();
    json.field("vcpu", vcpu.number());
    json.field("state", vcpu_state_word(vcpu.state()));
    json.field("cpu", vcpu.cpu());
    json.key("cpu_percent");
    json.number(fixed(activity.cpu_percent));
    write_shares(json, activity.shares);
    json.field("cpu_time_ns", vcpu.cpu_time_ns());
    json.key("times_ns");
    if (vcpu.has_times()) {
        json.begin_object();
        json.field("run", vcpu.times().running());
        json.field("wait", vcpu.times().runnable());
        json.field("blocked", vcpu.times().blocked());
        json.field("offline", vcpu.times().offline());
        json.end_object();
    } else {
        json.null();
    }
    json.end_object();
}

void write_domain(JsonWriter& json, const DomainActivity& activity) {
    const v1::Domain& domain = activity.domain;
    json.begin_object();
    json.field("name", domain.name());
    json.field("domid", domain.domid());
    json.field("state", state_word(domain));
    json.field("online_vcpus", domain.online_vcpus());
    json.field("max_vcpus", domain.vcpus());
    json.field("memory_kib", domain.memory_kib());
    json.key("cpu_percent");
    json.number(fixed(activity.cpu_percent));
    write_shares(json, activity.shares);
    for (size_t i = 0; i < std::size(kRates) && activity.traffic; i++)
        json.field(kRateFields[i], static_cast<uint64_t>((*activity.traffic).*kRates[i]));
    json.field("cpu_time_ns", domain.cpu_time_ns());
    json.key("vcpus");
    json.begin_array();
    for (const VcpuActivity& vcpu : activity.vcpus)
        write_vcpu(json, vcpu);
    json.end_array();
    json.end_object();
}

}  // namespace

Activity compare(const v1::VcpuReport& before, const v1::VcpuReport& after) {
    std::map<std::string, const v1::DomainVcpus*> earlier;
    for (const v1::DomainVcpus& domain : before.domains()) {
        earlier[std::to_string(domain.domain().domid()) + " " + domain.domain().uuid()] = &domain;
    }
    const double elapsed = grown(before.taken_ns(), after.taken_ns());
    Activity activity;
    activity.seconds = elapsed / kNanosecondsPerSecond;
    activity.cpus = static_cast<uint32_t>(after.cpus_size());
    for (const v1::DomainVcpus& domain : after.domains()) {
        const auto found =
            earlier.find(std::to_string(domain.domain().domid()) + " " + domain.domain().uuid());
        activity.domains.push_back(
            compare_domain(found == earlier.end() ? domain : *found->second, domain, elapsed));
        activity.busy_percent += activity.domains.back().cpu_percent;
    }
    if (activity.cpus != 0) activity.busy_percent /= activity.cpus;
    std::stable_sort(
        activity.domains.begin(), activity.domains.end(),
        [](const DomainActivity& a, const DomainActivity& b) { return a.cpu_percent > b.cpu_percent; });
    return activity;
}

std::string render_activity(const Activity& activity, bool vcpus, size_t columns) {
    const size_t domains = activity.domains.size();
    std::string text = std::to_string(domains) + (domains == 1 ? " domain, " : " domains, ") +
                       std::to_string(activity.cpus) + " CPUs, " + fixed(activity.busy_percent) +
                       " % busy in the last " + fixed(activity.seconds) + " s\n";
    std::vector<std::vector<std::string>> rows{
        {"NAME", "ID", "STATE", "VCPUS", "CPU%", "RUN%", "WAIT%", "BLOCKED%", "OFFLINE%", "MEMORY"}};
    const bool traffic = std::any_of(activity.domains.begin(), activity.domains.end(),
                                     [](const DomainActivity& domain) { return domain.traffic.has_value(); });
    if (traffic) rows[0].insert(rows[0].end(), std::begin(kRateHeads), std::end(kRateHeads));
    for (const DomainActivity& domain : activity.domains) {
        rows.push_back({domain.domain.name(), std::to_string(domain.domain.domid()),
                        state_word(domain.domain), online_of_max(domain.domain), fixed(domain.cpu_percent),
                        share_text(domain.shares, &TimeShares::running),
                        share_text(domain.shares, &TimeShares::runnable),
                        share_text(domain.shares, &TimeShares::blocked),
                        share_text(domain.shares, &TimeShares::offline),
                        format_kib(domain.domain.memory_kib())});
        for (size_t i = 0; i < std::size(kRates) && traffic; i++)
            rows.back().push_back(rate_text(domain.traffic, kRates[i]));
        if (vcpus) add_vcpu_rows(rows, domain);
    }
    return text + render_fitting(std::move(rows), columns);
}

std::string render_activity_json(const Activity& activity) {
    JsonWriter json;
    json.begin_object();
    json.key("seconds");
    json.number(fixed(activity.seconds));
    json.field("cpus", activity.cpus);
    json.key("busy_percent");
    json.number(fixed(activity.busy_percent));
    json.key("domains");
    json.begin_array();
    for (const DomainActivity& domain : activity.domains)
        write_domain(json, domain);
    json.end_array();
    json.end_object();
    return json.take();
}

std::string fit_screen(const std::string& text, size_t rows, size_t columns) {
    std::vector<std::string> lines;
    for (size_t start = 0; start < text.size();) {
        const size_t end = std::min(text.find('\n', start), text.size());
        lines.push_back(text.substr(start, std::min(end - start, columns)));
        start = end + 1;
    }
    if (lines.size() > rows && rows != 0) {
        const size_t left_out = lines.size() - rows + 1;
        lines.resize(rows - 1);
        lines.push_back(("[" + std::to_string(left_out) + " more lines: enlarge the window, or use --batch]")
                            .substr(0, columns));
    }
    std::string fitting;
    for (const std::string& line : lines)
        fitting += (fitting.empty() ? "" : "\n") + line;
    return fitting;
}

}  // namespace torii::cli
