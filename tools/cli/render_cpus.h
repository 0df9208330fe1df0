#pragma once
// Answers about CPUs as tables for people and as JSON for programs. Pure: text out.

#include <torii/v1/control.pb.h>

#include <string>

#include "json.h"

namespace torii::cli {

const char* vcpu_state_word(v1::VcpuState state);

// "3/4": online of at most. Of a domain that is not there, the most alone.
std::string online_of_max(const v1::Domain& domain);

std::string render_vcpus(const v1::VcpuReport& report);
// A list of domains, each with its vCPUs.
std::string render_vcpus_json(const v1::VcpuReport& report);

std::string render_shares(const v1::ShareList& list);
std::string render_shares_json(const v1::ShareList& list);
// "256", "50 %" or "none"; "-" where the scheduler knows neither.
std::string weight_text(const v1::SchedulerShare& share);
std::string cap_text(const v1::SchedulerShare& share);

std::string render_pools(const v1::PoolList& list);
std::string render_pools_json(const v1::PoolList& list);
void write_pools(JsonWriter& json, const v1::PoolList& list);

// Rows of a table: a label, and what it has.
using Rows = std::vector<std::vector<std::string>>;
// One for each package and pool.
void add_topology(Rows& rows, const v1::Host& host);
void write_topology(JsonWriter& json, const v1::Host& host);

}  // namespace torii::cli
