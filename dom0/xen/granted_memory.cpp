#include "xen/granted_memory.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <torii/failure.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "log/log.h"

namespace torii::dom0 {
namespace {

using backend::GrantCopySegment;
using backend::GrantMapping;
using backend::GrantRef;
using backend::kGuestPageSize;

// Layouts of the kernel's ioctl arguments (public sys/gntdev.h).
struct IoctlGrant {
    uint32_t domid;
    uint32_t ref;
};
struct IoctlMapHead {
    uint32_t count;
    uint32_t pad;
    uint64_t index;
    // `count` grants follow
};
// The size in the request's number is that of the structure with one grant, however many follow.
struct IoctlMapOne {
    IoctlMapHead head;
    IoctlGrant grant;
};
struct IoctlUnmap {
    uint64_t index;
    uint32_t count;
    uint32_t pad;
};
union IoctlCopyEnd {
    void* local;
    struct {
        uint32_t ref;
        uint16_t offset;
        uint16_t domid;
    } foreign;
};
struct IoctlCopySegment {
    IoctlCopyEnd source;
    IoctlCopyEnd target;
    uint16_t length;
    uint16_t flags;
    int16_t status;
};
struct IoctlCopy {
    uint32_t count;
    IoctlCopySegment* segments;
};
constexpr unsigned long kIoctlMap = _IOC(_IOC_NONE, 'G', 0, sizeof(IoctlMapOne));
constexpr unsigned long kIoctlUnmap = _IOC(_IOC_NONE, 'G', 1, sizeof(IoctlUnmap));
constexpr unsigned long kIoctlCopy = _IOC(_IOC_NONE, 'G', 8, sizeof(IoctlCopy));
constexpr uint16_t kCopySourceForeign = 1;  // GNTCOPY_source_gref
constexpr uint16_t kCopyTargetForeign = 2;  // GNTCOPY_dest_gref

// Grants of one call; more are copied by several.
constexpr size_t kMostSegments = 64;

IoctlCopySegment to_kernel(const GrantCopySegment& segment, backend::DomId guest) {
    IoctlCopySegment result{};
    IoctlCopyEnd foreign{};
    foreign.foreign = {segment.gref.raw(), segment.offset, guest.raw()};
    IoctlCopyEnd local{};
    local.local = segment.local;
    result.source = segment.to_guest ? local : foreign;
    result.target = segment.to_guest ? foreign : local;
    result.flags = segment.to_guest ? kCopyTargetForeign : kCopySourceForeign;
    result.length = segment.length;
    // What stays if the kernel does not come so far.
    result.status = static_cast<int16_t>(abi::GrantStatus::kGeneralError);
    return result;
}

class Mapping final : public GrantMapping {
public:
    Mapping(int device, uint64_t index, std::span<std::byte> bytes)
        : device_(device), index_(index), bytes_(bytes) {}
    ~Mapping() override {
        ::munmap(bytes_.data(), bytes_.size());
        forget(device_, index_, bytes_.size() / kGuestPageSize);
    }
    std::span<std::byte> bytes() const override { return bytes_; }

    static void forget(int device, uint64_t index, size_t pages) {
        IoctlUnmap request{index, static_cast<uint32_t>(pages), 0};
        // Fails only for what was not mapped.
        (void)::ioctl(device, kIoctlUnmap, &request);
    }

private:
    int device_;
    uint64_t index_;
    std::span<std::byte> bytes_;
};

}  // namespace

GrantedMemory::GrantedMemory(backend::DomId guest, CopyPages& pages)
    : guest_(guest), pages_(pages), device_(::open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC)) {
    if (device_.valid()) return;
    throw Failure(
        ErrorCode::kNoConnection,
        fmt::format("cannot open /dev/xen/gntdev: {}. Run toriid as root in the control domain, with the "
                    "module xen-gntdev loaded",
                    std::strerror(errno)));
}

void GrantedMemory::copy(std::span<GrantCopySegment> segments) noexcept {
    if (pages_.copy(guest_, segments)) return;
    std::array<IoctlCopySegment, kMostSegments> batch;
    while (!segments.empty()) {
        const size_t count = std::min(segments.size(), kMostSegments);
        std::transform(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(count), batch.begin(),
                       [this](const GrantCopySegment& segment) { return to_kernel(segment, guest_); });
        IoctlCopy request{static_cast<uint32_t>(count), batch.data()};
        (void)::ioctl(device_.get(), kIoctlCopy, &request);  // each segment's status tells
        for (size_t i = 0; i < count; i++)
            segments[i].status = static_cast<abi::GrantStatus>(batch[i].status);
        segments = segments.subspan(count);
    }
}

std::unique_ptr<GrantMapping> GrantedMemory::map(std::span<const GrantRef> grefs, bool writable) {
    const auto fail = [&](const char* step) {
        const int error = errno;
        return Failure(ErrorCode::kHypercall,
                       fmt::format("cannot map {} granted pages of domain {} ({}, the first is grant {}): {}",
                                   grefs.size(), guest_.raw(), step, grefs.empty() ? 0 : grefs[0].raw(),
                                   std::strerror(error)));
    };
    std::vector<std::byte> request(sizeof(IoctlMapHead) + grefs.size() * sizeof(IoctlGrant));
    auto* head = reinterpret_cast<IoctlMapHead*>(request.data());
    head->count = static_cast<uint32_t>(grefs.size());
    auto* grants = reinterpret_cast<IoctlGrant*>(request.data() + sizeof(IoctlMapHead));
    for (size_t i = 0; i < grefs.size(); i++)
        grants[i] = {guest_.raw(), grefs[i].raw()};
    if (::ioctl(device_.get(), kIoctlMap, head) != 0) throw fail("the kernel's driver refused");
    const size_t bytes = grefs.size() * kGuestPageSize;
    void* address = ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                           device_.get(), static_cast<off_t>(head->index));
    if (address == MAP_FAILED) {
        const Failure failure = fail("the hypervisor refused");
        Mapping::forget(device_.get(), head->index, grefs.size());
        throw failure;
    }
    return std::make_unique<Mapping>(device_.get(), head->index,
                                     std::span(static_cast<std::byte*>(address), bytes));
}

}  // namespace torii::dom0
