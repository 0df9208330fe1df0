#pragma once
// What `torii top` shows: two looks at the machine, compared. Pure: text out.

#include <torii/v1/control.pb.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace torii::cli {

// Percent of the time between two looks, by v1::VcpuTimes: running, runnable, blocked, offline.
struct TimeShares {
    double running = 0;
    double runnable = 0;
    double blocked = 0;
    double offline = 0;
};

struct VcpuActivity {
    v1::Vcpu vcpu;                     // as it is at the second look
    double cpu_percent = 0;            // of one CPU
    std::optional<TimeShares> shares;  // nothing when the hypervisor does not tell
};

// Bytes in a second.
struct TrafficRates {
    double read = 0;
    double written = 0;
    double received = 0;
    double sent = 0;
};

struct DomainActivity {
    v1::Domain domain;
    double cpu_percent = 0;  // of one CPU: 400 is four whole CPUs
    // Of the time of its vCPUs that are online, together; so 100 is all that it could have. Offline is of all
    // its vCPUs.
    std::optional<TimeShares> shares;
    std::optional<TrafficRates> traffic;  // nothing without disks and networks
    std::vector<VcpuActivity> vcpus;
};

struct Activity {
    double seconds = 0;
    uint32_t cpus = 0;
    double busy_percent = 0;              // of all CPUs
    std::vector<DomainActivity> domains;  // the busiest first
};

// Domains that are in one of both only have used nothing yet.
Activity compare(const v1::VcpuReport& before, const v1::VcpuReport& after);

// A line about the machine, a heading, the domains; with a row for each vCPU if wanted. Of a table wider than
// `columns`, what is said elsewhere as well is left out.
std::string render_activity(const Activity& activity, bool vcpus, size_t columns = SIZE_MAX);
// One object in one line.
std::string render_activity_json(const Activity& activity);

// The lines that fit a terminal: cut at the right, and at the bottom with a line that says how many are left
// out.
std::string fit_screen(const std::string& text, size_t rows, size_t columns);

}  // namespace torii::cli
