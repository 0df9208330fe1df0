#pragma once
// Domains, asked of the daemon: what several verbs have in common.

#include <chrono>
#include <string>

#include "config_file.h"
#include "connection.h"

namespace torii::cli {

v1::Domain ask_info(Connection& connection, const std::string& domain);
v1::DomainList ask_list(Connection& connection, bool active_only);

// Builds and starts what is described.
v1::Domain ask_create(Connection& connection, const Description& description,
                      const Connection::OnProgress& on_progress = nullptr);

// Waits until the domain that had this id at the start is gone (it may have been started again under
// another); false if it is still there after `limit`.
bool wait_for_end(Connection& connection, const v1::Domain& before, std::chrono::milliseconds limit);

}  // namespace torii::cli
