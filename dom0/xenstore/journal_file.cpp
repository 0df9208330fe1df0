#include "xenstore/journal_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "torii/failure.h"
#include "xenstore/fail_points.h"

namespace torii::dom0::xenstore {
namespace {

constexpr std::uint64_t kMagic = 0x3153'5849'4952'4f54;  // "TORIIXS1": changes with the format of the records
constexpr std::uint64_t kMagicName = 0x00FF'FFFF'FFFF'FFFF;  // without the digit
constexpr std::size_t kBootIdMax = 64;
constexpr std::size_t kGrowth = 256 * 1024;

std::size_t rounded_up(std::size_t size) {
    return (size + kGrowth - 1) / kGrowth * kGrowth;
}

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& path, int error) {
    throw Failure(ErrorCode::kSystem, what + " " + path.string() + ": " + std::strerror(error) +
                                          ". Check that the directory is on a tmpfs with free space and that "
                                          "the daemon may write there.");
}

}  // namespace

struct JournalFile::Header {
    std::uint64_t magic;
    char boot_id[kBootIdMax];
    // How many bytes after the header are valid. The one word that is ever written over: each append ends
    // with it.
    std::uint64_t valid;
};

JournalFile::JournalFile(const std::filesystem::path& directory, const std::string& boot_id,
                         FailPointHook fail_point)
    : directory_(directory), boot_id_(boot_id.substr(0, kBootIdMax)), fail_point_(std::move(fail_point)) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) fail("The xenstore's state directory can't be made:", directory, error.value());
    const auto lock_path = directory / "lock";
    lock_descriptor_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_descriptor_ < 0) fail("The xenstore's lock can't be opened:", lock_path, errno);
    if (::flock(lock_descriptor_, LOCK_EX | LOCK_NB) != 0) {
        ::close(lock_descriptor_);
        throw Failure(ErrorCode::kResourceBusy, "Another daemon serves the xenstore whose state is in " +
                                                    directory.string() + "; stop it first.");
    }
    // Left over if an earlier daemon was killed while it wrote a new file.
    std::filesystem::remove(directory / "journal.new", error);
    try {
        if (open_existing(boot_id_)) return;
    } catch (const Failure&) {
        ::close(lock_descriptor_);
        throw;
    }
    if (!replace({})) {
        ::close(lock_descriptor_);
        fail("The xenstore's journal can't be written in", directory, ENOSPC);
    }
}

JournalFile::~JournalFile() {
    unmap(mapping_);
    if (lock_descriptor_ >= 0) ::close(lock_descriptor_);
}

std::string_view JournalFile::contents() const {
    return {reinterpret_cast<const char*>(mapping_.base + sizeof(Header)), header().valid};
}

bool JournalFile::append(std::string_view record) {
    if (record.empty()) return true;
    const std::size_t valid = header().valid;
    const std::size_t needed = sizeof(Header) + valid + record.size();
    if (needed > mapping_.size && !grow(mapping_, rounded_up(needed))) return false;
    std::memcpy(mapping_.base + sizeof(Header) + valid, record.data(), record.size());
    if (fail_point_) fail_point_(fail_point::kRecordCopied);
    // Release: the compiler must not move the copy behind it. A killed process takes none of its stores back.
    std::atomic_ref(header().valid).store(valid + record.size(), std::memory_order_release);
    return true;
}

bool JournalFile::replace(std::string_view contents) {
    const auto new_path = directory_ / "journal.new";
    Mapping fresh;
    if (!create(new_path, contents.size(), fresh)) return false;
    if (!contents.empty()) std::memcpy(fresh.base + sizeof(Header), contents.data(), contents.size());
    auto& fresh_header = *reinterpret_cast<Header*>(fresh.base);
    std::memcpy(fresh_header.boot_id, boot_id_.data(), boot_id_.size());
    fresh_header.valid = contents.size();
    fresh_header.magic = kMagic;
    if (fail_point_) fail_point_(fail_point::kSnapshotWritten);
    if (::rename(new_path.c_str(), (directory_ / "journal").c_str()) != 0) {
        unmap(fresh);
        return false;
    }
    unmap(mapping_);
    mapping_ = fresh;
    if (fail_point_) fail_point_(fail_point::kSnapshotInstalled);
    return true;
}

JournalFile::Header& JournalFile::header() const {
    return *reinterpret_cast<Header*>(mapping_.base);
}

bool JournalFile::open_existing(const std::string& boot_id) {
    Mapping found;
    found.descriptor = ::open((directory_ / "journal").c_str(), O_RDWR | O_CLOEXEC);
    if (found.descriptor < 0) return false;
    struct stat status {};
    bool usable = ::fstat(found.descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
                  static_cast<std::size_t>(status.st_size) >= sizeof(Header) &&
                  grow(found, static_cast<std::size_t>(status.st_size));
    if (usable) {
        const auto& old = *reinterpret_cast<const Header*>(found.base);
        char expected[kBootIdMax] = {};
        std::memcpy(expected, boot_id.data(), boot_id.size());
        const bool this_boot = std::memcmp(old.boot_id, expected, kBootIdMax) == 0;
        if (this_boot && old.magic != kMagic && (old.magic & kMagicName) == (kMagic & kMagicName)) {
            unmap(found);
            throw Failure(ErrorCode::kNotSupported,
                          "The xenstore's journal in " + directory_.string() +
                              " is of another version of toriid: install the one that wrote it, or stop the "
                              "guests with it and reboot.");
        }
        usable = this_boot && old.magic == kMagic && old.valid <= found.size - sizeof(Header);
    }
    if (usable) {
        mapping_ = found;
    } else {
        unmap(found);
    }
    return usable;
}

bool JournalFile::create(const std::filesystem::path& path, std::size_t content_size,
                         Mapping& mapping) const {
    mapping.descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (mapping.descriptor >= 0 && grow(mapping, rounded_up(sizeof(Header) + content_size))) return true;
    unmap(mapping);
    ::unlink(path.c_str());
    return false;
}

bool JournalFile::grow(Mapping& mapping, std::size_t size) {
    // Reserved, not merely extended: a store into a page that the file system cannot provide would kill the
    // daemon.
    if (::posix_fallocate(mapping.descriptor, 0, static_cast<off_t>(size)) != 0) return false;
    void* const base = mapping.base == nullptr
                           ? ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, mapping.descriptor, 0)
                           : ::mremap(mapping.base, mapping.size, size, MREMAP_MAYMOVE);
    if (base == MAP_FAILED) return false;
    mapping.base = static_cast<std::byte*>(base);
    mapping.size = size;
    return true;
}

void JournalFile::unmap(Mapping& mapping) {
    if (mapping.base != nullptr) ::munmap(mapping.base, mapping.size);
    if (mapping.descriptor >= 0) ::close(mapping.descriptor);
    mapping = {};
}

}  // namespace torii::dom0::xenstore
