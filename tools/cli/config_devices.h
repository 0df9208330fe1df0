#pragma once
// The sections [[disk]] and [[net]] of a domain's description.

#include <torii/v1/control.pb.h>

#include "config_reader.h"

namespace torii::cli {

// Throw Failure (kConfigurationSyntax).
void read_disk(const Reader& reader, const toml::table& table, v1::Disk& disk);
void read_net(const Reader& reader, const toml::table& table, v1::Net& net);

// A path made absolute, below `folder` if it is relative; an NBD URI as it is.
std::string disk_source(const std::string& source, const std::filesystem::path& folder);

}  // namespace torii::cli
