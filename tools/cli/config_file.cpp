#include "config_file.h"

#include <torii/cpu_set.h>
#include <torii/failure.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config_devices.h"
#include "config_reader.h"

namespace torii::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxWeight = 65535;
constexpr int64_t kMaxCap = 65534;

const std::vector<Key<Description>>& keys() {
    static const std::vector<Key<Description>> table{
        {"name", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_name(r.text(k, n)); }},
        {"uuid", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_uuid(r.text(k, n)); }},
        {"kernel", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_kernel(r.file(k, n)); }},
        {"ramdisk", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_ramdisk(r.file(k, n)); }},
        {"command-line", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_command_line(r.text(k, n)); }},
        {"memory", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_memory_kib(r.memory(k, n)); }},
        {"max-memory",
         [](auto& r, auto& k, auto& n, auto& d) { d.config.set_max_memory_kib(r.memory(k, n)); }},
        {"vcpus", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_vcpus(r.count(k, n)); }},
        {"max-vcpus", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_max_vcpus(r.count(k, n)); }},
        {"weight",
         [](auto& r, auto& k, auto& n, auto& d) { d.config.set_weight(r.limited(k, n, parse_weight)); }},
        {"cap",
         [](auto& r, auto& k, auto& n, auto& d) { d.config.set_cap_percent(r.limited(k, n, parse_cap)); }},
        {"cpus",
         [](auto& r, auto& k, auto& n, auto& d) { d.config.set_cpus(r.converted(k, n, parse_cpus)); }},
        {"cpus-soft",
         [](auto& r, auto& k, auto& n, auto& d) { d.config.set_soft_cpus(r.converted(k, n, parse_cpus)); }},
        {"pool", [](auto& r, auto& k, auto& n, auto& d) { d.config.set_pool(r.text(k, n)); }},
        {"on-poweroff", [](auto& r, auto& k, auto& n,
                           auto& d) { d.config.set_on_poweroff(r.converted(k, n, parse_end_action)); }},
        {"on-reboot", [](auto& r, auto& k, auto& n,
                         auto& d) { d.config.set_on_reboot(r.converted(k, n, parse_end_action)); }},
        {"on-crash", [](auto& r, auto& k, auto& n,
                        auto& d) { d.config.set_on_crash(r.converted(k, n, parse_end_action)); }},
        {"tsc", [](auto& r, auto& k, auto& n,
                   auto& d) { d.config.set_tsc_mode(r.converted(k, n, parse_tsc_mode)); }},
        {"paused", [](auto& r, auto& k, auto& n, auto& d) { d.paused = r.flag(k, n); }},
        {"disk",
         [](auto& r, auto& k, auto& n, auto& d) {
             r.tables(k, n, [&](const toml::table& table) { read_disk(r, table, *d.config.add_disks()); });
         }},
        {"net",
         [](auto& r, auto& k, auto& n, auto& d) {
             r.tables(k, n, [&](const toml::table& table) { read_net(r, table, *d.config.add_nets()); });
         }},
    };
    return table;
}

}  // namespace

v1::EndAction parse_end_action(const std::string& word) {
    if (word == "destroy") return v1::END_DESTROY;
    if (word == "restart") return v1::END_RESTART;
    if (word == "preserve") return v1::END_PRESERVE;
    throw Failure(ErrorCode::kInvalidArgument,
                  "\"" + word + "\" is not possible: use destroy, restart or preserve");
}

v1::TscMode parse_tsc_mode(const std::string& word) {
    if (word == "native") return v1::TSC_NATIVE;
    if (word == "default") return v1::TSC_DEFAULT;
    if (word == "emulate") return v1::TSC_EMULATE;
    throw Failure(ErrorCode::kInvalidArgument,
                  "\"" + word + "\" is not possible: use native, default or emulate");
}

uint32_t parse_weight(int64_t number) {
    if (number >= 1 && number <= kMaxWeight) return static_cast<uint32_t>(number);
    throw Failure(ErrorCode::kInvalidArgument, "a weight of " + std::to_string(number) +
                                                   " is not possible: give 1 to " +
                                                   std::to_string(kMaxWeight));
}

uint32_t parse_cap(int64_t number) {
    if (number >= 0 && number <= kMaxCap) return static_cast<uint32_t>(number);
    throw Failure(ErrorCode::kInvalidArgument,
                  "a cap of " + std::to_string(number) +
                      " % is not possible: give percent of one CPU (200 is two whole CPUs), or 0 for none");
}

std::string parse_cpus(const std::string& text) {
    CpuList::parse(text);
    return text;
}

Description default_description() {
    Description description;
    description.config.set_vcpus(1);
    description.config.set_on_reboot(v1::END_RESTART);
    return description;
}

Description parse_description(const std::string& text, const std::string& path) {
    const Reader reader(path);
    Description description = default_description();
    toml::table table;
    try {
        table = toml::parse(text, path);
    } catch (const toml::parse_error& error) {
        reader.fail(error.source(), std::string(error.description()));
    }
    reader.read(table, keys(), description);
    return description;
}

Description read_description(const std::string& path) {
    const auto refuse = [&path](int reason) {
        throw Failure(ErrorCode::kConfigurationSyntax,
                      "the description " + path + " cannot be read: " + std::strerror(reason));
    };
    errno = 0;
    std::ifstream stream(path, std::ios::binary);
    if (!stream) refuse(errno);
    if (fs::is_directory(path)) refuse(EISDIR);
    std::ostringstream text;
    text << stream.rdbuf();
    if (stream.bad()) refuse(errno);
    return parse_description(text.str(), path);
}

void check_complete(const Description& description) {
    const v1::DomainConfig& config = description.config;
    const auto need = [](bool there, const char* sentence) {
        if (!there) throw Failure(ErrorCode::kInvalidArgument, sentence);
    };
    need(!config.name().empty(), "the domain needs a name: --name NAME, or `name` in the file");
    need(!config.kernel().empty(), "the domain needs a kernel: --kernel FILE, or `kernel` in the file");
    need(config.memory_kib() != 0,
         "the domain needs memory: --memory SIZE (for example 256M), or `memory` in the file");
}

}  // namespace torii::cli
