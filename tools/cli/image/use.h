#pragma once
// Which domains use an image's files.

#include <torii/v1/control.pb.h>

#include <filesystem>
#include <string>
#include <vector>

namespace torii::cli::image {

// Names of the domains in `list`, running or being built, that were given a file in `folder`. Links in its
// path and in theirs count as what they lead to.
std::vector<std::string> users_of(const std::filesystem::path& folder, const v1::DomainList& list);

// Asks the daemon at `socket`. Throws Failure: kResourceBusy if a domain uses it, or if this is a machine on
// a hypervisor whose daemon doesn't answer, so that nobody knows.
void check_unused(const std::filesystem::path& folder, const std::string& socket);

}  // namespace torii::cli::image
