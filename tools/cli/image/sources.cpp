#include "image/sources.h"

#include <torii/failure.h>

#include <algorithm>
#include <sstream>

namespace torii::cli::image {
namespace {

constexpr const char* kNoMirror = "none";

bool is_usable_address(const std::string& address) {
    const bool known = address.starts_with("http://") || address.starts_with("https://");
    const bool printable = std::all_of(address.begin(), address.end(), [](unsigned char c) {
        return c > 0x20 && c < 0x7F && c != '[' && c != ']';
    });
    return known && printable && address.find("//") + 2 < address.size();
}

void check_address(const char* option, const std::string& address) {
    if (is_usable_address(address)) return;
    throw Failure(ErrorCode::kInvalidArgument,
                  std::string(option) + " \"" + address +
                      "\" is not possible: give an address with http:// or https://, such as " +
                      kUsualMirror + "; the guest uses it too");
}

std::string without_end_slashes(std::string address) {
    while (address.ends_with("/"))
        address.pop_back();
    return address;
}

// The host's address of a suite; empty: it has none that a guest could use as well.
std::string of_host(const std::vector<Source>& host, const std::string& suite) {
    for (const Source& source : host) {
        if (source.suite == suite && is_usable_address(source.address)) return source.address;
    }
    return "";
}

std::string first_of(std::initializer_list<std::string> addresses) {
    for (const std::string& address : addresses) {
        if (!address.empty()) return without_end_slashes(address);
    }
    return "";
}

}  // namespace

const std::vector<std::string>& known_suites() {
    static const std::vector<std::string> suites{"bookworm", "trixie", "forky", "sid"};
    return suites;
}

void check_suite(const std::string& suite) {
    const std::vector<std::string>& suites = known_suites();
    if (std::find(suites.begin(), suites.end(), suite) != suites.end()) return;
    std::string list;
    for (const std::string& known : suites)
        list += (list.empty() ? "" : ", ") + known;
    throw Failure(ErrorCode::kInvalidArgument,
                  "the suite \"" + suite + "\" is not known; images are made of: " + list);
}

std::vector<Source> parse_index_targets(const std::string& output) {
    std::vector<Source> sources;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string component, more;
        Source source;
        const bool whole = static_cast<bool>(words >> source.address >> source.suite >> component);
        if (!whole || words >> more || component != "main") continue;
        if (std::find(sources.begin(), sources.end(), source) == sources.end()) sources.push_back(source);
    }
    return sources;
}

Sources choose_sources(const std::string& suite, const std::string& mirror,
                       const std::string& security_mirror, const std::vector<Source>& host) {
    if (!mirror.empty()) check_address("--mirror", mirror);
    const bool wants_security = security_mirror != kNoMirror;
    if (!security_mirror.empty() && wants_security) check_address("--security-mirror", security_mirror);
    Sources sources;
    sources.mirror = first_of({mirror, of_host(host, suite), kUsualMirror});
    sources.archive.push_back({sources.mirror, suite});
    if (suite == "sid") return sources;  // what is new is in it at once
    const std::string updates = suite + "-updates";
    sources.archive.push_back({first_of({mirror, of_host(host, updates), sources.mirror}), updates});
    if (wants_security) {
        const std::string security = suite + "-security";
        sources.archive.push_back(
            {first_of({security_mirror, of_host(host, security), kUsualSecurityMirror}), security});
    }
    return sources;
}

std::string without_credentials(const std::string& address) {
    const size_t scheme = address.find("://");
    if (scheme == std::string::npos) return address;
    const size_t start = scheme + 3;
    const size_t end = address.find('/', start);
    const size_t at = address.rfind('@', end);
    if (at == std::string::npos || at < start) return address;
    return address.substr(0, start) + address.substr(at + 1);
}

std::string sources_list(const Sources& sources, bool with_credentials) {
    std::string text;
    for (const Source& source : sources.archive) {
        text += "deb " + (with_credentials ? source.address : without_credentials(source.address)) + " " +
                source.suite + " main\n";
    }
    return text;
}

}  // namespace torii::cli::image
