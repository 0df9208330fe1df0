#pragma once
// Answers as tables for people and as JSON for programs. Pure: text out.

#include <torii/v1/control.pb.h>

#include <string>
#include <vector>

namespace torii::cli {

// Columns as wide as their widest cell; the last is not padded.
std::string render_table(const std::vector<std::vector<std::string>>& rows);

// "12.3s"
std::string format_cpu_time(uint64_t nanoseconds);

// "running", "paused", "dying", "crashed", ...
std::string state_word(const v1::Domain& domain);

std::string render_list(const v1::DomainList& list);
std::string render_list_json(const v1::DomainList& list);
std::string render_domain(const v1::Domain& domain);
std::string render_domain_json(const v1::Domain& domain);
std::string render_host(const v1::Host& host);
std::string render_host_json(const v1::Host& host);
// Counters that are all zero are left out of the table unless `all`.
std::string render_counters(const v1::CounterList& list, bool all);
std::string render_counters_json(const v1::CounterList& list);

}  // namespace torii::cli
