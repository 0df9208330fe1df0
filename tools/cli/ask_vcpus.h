#pragma once
// The vCPUs of domains, asked of the daemon.

#include "connection.h"

namespace torii::cli {

// Of all domains when `domain` is empty; with the time in each state in place of the affinity when `times`.
// `waiting` is called now and then while the answer is on its way, and may throw.
v1::VcpuReport ask_vcpus(Connection& connection, const std::string& domain, bool times,
                         const std::function<void()>& waiting = nullptr);

}  // namespace torii::cli
