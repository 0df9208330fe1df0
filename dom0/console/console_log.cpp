#include "console/console_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <torii/failure.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

#include "log/log.h"
#include "state/atomic_file.h"

namespace torii::dom0 {
namespace {

namespace fs = std::filesystem;

struct FileFacts {
    uint64_t inode = 0;
    uint64_t size = 0;
};

std::optional<FileFacts> facts_of(const fs::path& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return FileFacts{status.st_ino, static_cast<uint64_t>(status.st_size)};
}

std::string read_end(const fs::path& path, size_t limit) {
    std::ifstream stream(path, std::ios::binary | std::ios::ate);
    if (!stream) return {};
    const auto size = static_cast<uint64_t>(stream.tellg());
    const uint64_t count = std::min<uint64_t>(size, limit);
    std::string text(count, '\0');
    stream.seekg(static_cast<std::streamoff>(size - count));
    stream.read(text.data(), static_cast<std::streamsize>(count));
    text.resize(static_cast<size_t>(stream.gcount()));
    return text;
}

fs::path with_suffix(const fs::path& path) {
    return fs::path(path.native() + ".1");
}

}  // namespace

ConsoleLog::ConsoleLog(ConsoleLogOptions options) : options_(std::move(options)) {
    std::error_code ignored;
    fs::create_directories(options_.file.parent_path(), ignored);
    if (options_.fresh) {
        fs::rename(options_.file, old_file(), ignored);
        if (!options_.position_file.empty()) fs::remove(options_.position_file, ignored);
    }
    open_file();
    if (!options_.fresh && !options_.position_file.empty()) recall_position();
    note_position();
}

fs::path ConsoleLog::old_file() const {
    return with_suffix(options_.file);
}

void ConsoleLog::open_file() {
    descriptor_ = FileDescriptor(
        ::open(options_.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    struct stat status {};
    if (!descriptor_.valid() || ::fstat(descriptor_.get(), &status) != 0) {
        throw Failure(
            ErrorCode::kSystem,
            fmt::format("cannot write the console's log {}: {}. Give another directory with --log-dir",
                        options_.file.string(), std::strerror(errno)));
    }
    size_ = static_cast<uint64_t>(status.st_size);
}

// The position file says: the file with this inode began when that many bytes had been logged. If the daemon
// was killed while it rotated, that file may meanwhile be the old one, with or without a new one after it.
void ConsoleLog::recall_position() {
    std::ifstream stream(options_.position_file);
    uint64_t inode = 0;
    uint64_t base = 0;
    total_.reset();
    if (!(stream >> inode >> base)) return;
    const auto current = facts_of(options_.file);
    const auto old = facts_of(old_file());
    if (current && current->inode == inode) {
        base_ = base;
    } else if (old && old->inode == inode) {
        base_ = base + old->size;
    } else {
        return;
    }
    total_ = base_ + size_;
}

void ConsoleLog::note_position() const {
    if (options_.position_file.empty() || !total_) return;
    const auto current = facts_of(options_.file);
    if (!current) return;
    write_file_atomically(options_.position_file, fmt::format("{} {}\n", current->inode, base_));
}

void ConsoleLog::rotate() {
    std::error_code error;
    fs::rename(options_.file, old_file(), error);
    if (error) {
        log_warning("the console's log {} cannot be rotated: {}", options_.file.string(), error.message());
        return;
    }
    base_ += size_;
    open_file();
    note_position();
}

void ConsoleLog::append(std::span<const uint8_t> bytes) {
    if (size_ != 0 && size_ + bytes.size() > options_.limit_bytes) rotate();
    if (total_) *total_ += bytes.size();
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor_.get(), bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            if (!write_failed_) {
                log_error("console output is lost: writing {}: {}", options_.file.string(),
                          std::strerror(errno));
            }
            write_failed_ = true;
            // What is missing here must not be taken for unread after a restart.
            base_ += bytes.size();
            note_position();
            return;
        }
        write_failed_ = false;
        size_ += static_cast<uint64_t>(count);
        bytes = bytes.subspan(static_cast<size_t>(count));
    }
}

std::string ConsoleLog::tail(size_t limit) const {
    return read_console_log(options_.file, limit);
}

void ConsoleLog::move_to(const fs::path& file) {
    std::error_code error;
    fs::rename(options_.file, file, error);
    if (error) {
        throw Failure(ErrorCode::kSystem,
                      fmt::format("cannot rename the console's log {} to {}: {}", options_.file.string(),
                                  file.string(), error.message()));
    }
    fs::rename(old_file(), with_suffix(file), error);  // there may be none
    options_.file = file;
}

std::string read_console_log(const fs::path& file, size_t limit) {
    std::string text = read_end(file, limit);
    if (text.size() < limit) text.insert(0, read_end(with_suffix(file), limit - text.size()));
    return text;
}

}  // namespace torii::dom0
