#pragma once
// A file in a tmpfs directory to which records are appended, made so that a process killed at any instruction
// leaves it whole.
//
// The file is mapped and its pages are reserved beforehand, so an append is a copy into memory that belongs
// to the file, followed by one store of the length that is valid. There is no system call in between and
// nothing to sync: the kernel keeps the pages when the process dies. It does not survive the machine, and
// need not: the state belongs to one boot.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "xenstore/types.h"

namespace torii::dom0::xenstore {

class JournalFile {
public:
    // Opens or creates the journal in `directory`, which is created if missing, and locks it. What an earlier
    // boot left is dropped. Throws torii::Failure.
    JournalFile(const std::filesystem::path& directory, const std::string& boot_id, FailPointHook fail_point);
    ~JournalFile();
    JournalFile(const JournalFile&) = delete;
    JournalFile& operator=(const JournalFile&) = delete;

    // All valid bytes; until the next change.
    [[nodiscard]] std::string_view contents() const;
    // Makes `record` valid as a whole or, if there is no space for it in the file system, changes nothing and
    // returns false.
    [[nodiscard]] bool append(std::string_view record);
    // Puts a new file with these contents in the place of the old one, at once. False, and no change, if
    // there is no space.
    [[nodiscard]] bool replace(std::string_view contents);

private:
    struct Header;
    struct Mapping {
        int descriptor = -1;
        std::byte* base = nullptr;
        std::size_t size = 0;
    };

    [[nodiscard]] Header& header() const;
    [[nodiscard]] bool open_existing(const std::string& boot_id);
    [[nodiscard]] bool create(const std::filesystem::path& path, std::size_t content_size,
                              Mapping& mapping) const;
    [[nodiscard]] static bool grow(Mapping& mapping, std::size_t size);
    static void unmap(Mapping& mapping);

    std::filesystem::path directory_;
    std::string boot_id_;
    FailPointHook fail_point_;
    int lock_descriptor_ = -1;
    Mapping mapping_;
};

}  // namespace torii::dom0::xenstore
