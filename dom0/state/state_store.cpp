#include "state/state_store.h"

#include <torii/failure.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <system_error>

#include "log/log.h"
#include "state/atomic_file.h"

namespace torii::dom0 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "torii-state-1";
constexpr std::string_view kRecordSuffix = ".domain";

std::string read_whole(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

}  // namespace

StateStore::StateStore(fs::path directory, const std::string& boot_id) : directory_(std::move(directory)) {
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error) {
        throw Failure(ErrorCode::kSystem,
                      fmt::format("cannot make the state directory {}: {}. Give another one with "
                                  "--state-dir",
                                  directory_.string(), error.message()));
    }
    fs::permissions(directory_, fs::perms::owner_all, error);
    const std::string wanted = fmt::format("{} {}\n", kFormat, boot_id);
    const std::string found = read_whole(directory_ / "boot");
    if (found == wanted) return;
    // Of this boot, but of another version of the daemon: its guests run, and forgetting them would cut them
    // off.
    if (found.ends_with(fmt::format(" {}\n", boot_id))) {
        throw Failure(ErrorCode::kNotSupported,
                      fmt::format("the state in {} is written as {}, and this toriid reads {}: install the "
                                  "toriid that wrote it, or stop the guests with it and reboot",
                                  directory_.string(), found.substr(0, found.find(' ')), kFormat));
    }
    for (const auto& entry : fs::directory_iterator(directory_, error)) {
        if (entry.is_regular_file()) fs::remove(entry.path(), error);
    }
    write_file_atomically(directory_ / "boot", wanted);
}

fs::path StateStore::record_file(const std::string& uuid) const {
    return directory_ / (uuid + std::string(kRecordSuffix));
}

fs::path StateStore::console_position_file(const std::string& uuid) const {
    return directory_ / (uuid + ".console");
}

std::vector<v1::DomainRecord> StateStore::load() {
    std::vector<v1::DomainRecord> records;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory_, error)) {
        if (entry.path().extension() != kRecordSuffix) continue;
        v1::DomainRecord record;
        if (record.ParseFromString(read_whole(entry.path())) &&
            record.config().uuid() == entry.path().stem().string()) {
            records.push_back(std::move(record));
            continue;
        }
        log_error("the record {} is damaged and dropped", entry.path().string());
        fs::remove(entry.path(), error);
    }
    std::sort(records.begin(), records.end(), [](const v1::DomainRecord& a, const v1::DomainRecord& b) {
        return a.created_unix() < b.created_unix();
    });
    return records;
}

void StateStore::save(const v1::DomainRecord& record) {
    write_file_atomically(record_file(record.config().uuid()), record.SerializeAsString());
}

void StateStore::remove(const std::string& uuid) noexcept {
    std::error_code ignored;
    fs::remove(record_file(uuid), ignored);
    fs::remove(console_position_file(uuid), ignored);
}

std::string read_boot_id() {
    std::string id = read_whole("/proc/sys/kernel/random/boot_id");
    while (!id.empty() && id.back() == '\n')
        id.pop_back();
    if (id.empty()) {
        throw Failure(ErrorCode::kSystem, "cannot read /proc/sys/kernel/random/boot_id: is /proc mounted?");
    }
    return id;
}

}  // namespace torii::dom0
