#pragma once
// A domain's description: a TOML file, flags, or both; flags win.

#include <torii/v1/control.pb.h>

#include <string>

namespace torii::cli {

struct Description {
    v1::DomainConfig config;
    bool paused = false;
};

// What holds for keys that nobody gives.
Description default_description();

// Throws Failure (kConfigurationSyntax) with "file:line: what is wrong and what to do". Relative paths in the
// file are relative to the file.
Description read_description(const std::string& path);

// The same from text; `path` is for messages and relative paths.
Description parse_description(const std::string& text, const std::string& path);

// Throws Failure (kInvalidArgument) that names what every domain needs and this description lacks.
void check_complete(const Description& description);

// The words of the file and the flags. Throw Failure (kInvalidArgument) that lists the possible ones.
v1::EndAction parse_end_action(const std::string& word);
v1::TscMode parse_tsc_mode(const std::string& word);
// A weight of 1 to 65535, a cap of 0 or more percent.
uint32_t parse_weight(int64_t number);
uint32_t parse_cap(int64_t number);
// The list of CPUs itself, once it is known to be one.
std::string parse_cpus(const std::string& text);

}  // namespace torii::cli
