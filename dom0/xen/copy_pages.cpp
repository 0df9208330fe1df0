#include "xen/copy_pages.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "log/log.h"

namespace torii::dom0 {
namespace {

using backend::GrantCopySegment;
using backend::kGuestPageSize;

// Layout of the kernel's ioctl argument (public sys/gntalloc.h).
struct IoctlAllocate {
    uint16_t domid;
    uint16_t flags;
    uint32_t count;
    uint64_t index;
    // grant references follow
};
// The size in the request's number is that of the structure with one reference, however many follow.
struct IoctlAllocateOne {
    IoctlAllocate head;
    uint32_t gref;
};
constexpr unsigned long kIoctlAllocate = _IOC(_IOC_NONE, 'G', 5, sizeof(IoctlAllocateOne));
constexpr uint16_t kWritable = 1;  // GNTALLOC_FLAG_WRITABLE
constexpr size_t kArgumentBytes = 8192;
// How many pages all programs may have from the driver; 1024 unless somebody has changed it.
constexpr const char* kDriverLimit = "/sys/module/xen_gntalloc/parameters/limit";

void raise_driver_limit() {
    uint64_t limit = 0;
    std::ifstream(kDriverLimit) >> limit;
    const uint64_t wanted = 1024 + CopyPages::kMost / kGuestPageSize;
    // Where that is refused there will be fewer pages.
    if (limit < wanted) std::ofstream(kDriverLimit) << wanted << std::flush;
}

}  // namespace

CopyPages::CopyPages(PrivilegedCalls& calls)
    : CopyPages(calls, backend::FileDescriptor(::open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC)), nullptr) {
    if (device_.valid()) {
        raise_driver_limit();
        return;
    }
    log_info("no /dev/xen/gntalloc (the module xen-gntalloc): copies from and to guests take longer");
}

CopyPages::CopyPages(PrivilegedCalls& calls, backend::FileDescriptor device, Control control)
    : calls_(calls), device_(std::move(device)), control_(std::move(control)) {
    if (!device_.valid()) return;
    if (!control_) {
        control_ = [file = device_.get()](unsigned long request, void* argument) {
            return ::ioctl(file, request, argument);
        };
    }
    void* const range = ::mmap(nullptr, kMost, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return;
    range_ = {static_cast<std::byte*>(range), kMost};
    arguments_ = calls.call_buffer(kArgumentBytes);
    copies_ = {reinterpret_cast<abi::GrantCopy*>(arguments_.data()), kArgumentBytes / sizeof(abi::GrantCopy)};
    segment_of_.resize(copies_.size());
    grefs_.reserve(kMost / kGuestPageSize);
}

CopyPages::~CopyPages() {
    if (!range_.empty()) ::munmap(range_.data(), range_.size());
}

std::span<std::byte> CopyPages::take(size_t bytes) noexcept {
    while (used_ + bytes > grefs_.size() * kGuestPageSize) {
        if (!grow()) return {};
    }
    const std::span<std::byte> taken = range_.subspan(used_, bytes);
    used_ += bytes;
    return taken;
}

bool CopyPages::grow() noexcept {
    const size_t backed = grefs_.size() * kGuestPageSize;
    if (backed + kStep > range_.size()) return false;
    constexpr size_t kPages = kStep / kGuestPageSize;
    struct {
        IoctlAllocate head;
        uint32_t grefs[kPages];
    } request{{kDom0.raw(), kWritable, kPages, 0}, {}};
    if (control_(kIoctlAllocate, &request) != 0) return false;
    // Over addresses that are ours already. What cannot be mapped goes with the device's file.
    if (::mmap(range_.data() + backed, kStep, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device_.get(),
               static_cast<off_t>(request.head.index)) == MAP_FAILED) {
        return false;
    }
    grefs_.insert(grefs_.end(), std::begin(request.grefs), std::end(request.grefs));
    return true;
}

bool CopyPages::holds(const GrantCopySegment& segment) const {
    // Numbers, since the memory may be anybody's: of an address below the range the difference is larger than
    // any size.
    const size_t at = reinterpret_cast<uintptr_t>(segment.local) - reinterpret_cast<uintptr_t>(range_.data());
    return at <= used_ && used_ - at >= segment.length;
}

bool CopyPages::copy(backend::DomId guest, std::span<GrantCopySegment> segments) noexcept {
    if (used_ == 0) return false;
    for (const GrantCopySegment& segment : segments) {
        if (!holds(segment)) return false;
    }
    for (size_t index = 0; index < segments.size(); ++index) {
        GrantCopySegment& segment = segments[index];
        // Beyond its page it would be another page's.
        const bool in_page = uint32_t{segment.offset} + segment.length <= kGuestPageSize;
        segment.status = in_page ? abi::GrantStatus::kOkay : abi::GrantStatus::kBadCopyArg;
        if (in_page) add(guest, segments, index);
    }
    carry_out(segments);
    return true;
}

// A copy ends where a page of ours does. Inlined: this is done for each page of a guest's stream.
[[gnu::always_inline]] inline void CopyPages::add(backend::DomId guest, std::span<GrantCopySegment> segments,
                                                  size_t index) noexcept {
    const GrantCopySegment& segment = segments[index];
    auto at = static_cast<size_t>(segment.local - range_.data());
    uint32_t offset = segment.offset;
    for (uint32_t left = segment.length; left != 0;) {
        if (count_ == copies_.size()) [[unlikely]]
            carry_out(segments);
        const uint32_t in_page = at % kGuestPageSize;
        const uint32_t length = std::min<uint32_t>(kGuestPageSize - in_page, left);
        abi::GrantCopy& copy = copies_[count_];
        segment_of_[count_++] = static_cast<uint32_t>(index);
        abi::GrantCopyPointer& theirs = segment.to_guest ? copy.dest : copy.source;
        abi::GrantCopyPointer& ours = segment.to_guest ? copy.source : copy.dest;
        theirs.u.ref = segment.gref.raw();
        theirs.domid = guest.raw();
        theirs.offset = static_cast<uint16_t>(offset);
        ours.u.ref = grefs_[at / kGuestPageSize];
        ours.domid = abi::kDomIdSelf;
        ours.offset = static_cast<uint16_t>(in_page);
        copy.len = static_cast<uint16_t>(length);
        copy.flags = abi::kGrantCopySourceGref | abi::kGrantCopyDestGref;
        // What stays if the hypervisor does not come so far.
        copy.status = static_cast<int16_t>(abi::GrantStatus::kGeneralError);
        left -= length;
        at += length;
        offset += length;
    }
}

void CopyPages::carry_out(std::span<GrantCopySegment> segments) noexcept {
    if (count_ == 0) return;
    // Each copy's status tells.
    (void)calls_.call(abi::Hypercall::kGrantTableOp, {static_cast<uint64_t>(abi::GrantTableOp::kCopy),
                                                      reinterpret_cast<uint64_t>(copies_.data()), count_});
    for (size_t i = 0; i < count_; ++i) {
        const auto status = static_cast<abi::GrantStatus>(copies_[i].status);
        if (status != abi::GrantStatus::kOkay) segments[segment_of_[i]].status = status;
    }
    count_ = 0;
}

}  // namespace torii::dom0
