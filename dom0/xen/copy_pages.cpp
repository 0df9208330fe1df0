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

// Beyond its page it would be another page's.
bool in_page(const GrantCopySegment& segment) {
    return uint32_t{segment.offset} + segment.length <= kGuestPageSize;
}

// A copy of `length` bytes, `done` further on than the segment begins; our end is in the page of `gref`,
// where `at` is in its page. Inlined: this is done for each page of a guest's stream.
[[gnu::always_inline]] inline void fill(abi::GrantCopy& copy, backend::DomId guest,
                                        const GrantCopySegment& segment, uint32_t done, uint32_t length,
                                        abi::RawGrantRef gref, size_t at) {
    abi::GrantCopyPointer& theirs = segment.to_guest ? copy.dest : copy.source;
    abi::GrantCopyPointer& ours = segment.to_guest ? copy.source : copy.dest;
    theirs.u.ref = segment.gref.raw();
    theirs.domid = guest.raw();
    theirs.offset = static_cast<uint16_t>(segment.offset + done);
    ours.u.ref = gref;
    ours.domid = abi::kDomIdSelf;
    ours.offset = static_cast<uint16_t>(at % kGuestPageSize);
    copy.len = static_cast<uint16_t>(length);
    copy.flags = abi::kGrantCopySourceGref | abi::kGrantCopyDestGref;
    // What stays if the hypervisor does not come so far.
    copy.status = static_cast<int16_t>(abi::GrantStatus::kGeneralError);
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

bool CopyPages::copy(backend::DomId guest, std::span<GrantCopySegment> segments) noexcept {
    if (used_ == 0) return false;
    const auto begin = reinterpret_cast<uintptr_t>(range_.data());
    const abi::RawGrantRef* const grefs = grefs_.data();
    size_t first = 0;  // of the segments whose copies are not carried out
    abi::GrantCopy* next = copies_.data();
    const abi::GrantCopy* const room_for_two = next + copies_.size() - 1;
    for (GrantCopySegment& segment : segments) {
        // A number, since the memory may be anybody's: of an address below ours it is larger than any size.
        const size_t at = reinterpret_cast<uintptr_t>(segment.local) - begin;
        if (at >= used_ || used_ - at < segment.length) return false;
        if (!in_page(segment)) [[unlikely]] {
            segment.status = abi::GrantStatus::kBadCopyArg;
            continue;
        }
        segment.status = abi::GrantStatus::kOkay;
        if (next >= room_for_two) [[unlikely]] {
            const size_t index = static_cast<size_t>(&segment - segments.data());
            carry_out(segments.subspan(first, index - first), next);
            first = index;
            next = copies_.data();
        }
        // A copy ends where a page of ours does.
        const auto length = std::min<uint32_t>(kGuestPageSize - at % kGuestPageSize, segment.length);
        fill(*next++, guest, segment, 0, length, grefs[at / kGuestPageSize], at);
        if (length < segment.length) [[unlikely]]
            fill(*next++, guest, segment, length, segment.length - length, grefs[at / kGuestPageSize + 1], 0);
    }
    carry_out(segments.subspan(first), next);
    return true;
}

// Carries out the copies before `end`, which are those of these segments.
void CopyPages::carry_out(std::span<GrantCopySegment> segments, const abi::GrantCopy* end) noexcept {
    const std::span<abi::GrantCopy> copies = copies_.first(static_cast<size_t>(end - copies_.data()));
    if (copies.empty()) return;
    // Each copy's status tells.
    (void)calls_.call(abi::Hypercall::kGrantTableOp,
                      {static_cast<uint64_t>(abi::GrantTableOp::kCopy),
                       reinterpret_cast<uint64_t>(copies.data()), copies.size()});
    constexpr auto kOkay = static_cast<int16_t>(abi::GrantStatus::kOkay);
    if (std::ranges::all_of(copies, [](const abi::GrantCopy& copy) { return copy.status == kOkay; })) return;
    const abi::GrantCopy* copy = copies.data();
    for (GrantCopySegment& segment : segments) {
        if (!in_page(segment)) continue;
        const size_t at = static_cast<size_t>(segment.local - range_.data()) % kGuestPageSize;
        for (int pieces = at + segment.length > kGuestPageSize ? 2 : 1; pieces != 0; --pieces, ++copy) {
            if (copy->status != kOkay) segment.status = static_cast<abi::GrantStatus>(copy->status);
        }
    }
}

}  // namespace torii::dom0
