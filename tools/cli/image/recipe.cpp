#include "image/recipe.h"

#include <torii/failure.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string_view>

#include "sizes.h"

namespace torii::cli::image {
namespace {

constexpr size_t kLongestName = 63;      // the daemon's limit of names is not below it, a host name's is it
constexpr size_t kLongestUserName = 32;  // useradd(8)
constexpr uint64_t kLargestDiskKib = uint64_t{64} << 30;
constexpr uint64_t kSmallestMemoryKib = 128 << 10;
constexpr int64_t kLastPort = 65535;

[[noreturn]] void refuse(const std::string& sentence) {
    throw Failure(ErrorCode::kInvalidArgument, sentence);
}

bool is_small_letter(char c) {
    return c >= 'a' && c <= 'z';
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool has_only(std::string_view text, std::string_view signs) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return is_small_letter(c) || is_digit(c) || signs.find(c) != std::string_view::npos;
    });
}

// Debian's policy, section 5.6.1. What begins with a hyphen would be an option of apt's.
void check_package_name(const std::string& name) {
    const bool first = is_small_letter(name.front()) || is_digit(name.front());
    if (name.size() >= 2 && first && has_only(name, "+-.") && name.back() != '-' && name.back() != '+')
        return;
    // A hyphen or a plus at the end is apt's word for removing or installing; g++ and the like end so
    // themselves.
    if (name.size() >= 3 && first && has_only(name, "+-.") && name.ends_with("++")) return;
    refuse("--packages \"" + name + "\": this is not the name of a Debian package");
}

std::vector<std::string> check_packages(const std::vector<std::string>& lists) {
    std::vector<std::string> names;
    for (const std::string& list : lists) {
        std::istringstream words(list);
        for (std::string name; std::getline(words, name, ',');) {
            if (name.empty()) continue;
            check_package_name(name);
            if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        }
    }
    return names;
}

uint64_t check_size(const std::string& text) {
    const uint64_t kib = parse_memory_kib(text);
    if (kib < kSmallestDisk >> 10) {
        refuse("--size " + text + ": Debian needs room; give at least " + format_kib(kSmallestDisk >> 10));
    }
    if (kib > kLargestDiskKib) {
        refuse("--size " + text + ": a disk of more than " + format_kib(kLargestDiskKib) + " is not made");
    }
    if (kib % 1024 != 0) refuse("--size " + text + ": give a whole number of MiB");
    return kib << 10;
}

std::string check_kernel(const std::string& word) {
    if (word == "standard") return "linux-image-amd64";
    if (word == "cloud") return "linux-image-cloud-amd64";
    refuse("--kernel \"" + word +
           "\" is not possible: use standard, or cloud (without drivers of real hardware)");
}

void check_user(const std::string& name) {
    if (name == "root")
        refuse("--user root: root is there in any case, with the same key; name another user");
    const bool legal = !name.empty() && name.size() <= kLongestUserName && has_only(name, "_-") &&
                       (is_small_letter(name.front()) || name.front() == '_');
    if (legal) return;
    refuse("--user \"" + name +
           "\" is not possible: use small letters, digits, - and _, and begin with a letter or _");
}

uint16_t check_port(int64_t port) {
    if (port >= 0 && port <= kLastPort) return static_cast<uint16_t>(port);
    refuse("--ssh-port " + std::to_string(port) + " is not possible: give 1 to " + std::to_string(kLastPort));
}

}  // namespace

void check_image_name(const std::string& name) {
    if (name.empty()) refuse("the image needs a name");
    if (name.size() > kLongestName) {
        refuse("the name is " + std::to_string(name.size()) + " characters long; the limit is " +
               std::to_string(kLongestName));
    }
    const auto is_legal = [](unsigned char c) {
        return c < 0x80 && (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '+');
    };
    if (!std::all_of(name.begin(), name.end(), is_legal) || name.front() == '.' || name.front() == '-') {
        refuse("the name \"" + name +
               "\" is not possible: use letters, digits and - _ . + and begin with a letter, a digit or _");
    }
    if (std::all_of(name.begin(), name.end(), is_digit)) {
        refuse("the name \"" + name + "\" is a number, and no guest could have it: add a letter");
    }
    if (name == "Domain-0") refuse("the name Domain-0 belongs to the control domain");
}

std::string host_name_for(const std::string& name) {
    std::string host;
    for (const char c : name) {
        const bool good = std::isalnum(static_cast<unsigned char>(c)) != 0;
        host += good ? static_cast<char>(std::tolower(static_cast<unsigned char>(c))) : '-';
    }
    while (host.ends_with("-"))
        host.pop_back();
    host.erase(0, host.find_first_not_of('-'));
    return host.empty() ? "debian" : host;
}

Recipe check_wishes(const Wishes& wishes) {
    check_image_name(wishes.name);
    check_suite(wishes.suite);
    check_user(wishes.user);
    Recipe recipe;
    recipe.name = wishes.name;
    recipe.host_name = host_name_for(wishes.name);
    recipe.suite = wishes.suite;
    recipe.size_bytes = check_size(wishes.size);
    recipe.kernel = check_kernel(wishes.kernel);
    recipe.packages = check_packages(wishes.packages);
    recipe.user = wishes.user;
    recipe.memory_kib = parse_memory_kib(wishes.memory);
    if (recipe.memory_kib < kSmallestMemoryKib) {
        refuse("--memory " + wishes.memory + ": Debian does not boot with less than " +
               format_kib(kSmallestMemoryKib));
    }
    recipe.ssh_port = check_port(wishes.ssh_port);
    return recipe;
}

std::string check_public_keys(const std::string& text, const std::string& path) {
    if (text.find("PRIVATE KEY-----") != std::string::npos) {
        refuse("--ssh-key " + path +
               ": this is a private key, which belongs into no image; give the public one, " + path + ".pub");
    }
    std::string keys;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line.front() == '#') continue;
        const bool known =
            line.starts_with("ssh-") || line.starts_with("ecdsa-sha2-") || line.starts_with("sk-");
        if (!known || line.find(' ') == std::string::npos) {
            refuse("--ssh-key " + path + ": \"" + line.substr(0, 40) +
                   "\" is not a public key: such a line begins with its kind, for example ssh-ed25519");
        }
        keys += line + "\n";
    }
    if (keys.empty()) refuse("--ssh-key " + path + ": there is no key in it");
    return keys;
}

std::string check_password(const std::string& text, const std::string& path) {
    std::string password = text.substr(0, text.find('\n'));
    if (password.ends_with('\r')) password.pop_back();
    if (password.empty())
        refuse("--password-file " + path +
               ": its first line is empty; without a password leave the option out");
    return password;
}

}  // namespace torii::cli::image
