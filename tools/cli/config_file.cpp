#include "config_file.h"

#include <toml++/toml.h>
#include <torii/cpu_set.h>
#include <torii/failure.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>

#include "sizes.h"

namespace torii::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxWeight = 65535;
constexpr int64_t kMaxCap = 65534;

class Reader {
public:
    explicit Reader(const std::string& path) : path_(path) {}

    [[noreturn]] void fail(const toml::source_region& where, const std::string& what) const {
        throw Failure(ErrorCode::kConfigurationSyntax,
                      path_ + ":" + std::to_string(where.begin.line) + ": " + what);
    }

    std::string text(const std::string& key, const toml::node& node) const {
        const auto value = node.value_exact<std::string>();
        if (!value) fail(node.source(), "\"" + key + "\" must be a text in quotes");
        return *value;
    }

    bool flag(const std::string& key, const toml::node& node) const {
        const auto value = node.value_exact<bool>();
        if (!value) fail(node.source(), "\"" + key + "\" must be true or false");
        return *value;
    }

    int64_t number(const std::string& key, const toml::node& node) const {
        const auto value = node.value_exact<int64_t>();
        if (!value) fail(node.source(), "\"" + key + "\" must be a whole number");
        return *value;
    }

    uint32_t count(const std::string& key, const toml::node& node) const {
        const int64_t value = number(key, node);
        if (value < 0 || value > std::numeric_limits<uint32_t>::max()) {
            fail(node.source(), "\"" + key + "\" cannot be " + std::to_string(value));
        }
        return static_cast<uint32_t>(value);
    }

    template <typename Limit>
    uint32_t limited(const std::string& key, const toml::node& node, Limit limit) const {
        try {
            return limit(number(key, node));
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kConfigurationSyntax) throw;
            fail(node.source(), key + ": " + failure.what());
        }
    }

    template <typename Convert>
    auto converted(const std::string& key, const toml::node& node, Convert convert) const {
        try {
            return convert(text(key, node));
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kConfigurationSyntax) throw;
            fail(node.source(), key + ": " + failure.what());
        }
    }

    // A number of MiB, or a text such as "2G".
    uint64_t memory(const std::string& key, const toml::node& node) const {
        if (node.is_integer()) {
            const int64_t value = number(key, node);
            if (value < 0 || value > (int64_t{1} << 40)) {
                fail(node.source(), "\"" + key + "\" cannot be " + std::to_string(value) + " MiB");
            }
            return static_cast<uint64_t>(value) << 10;
        }
        return converted(key, node, [](const std::string& word) { return parse_memory_kib(word); });
    }

    std::string file(const std::string& key, const toml::node& node) const {
        const std::string name = text(key, node);
        if (name.empty()) return name;
        return fs::absolute(fs::path(path_).parent_path() / name).lexically_normal().string();
    }

private:
    const std::string& path_;
};

using Setter = std::function<void(const Reader&, const std::string&, const toml::node&, Description&)>;
struct Key {
    const char* name;
    Setter set;
};

const std::array<Key, 19>& keys() {
    static const std::array<Key, 19> table{{
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
    }};
    return table;
}

std::string known_keys() {
    std::string list;
    for (const Key& key : keys())
        list += (list.empty() ? "" : ", ") + std::string(key.name);
    return list;
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
    for (const auto& [name, node] : table) {
        const std::string key(name.str());
        const Key* found = nullptr;
        for (const Key& known : keys()) {
            if (key == known.name) found = &known;
        }
        if (found == nullptr) {
            reader.fail(name.source(), "unknown key \"" + key + "\"; known are: " + known_keys());
        }
        found->set(reader, key, node, description);
    }
    return description;
}

Description read_description(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw Failure(ErrorCode::kConfigurationSyntax, "cannot open the description " + path);
    std::ostringstream text;
    text << stream.rdbuf();
    if (stream.bad() || fs::is_directory(path)) {
        throw Failure(ErrorCode::kConfigurationSyntax, "cannot read the description " + path);
    }
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
