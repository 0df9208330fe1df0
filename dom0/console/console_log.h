#pragma once
// The log file of one guest's console, with a size limit: when it is full it becomes NAME.1, whose
// predecessor is dropped. Knows how many bytes were ever logged, also after the daemon was killed in the
// middle of something, so that the ring's index can be held against it: no byte is logged twice or lost.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "xen/file_descriptor.h"

namespace torii::dom0 {

struct ConsoleLogOptions {
    std::filesystem::path file;
    // Remembers which file holds which part of the console's output. Empty: total() starts anew each time.
    std::filesystem::path position_file;
    uint64_t limit_bytes = 1u << 20;  // of each of the two files
    bool fresh = false;               // a new guest: what an earlier one of the same name left becomes NAME.1
};

class ConsoleLog {
public:
    // Throws Failure (kSystem) when the file cannot be made.
    explicit ConsoleLog(ConsoleLogOptions options);

    // Bytes logged since the guest's start; nothing if that is not known (somebody removed the files).
    std::optional<uint64_t> total() const { return total_; }

    // Written when this returns. A full disk loses the bytes, and the daemon's log says so once.
    void append(std::span<const uint8_t> bytes);

    // The newest bytes, at most `limit`.
    std::string tail(size_t limit) const;

    // Follows the guest to a new name. Throws Failure (kSystem).
    void move_to(const std::filesystem::path& file);

    const std::filesystem::path& file() const { return options_.file; }

private:
    void open_file();
    void rotate();
    void recall_position();
    void note_position() const;
    std::filesystem::path old_file() const;

    ConsoleLogOptions options_;
    FileDescriptor descriptor_;
    uint64_t size_ = 0;  // of the current file
    uint64_t base_ = 0;  // bytes logged before the current file's first
    std::optional<uint64_t> total_ = 0;
    bool write_failed_ = false;
};

// The newest bytes of a log whose guest is gone.
std::string read_console_log(const std::filesystem::path& file, size_t limit);

}  // namespace torii::dom0
