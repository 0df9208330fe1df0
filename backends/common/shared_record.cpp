#include "common/shared_record.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace torii::backend {
namespace {

Failure failure(const std::string& what, const std::string& path, int error) {
    return Failure(ErrorCode::kSystem, "cannot " + what + " " + path + ", which keeps requests in work: " +
                                           std::strerror(error) + ". Make room in that file system");
}

}  // namespace

SharedRecord::SharedRecord(std::string path) : path_(std::move(path)) {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file_ < 0) throw failure("open", path_, errno);
    struct stat status = {};
    if (::fstat(file_, &status) == 0 && status.st_size > 0) map(static_cast<size_t>(status.st_size));
}

SharedRecord::~SharedRecord() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    if (file_ >= 0) ::close(file_);
}

void SharedRecord::grow(size_t size) {
    if (size <= bytes_.size()) return;
    if (const int error = ::posix_fallocate(file_, 0, static_cast<off_t>(size)); error != 0) {
        throw failure("grow", path_, error);
    }
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    bytes_ = {};
    map(size);
}

void SharedRecord::map(size_t size) {
    void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (mapped == MAP_FAILED) throw failure("map", path_, errno);
    bytes_ = {static_cast<std::byte*>(mapped), size};
}

void SharedRecord::remove(const std::string& path) noexcept {
    (void)::unlink(path.c_str());
}

}  // namespace torii::backend
