// xen_version (public version.h, features.h).
#include <torii/abi/features.h>
#include <torii/abi/mmu.h>
#include <torii/abi/xen_version.h>

#include <cstring>

#include "base/once.h"
#include "core/call/boot_options.h"
#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/domain/privilege.h"

namespace torii::call {
namespace {

using abi::Feature;
using abi::feature_bit;
using abi::VersionOp;

// The version of the ABI that is spoken, which guests and tools compare with.
constexpr uint32_t kVersionMajor = 4;
constexpr uint32_t kVersionMinor = 17;

// Every feature that Linux's PV code insists on, and what else Xen 4.17 tells PV guests. The page-table and
// descriptor features that are absent must stay so: a kernel that saw them would write page tables directly.
constexpr uint32_t kGuestFeatures =
    feature_bit(Feature::kMmuPtUpdatePreserveAd) | feature_bit(Feature::kHighmemAssist) |
    feature_bit(Feature::kGnttabMapAvailBits) | feature_bit(Feature::kMemoryOpVnodeSupported) |
    feature_bit(Feature::kNotDirectMapped);

template <size_t Size>
struct Text {
    char bytes[Size]{};
};

// Character arrays of the ABI are filled to their full size, so that nothing of ours leaks behind the text.
template <size_t Size>
constexpr Text<Size> padded(std::string_view text) {
    Text<Size> padded;
    for (size_t i = 0; i < text.size() && i + 1 < Size; ++i)
        padded.bytes[i] = text[i];
    return padded;
}

template <size_t Size>
CallResult answer(const CallContext& context, const Text<Size>& text) {
    TRY(GuestOut<Text<Size>>(context.arg<1>()).copy_out(text));
    return 0;
}

template <class T>
CallResult answer_object(const CallContext& context, const T& object) {
    TRY(GuestOut<T>(context.arg<1>()).copy_out(object));
    return 0;
}

CallResult features(const CallContext& context) {
    const GuestInOut<abi::FeatureInfo> pointer(context.arg<1>());
    abi::FeatureInfo info;
    TRY(pointer.copy_in(info));
    if (info.submap_idx >= abi::kFeatureSubmapCount) return Errno::kEINVAL;
    info.submap = kGuestFeatures;
    const Domain& domain = context.domain();
    if (domain.privileged) info.submap |= feature_bit(Feature::kDom0);
    const uint64_t wide_cr3 = uint64_t{1} << static_cast<unsigned>(abi::VmAssistType::kPaeExtendedCr3);
    if ((read_once(domain.vm_assist) & wide_cr3) != 0) info.submap |= feature_bit(Feature::kPaePgdirAbove4gb);
    TRY(pointer.copy_out(info));
    return 0;
}

CallResult compile_info(const CallContext& context) {
    abi::CompileInfo info{};
    const auto put = [](auto& field, std::string_view text) {
        memcpy(field, text.data(), text.size() < sizeof(field) ? text.size() : sizeof(field) - 1);
    };
    put(info.compiler, "C++20, " __VERSION__);
    put(info.compile_by, "torii");
    put(info.compile_domain, "localdomain");
    put(info.compile_date, kBuildDate);
    return answer_object(context, info);
}

// Without a buffer: the length. With one: as many bytes as fit, which must be all of them.
CallResult build_id(const CallContext& context) {
    const std::span<const unsigned char> id = boot_options.build_id;
    if (id.empty()) return Errno::kENODATA;
    const uint64_t address = context.arg<1>();
    if (address == 0) return static_cast<int64_t>(id.size());
    abi::BuildId request;
    TRY(GuestIn<abi::BuildId>(address).copy_in(request));
    if (request.len == 0) return Errno::kEINVAL;
    if (request.len < id.size()) return Errno::kENOBUFS;
    TRY(GuestArray<unsigned char>(address + sizeof(request)).write_many(0, id.data(), id.size()));
    return static_cast<int64_t>(id.size());
}

CallResult other_version_op(CallContext& context) {
    switch (static_cast<VersionOp>(context.arg32<0>())) {
        case VersionOp::kExtraversion:
            return answer(context, padded<abi::kExtraversionSize>(kExtraVersion));
        case VersionOp::kCompileInfo:
            return compile_info(context);
        case VersionOp::kCapabilities:
            return answer(context, padded<abi::kCapabilitiesSize>("xen-3.0-x86_64 "));
        case VersionOp::kChangeset:
            return answer(context, padded<abi::kChangesetSize>(kSourceRevision));
        case VersionOp::kPlatformParameters:
            return answer_object(context, abi::PlatformParameters{abi::kHypervisorVirtStart});
        case VersionOp::kPagesize:
            return static_cast<int64_t>(abi::kPageSize);
        case VersionOp::kGuestHandle:
            return answer_object(context, context.domain().handle);
        case VersionOp::kCommandline: {
            const bool allowed = may_read_boot_options(context.domain());
            return answer(context,
                          padded<abi::kCommandlineSize>(allowed ? boot_options.command_line : "<denied>"));
        }
        case VersionOp::kBuildId:
            return build_id(context);
        default:
            return Errno::kENOSYS;
    }
}

}  // namespace

CallResult xen_version(CallContext& context) {
    // Guests use the first as the cheapest way to have pending events delivered.
    const uint32_t op = context.arg32<0>();
    if (op == static_cast<uint32_t>(VersionOp::kVersion)) return (kVersionMajor << 16) | kVersionMinor;
    if (op == static_cast<uint32_t>(VersionOp::kGetFeatures)) return features(context);
    return other_version_op(context);
}

}  // namespace torii::call
