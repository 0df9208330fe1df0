#include "image/use.h"

#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>

#include "ask_domains.h"
#include "connection.h"

namespace torii::cli::image {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHypervisor =
    "/sys/hypervisor/type";  // there on Torii and Xen, Linux' sysfs-hypervisor

// All files of dom0 that a domain was given.
std::vector<std::string> files_of(const v1::DomainConfig& config) {
    std::vector<std::string> files{config.kernel(), config.ramdisk()};
    for (const v1::Disk& disk : config.disks())
        files.push_back(disk.source());
    return files;
}

bool lies_in(const fs::path& folder, const std::string& file) {
    if (file.empty()) return false;
    std::error_code error;
    const fs::path real = fs::weakly_canonical(file, error);
    const fs::path inside = error ? fs::path(file).lexically_normal() : real;
    return std::mismatch(folder.begin(), folder.end(), inside.begin(), inside.end()).first == folder.end();
}

}  // namespace

std::vector<std::string> users_of(const fs::path& folder, const v1::DomainList& list) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(folder, error);
    std::vector<std::string> names;
    for (const v1::Domain& domain : list.domains()) {
        if (!domain.active() && !domain.building()) continue;
        const std::vector<std::string> files = files_of(domain.config());
        const auto is_inside = [&](const std::string& file) { return lies_in(error ? folder : real, file); };
        if (std::any_of(files.begin(), files.end(), is_inside)) names.push_back(domain.name());
    }
    return names;
}

void check_unused(const fs::path& folder, const std::string& socket) {
    v1::DomainList list;
    try {
        Connection connection(socket);
        list = ask_list(connection, false);
    } catch (const Failure& failure) {
        const bool absent = failure.code() == ErrorCode::kNoConnection;
        if (absent && ::access(kHypervisor, F_OK) != 0) return;  // no guests on this machine
        throw Failure(ErrorCode::kResourceBusy, "whether a domain uses " + folder.string() +
                                                    " is not known: " + failure.what() +
                                                    ". --force removes it all the same");
    }
    std::string names;
    for (const std::string& name : users_of(folder, list))
        names += (names.empty() ? "" : ", ") + name;
    if (names.empty()) return;
    throw Failure(ErrorCode::kResourceBusy,
                  folder.string() + " is used by " + names +
                      ": shut that down first, or take the image from under it with --force");
}

}  // namespace torii::cli::image
