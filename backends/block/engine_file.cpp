#include "block/engine_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <torii/failure.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "common/guest_memory.h"

namespace torii::backend {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds kLockRetry = 5ms;

Failure failure(const std::string& what, const FileImage& image, const std::string& found) {
    return Failure(ErrorCode::kSystem, "cannot " + what + " the image " + image.path + ": " + found);
}

FileDescriptor open_image(const FileImage& image) {
    // Not waiting, so that a pipe or a device that isn't ready cannot hold the daemon up.
    const int mode = image.read_only ? O_RDONLY : O_RDWR;
    FileDescriptor file(::open(image.path.c_str(), mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.valid()) ::fcntl(file.get(), F_SETFL, 0);
    return file;
}

// Has the file used past the page cache. What that demands, found by reading; nothing, and the cache again,
// when it can't be used so.
std::optional<BlockGeometry> go_direct(int file, uint32_t sector_size) {
    if (::fcntl(file, F_SETFL, O_DIRECT) != 0) return std::nullopt;
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    const std::unique_ptr<void, Free> memory(std::aligned_alloc(4096, 4096));
    BlockGeometry geometry;
    for (const uint32_t block_size : {512u, 4096u}) {
        if (block_size > sector_size || ::pread(file, memory.get(), block_size, 0) < 0) continue;
        geometry.block_size = block_size;
        return geometry;
    }
    ::fcntl(file, F_SETFL, 0);
    return std::nullopt;
}

uint64_t size_of(int file, const struct stat& status) {
    if (!S_ISBLK(status.st_mode)) return static_cast<uint64_t>(status.st_size);
    uint64_t bytes = 0;
    return ::ioctl(file, BLKGETSIZE64, &bytes) == 0 ? bytes : 0;
}

// What the kernel says of a block device's queue; a partition has none of its own but its disk's.
uint64_t queue_number(dev_t device, const char* name) {
    const std::string folder =
        "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
    for (const char* queue : {"/queue/", "/../queue/"}) {
        uint64_t number = 0;
        std::ifstream file(folder + queue + name);
        if (file >> number) return number;
    }
    return 0;
}

void describe_device(int file, const struct stat& status, BlockGeometry& geometry) {
    unsigned physical = 0;
    if (::ioctl(file, BLKPBSZGET, &physical) == 0) geometry.physical_block_size = physical;
    geometry.can_discard = queue_number(status.st_rdev, "discard_max_bytes") != 0 &&
                           queue_number(status.st_rdev, "write_zeroes_max_bytes") != 0;
    geometry.discard_granularity = static_cast<uint32_t>(queue_number(status.st_rdev, "discard_granularity"));
}

}  // namespace

FileEngine::FileEngine(IoLoop& loop, const FileImage& image)
    : loop_(loop), path_(image.path), own_(open_image(image)), file_(own_.get()) {
    if (!own_.valid()) throw failure("open", image, std::strerror(errno));
    struct stat status = {};
    if (::fstat(file_, &status) != 0) throw failure("look at", image, std::strerror(errno));
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        throw Failure(ErrorCode::kInvalidArgument,
                      "the image " + image.path + " is neither a file nor a block device");
    }
    const auto demands = image.direct ? go_direct(file_, image.sector_size) : std::nullopt;
    if (demands) geometry_ = *demands;
    geometry_.bytes = size_of(file_, status);
    geometry_.physical_block_size = 4096;
    geometry_.read_only = image.read_only;
    geometry_.can_discard = true;
    geometry_.discard_granularity = static_cast<uint32_t>(status.st_blksize);
    if (S_ISBLK(status.st_mode)) describe_device(file_, status, geometry_);
    exclusive_ = S_ISBLK(status.st_mode) && !image.read_only;
    // Of a file that is not on one disk, nothing is said.
    const dev_t disk = S_ISBLK(status.st_mode) ? status.st_rdev : status.st_dev;
    const uint64_t longest = queue_number(disk, "max_sectors_kb") << 10;
    const uint64_t pages = queue_number(disk, "max_segments");
    geometry_.piece = std::min(longest, pages * kGuestPageSize);
    try_lock_ = [this] { return ::flock(file_, (geometry_.read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0; };
}

FileEngine::FileEngine(IoLoop& loop, int file, const BlockGeometry& geometry, std::function<bool()> try_lock)
    : loop_(loop), path_("in memory"), file_(file), geometry_(geometry), try_lock_(std::move(try_lock)) {}

void FileEngine::open(std::optional<std::chrono::nanoseconds> patience, std::function<void(Opened)> opened) {
    opened_ = std::move(opened);
    give_up_at_ = patience ? std::optional(loop_.now() + *patience) : std::nullopt;
    // Also the first time from the loop, as was promised.
    loop_.after(0ns, retry_);
}

void FileEngine::try_open() {
    std::string obstacle = find_obstacle();
    if (obstacle.empty()) {
        const auto opened = std::move(opened_);
        return opened({geometry_, {}});
    }
    if (give_up_at_ && loop_.now() >= *give_up_at_) {
        const auto opened = std::move(opened_);
        return opened({std::nullopt, std::move(obstacle)});
    }
    loop_.after(kLockRetry, retry_);
}

std::string FileEngine::find_obstacle() {
    if (!try_lock_()) {
        return "the image " + path_ +
               " is in use by another device or program, of which at least one writes. Detach it there, or "
               "attach it read-only everywhere";
    }
    if (!exclusive_ || claim()) return {};
    const int error = errno;
    if (error != EBUSY)
        return "the device " + path_ + " cannot be claimed for writing: " + std::strerror(error);
    return "this machine itself uses the device " + path_ +
           ": it is mounted, swapped to, or a part of a volume or RAID. Free it first, or attach it "
           "read-only";
}

// By the number of the open file, so that it is that device whatever its path leads to now.
bool FileEngine::claim() {
    const std::string file = "/proc/self/fd/" + std::to_string(file_);
    claim_ = FileDescriptor(::open(file.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    return claim_.valid();
}

void FileEngine::submit(BlockIo& io) {
    io.engine = this;
    io.engine_progress = 0;
    go_on(io);
}

void FileEngine::go_on(BlockIo& io) {
    const std::span<std::byte> rest = io.memory.subspan(io.engine_progress);
    const iovec part{rest.data(), rest.size()};
    switch (io.kind) {
        case BlockIo::Kind::kRead:
            return loop_.read(file_, {&part, 1}, io.offset + io.engine_progress, io);
        case BlockIo::Kind::kWrite:
            return loop_.write(file_, {&part, 1}, io.offset + io.engine_progress, io);
        case BlockIo::Kind::kFlush:
            return loop_.flush(file_, io);
        case BlockIo::Kind::kDiscard:
            // Zeroes, on block devices too: what lay there before must not be seen again by anybody.
            return loop_.allocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, io.offset, io.length,
                                  io);
    }
}

void FileEngine::progressed(BlockIo& io, int32_t result) {
    if (result == -EINTR || result == -EAGAIN) return go_on(io);
    if (result < 0) return io.ended(-result);
    if (io.kind == BlockIo::Kind::kFlush || io.kind == BlockIo::Kind::kDiscard) return io.ended(0);
    // Nothing moved: the image has become shorter than the device is.
    if (result == 0) return io.ended(EIO);
    io.engine_progress += static_cast<size_t>(result);
    if (io.engine_progress >= io.length) return io.ended(0);
    go_on(io);
}

void FileEngine::measure(std::function<void(std::optional<uint64_t>)> measured) {
    struct stat status = {};
    std::optional<uint64_t> bytes;
    if (own_.valid() && ::fstat(file_, &status) == 0) bytes = size_of(file_, status);
    loop_.post([measured = std::move(measured), bytes] { measured(bytes); });
}

}  // namespace torii::backend
