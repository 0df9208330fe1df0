#include "xen/privcmd.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <torii/failure.h>

#include <cerrno>

#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr size_t kPage = abi::kPageSize;
constexpr size_t kBufferPages = 64;  // 256 KiB: the largest argument is an array of frame numbers

// Layouts of the kernel's ioctl arguments (public sys/privcmd.h).
struct IoctlHypercall {
    uint64_t op;
    uint64_t arg[5];
};
struct IoctlMapBatch {
    uint32_t num;
    uint16_t dom;
    uint64_t addr;
    const uint64_t* arr;
    int* err;
};
struct IoctlMapResource {
    uint16_t dom;
    uint32_t type;
    uint32_t id;
    uint32_t idx;
    uint64_t num;
    uint64_t addr;
};
constexpr unsigned long kIoctlHypercall = _IOC(_IOC_NONE, 'P', 0, sizeof(IoctlHypercall));
constexpr unsigned long kIoctlMapBatch = _IOC(_IOC_NONE, 'P', 4, sizeof(IoctlMapBatch));
constexpr unsigned long kIoctlMapResource = _IOC(_IOC_NONE, 'P', 7, sizeof(IoctlMapResource));

FileDescriptor open_device(const char* path, const char* module) {
    FileDescriptor device(::open(path, O_RDWR | O_CLOEXEC));
    if (device.valid()) return device;
    throw Failure(
        ErrorCode::kNoConnection,
        fmt::format("cannot open {}: {}. Run toriid as root in the control domain, with the module {} "
                    "loaded",
                    path, std::strerror(errno), module));
}

std::span<std::byte> map_device(int descriptor, size_t bytes, const char* what) {
    void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (address == MAP_FAILED) {
        throw Failure(ErrorCode::kNoMemory,
                      fmt::format("cannot map {} bytes for {}: {}", bytes, what, std::strerror(errno)));
    }
    return {static_cast<std::byte*>(address), bytes};
}

void unmap(std::span<std::byte> bytes) {
    ::munmap(bytes.data(), bytes.size());
}

}  // namespace

Privcmd::Privcmd()
    : privcmd_(open_device("/dev/xen/privcmd", "xen-privcmd")),
      hypercall_(open_device("/dev/xen/hypercall", "xen-privcmd")) {
    map_buffers();
}

Privcmd::~Privcmd() {
    if (!arena_.empty()) unmap(arena_);
}

void Privcmd::map_buffers() {
    arena_ = map_device(hypercall_.get(), kBufferPages * kPage, "hypercall arguments");
    page_taken_.assign(kBufferPages, false);
}

void Privcmd::reopen_buffers() {
    // The kernel marks these mappings as not to be copied by fork: what arena_ names is not ours any more.
    map_buffers();
}

int64_t Privcmd::call(abi::Hypercall number, const std::array<uint64_t, 5>& arguments) {
    IoctlHypercall request{static_cast<uint64_t>(number), {}};
    for (size_t i = 0; i < arguments.size(); i++)
        request.arg[i] = arguments[i];
    const int result = ::ioctl(privcmd_.get(), kIoctlHypercall, &request);
    return result >= 0 ? result : -int64_t{errno};
}

OwnedMemory Privcmd::call_buffer(size_t bytes) {
    const size_t pages = bytes == 0 ? 1 : (bytes + kPage - 1) / kPage;
    std::lock_guard lock(mutex_);
    size_t run = 0;
    for (size_t page = 0; page < kBufferPages; page++) {
        run = page_taken_[page] ? 0 : run + 1;
        if (run < pages) continue;
        const size_t first = page + 1 - pages;
        for (size_t i = first; i <= page; i++)
            page_taken_[i] = true;
        auto memory = arena_.subspan(first * kPage, pages * kPage);
        std::memset(memory.data(), 0, bytes);
        return OwnedMemory(memory, [this](std::span<std::byte> released) { release_buffer(released); });
    }
    throw Failure(ErrorCode::kNoMemory, fmt::format("no room for {} bytes of hypercall arguments", bytes));
}

void Privcmd::release_buffer(std::span<std::byte> bytes) {
    std::lock_guard lock(mutex_);
    const size_t first = static_cast<size_t>(bytes.data() - arena_.data()) / kPage;
    for (size_t i = 0; i < bytes.size() / kPage; i++)
        page_taken_[first + i] = false;
}

ForeignMapping Privcmd::map_frames(DomId owner, std::span<const uint64_t> mfns) {
    ForeignMapping mapping(map_device(privcmd_.get(), mfns.size() * kPage, "frames of a domain"), unmap);
    std::vector<int> errors(mfns.size(), 0);
    IoctlMapBatch request{static_cast<uint32_t>(mfns.size()), owner.raw(),
                          reinterpret_cast<uint64_t>(mapping.data()), mfns.data(), errors.data()};
    const int result = ::ioctl(privcmd_.get(), kIoctlMapBatch, &request);
    const int problem = result == 0 ? 0 : errno;
    for (size_t i = 0; i < errors.size(); i++) {
        if (errors[i] == 0 && problem == 0) continue;
        if (errors[i] == 0 && i + 1 < errors.size()) continue;
        throw Failure(
            ErrorCode::kHypercall,
            fmt::format("the hypervisor does not let dom0 map frame {:#x} of domain {}: {}", mfns[i],
                        owner.raw(), std::strerror(errors[i] != 0 ? -errors[i] : problem)));
    }
    return mapping;
}

ForeignMapping Privcmd::map_resource(DomId owner, abi::ResourceType type, uint32_t id, uint32_t first,
                                     uint32_t count) {
    ForeignMapping mapping(map_device(privcmd_.get(), count * kPage, "a resource of a domain"), unmap);
    IoctlMapResource request{owner.raw(), static_cast<uint32_t>(type),
                             id,          first,
                             count,       reinterpret_cast<uint64_t>(mapping.data())};
    if (::ioctl(privcmd_.get(), kIoctlMapResource, &request) != 0) {
        throw Failure(
            ErrorCode::kHypercall,
            fmt::format("the hypervisor does not give dom0 the {} frames of resource {} of domain {}: {}",
                        count, static_cast<unsigned>(type), owner.raw(), std::strerror(errno)));
    }
    return mapping;
}

}  // namespace torii::dom0
