#include "builder/kernel_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <torii/failure.h>
#include <torii/image/bzimage.h>

#include <cerrno>
#include <cstring>

#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr uint64_t kMaxUnpacked = 1ull << 30;

OwnedMemory map_memory(size_t bytes, int protection, int file) {
    const int flags = MAP_PRIVATE | MAP_NORESERVE | (file < 0 ? MAP_ANONYMOUS : 0);
    void* address = ::mmap(nullptr, bytes, protection, flags, file, 0);
    if (address == MAP_FAILED) {
        throw Failure(ErrorCode::kNoMemory,
                      fmt::format("dom0 has not the {} MiB of memory to read the kernel: {}", bytes >> 20,
                                  std::strerror(errno)));
    }
    return OwnedMemory({static_cast<std::byte*>(address), bytes},
                       [](std::span<std::byte> memory) { ::munmap(memory.data(), memory.size()); });
}

// Room for the unpacked kernel: as much as the file says it is, which decompression then holds it to.
uint64_t room_for(const image::Payload& payload) {
    if (payload.unpacked_size_hint == 0) return kMaxUnpacked;
    if (payload.unpacked_size_hint <= kMaxUnpacked) return payload.unpacked_size_hint;
    throw Failure(ErrorCode::kNoKernel,
                  fmt::format("the packed kernel claims to be {} bytes long: the file is "
                              "truncated or damaged. Fetch it again",
                              payload.unpacked_size_hint));
}

FileDescriptor open_kernel(const std::string& path) {
    FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) {
        throw Failure(ErrorCode::kNoKernel,
                      fmt::format("cannot open the kernel {}: {}", path, std::strerror(errno)));
    }
    if (!S_ISREG(status.st_mode)) {
        throw Failure(ErrorCode::kNoKernel, fmt::format("the kernel {} is not a regular file", path));
    }
    if (status.st_size == 0) throw Failure(ErrorCode::kNoKernel, fmt::format("the kernel {} is empty", path));
    return file;
}

size_t file_size(const FileDescriptor& file) {
    struct stat status {};
    ::fstat(file.get(), &status);
    return static_cast<size_t>(status.st_size);
}

}  // namespace

bool read_file_exactly(int file, uint64_t offset, std::span<std::byte> destination) {
    while (!destination.empty()) {
        const ssize_t count =
            ::pread(file, destination.data(), destination.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        destination = destination.subspan(static_cast<size_t>(count));
        offset += static_cast<uint64_t>(count);
    }
    return true;
}

KernelImage::KernelImage(const std::string& path, const PercentCallback& unpacking)
    : path_(path), file_(open_kernel(path)) {
    const size_t size = file_size(file_);
    mapped_file_ = map_memory(size, PROT_READ, file_.get());
    const std::span<const std::byte> whole = mapped_file_.bytes();
    try {
        const auto payload =
            image::find_payload({reinterpret_cast<const uint8_t*>(whole.data()), whole.size()});
        if (!payload) fail_for_image(payload.error);
        elf_ = std::as_bytes(payload.value.data);
        if (payload.value.format != image::PayloadFormat::kElf) {
            unpacked_ = map_memory(room_for(payload.value), PROT_READ | PROT_WRITE, -1);
            elf_ = unpacked_.bytes().first(decompress(payload.value, unpacked_.bytes(), unpacking));
        }
        description_ = describe_elf_kernel(elf_);
    } catch (const Failure& failure) {
        throw Failure(failure.code(), path_ + ": " + failure.what());
    }
}

void KernelImage::read(uint64_t offset, std::span<std::byte> destination) const {
    if (offset > elf_.size() || destination.size() > elf_.size() - offset) {
        throw Failure(ErrorCode::kNoKernel,
                      path_ + ": the kernel's segments reach beyond the end of the file");
    }
    if (unpacked_.empty()) {
        // Straight from the page cache into the domain: through the mapping each page would be touched twice.
        const auto base = static_cast<uint64_t>(elf_.data() - mapped_file_.data());
        if (read_file_exactly(file_.get(), base + offset, destination)) return;
        throw Failure(ErrorCode::kNoKernel, path_ + ": the file has changed while it was being read");
    }
    std::memcpy(destination.data(), elf_.data() + offset, destination.size());
}

}  // namespace torii::dom0
