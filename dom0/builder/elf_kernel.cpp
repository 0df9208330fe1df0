// From an ELF file to what the builder needs to know. The file is read by the same code as the hypervisor
// uses for dom0's kernel (guest-abi, image/), which checks every offset in it.

#include <torii/abi/features.h>
#include <torii/failure.h>
#include <torii/image/pv_notes.h>

#include <algorithm>

#include "builder/kernel_image.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

// What a kernel may insist on: what xen_version tells every paravirtual guest, and the writable page tables
// that each kernel names although the call of that name is what it means.
constexpr uint32_t kOfferedFeatures =
    abi::feature_bit(abi::Feature::kWritablePageTables) | abi::feature_bit(abi::Feature::kPaePgdirAbove4gb) |
    abi::feature_bit(abi::Feature::kMmuPtUpdatePreserveAd) | abi::feature_bit(abi::Feature::kHighmemAssist) |
    abi::feature_bit(abi::Feature::kGnttabMapAvailBits) |
    abi::feature_bit(abi::Feature::kLinuxRsdpUnrestricted);

// What can be done about it, where the reason alone does not tell.
const char* advice_for(image::ImageError error) {
    switch (error) {
        case image::ImageError::kNoPvNotes:
        case image::ImageError::kNotPvKernel:
        case image::ImageError::kFeatureUnsupported:
            return ". Use one built with CONFIG_XEN_PV, such as Debian's linux-image-amd64";
        case image::ImageError::kEmpty:
        case image::ImageError::kHeaderTruncated:
        case image::ImageError::kSegmentBeyondFile:
        case image::ImageError::kNoteBeyondSegment:
        case image::ImageError::kBzImagePayloadBeyondFile:
            return ". Fetch the file again";
        case image::ImageError::kNotElf:
            return ". A kernel is a Linux boot image (vmlinuz) or an ELF file";
        default:
            return "";
    }
}

}  // namespace

void fail_for_image(image::ImageError error) {
    throw Failure(ErrorCode::kNoKernel, std::string(image::to_string(error)) + advice_for(error));
}

KernelDescription describe_elf_kernel(std::span<const std::byte> elf) {
    const auto bytes = image::Bytes(reinterpret_cast<const uint8_t*>(elf.data()), elf.size());
    const auto parsed = image::ElfImage::parse(bytes);
    if (!parsed) fail_for_image(parsed.error);
    const auto notes = image::read_pv_notes(parsed.value, kOfferedFeatures);
    if (!notes) fail_for_image(notes.error);
    KernelDescription kernel;
    for (const image::Segment& segment : parsed.value.segments()) {
        if (segment.memory_size == 0) continue;
        const auto offset =
            segment.file.empty() ? 0 : static_cast<uint64_t>(segment.file.data() - bytes.data());
        kernel.segments.push_back(KernelSegment{offset, segment.file.size(), segment.memory_size,
                                                notes.value.virtual_address(segment)});
    }
    std::sort(
        kernel.segments.begin(), kernel.segments.end(),
        [](const KernelSegment& a, const KernelSegment& b) { return a.virtual_address < b.virtual_address; });
    kernel.virt_base = notes.value.virt_base;
    kernel.entry = notes.value.entry;
    kernel.hypercall_page = notes.value.hypercall_page;
    kernel.p2m_base = notes.value.init_p2m;
    kernel.module_is_pfn = notes.value.mod_start_pfn;
    kernel.guest_os = notes.value.guest_os;
    kernel.guest_version = notes.value.guest_version;
    return kernel;
}

}  // namespace torii::dom0
