#pragma once
// What must survive `kill -9` of the daemon: one record per domain, each a file of its own that is replaced
// atomically. The directory belongs to one boot of the hypervisor and is emptied when that is over.

#include <torii/v1/internal.pb.h>

#include <filesystem>
#include <string>
#include <vector>

namespace torii::dom0 {

class StateStore {
public:
    // Makes the directory if need be. Throws Failure (kSystem).
    StateStore(std::filesystem::path directory, const std::string& boot_id);

    // All records, in the order of their creation. A file that cannot be read is logged and removed.
    std::vector<v1::DomainRecord> load();

    // On disk when this returns. Throws Failure (kSystem).
    void save(const v1::DomainRecord& record);
    void remove(const std::string& uuid) noexcept;

    // Where the console of this domain notes its position.
    std::filesystem::path console_position_file(const std::string& uuid) const;

private:
    std::filesystem::path record_file(const std::string& uuid) const;

    std::filesystem::path directory_;
};

// Names this boot of the hypervisor: dom0's kernel lives exactly as long as the hypervisor does.
std::string read_boot_id();

}  // namespace torii::dom0
