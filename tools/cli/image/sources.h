#pragma once
// Where an image's packages come from: lines of apt's sources.

#include <string>
#include <vector>

namespace torii::cli::image {

struct Source {
    std::string address;  // may hold a name and a password
    std::string suite;
    bool operator==(const Source&) const = default;
};

struct Sources {
    std::string mirror;           // of the suite itself: what debootstrap uses
    std::vector<Source> archive;  // all, the suite itself first
};

constexpr const char* kUsualMirror = "http://deb.debian.org/debian";
constexpr const char* kUsualSecurityMirror = "http://deb.debian.org/debian-security";

// Suites that images can be made of.
const std::vector<std::string>& known_suites();

// Throws Failure (kInvalidArgument) unless it is one of them.
void check_suite(const std::string& suite);

// What `apt-get indextargets --format "$(REPO_URI) $(RELEASE) $(COMPONENT)"` says: those of component main.
// Lines of another form are passed over.
std::vector<Source> parse_index_targets(const std::string& output);

// The sources of `suite`: those that are given, then those that the host has, then Debian's own.
// `security_mirror` "none": no security updates. Throws Failure (kInvalidArgument) for an address that the
// guest could not use.
Sources choose_sources(const std::string& suite, const std::string& mirror,
                       const std::string& security_mirror, const std::vector<Source>& host);

// "http://name:secret@host/debian" without the name and the secret.
std::string without_credentials(const std::string& address);

// sources.list. Only with credentials can it be used while the image is made; without them it stays in the
// image.
std::string sources_list(const Sources& sources, bool with_credentials);

}  // namespace torii::cli::image
