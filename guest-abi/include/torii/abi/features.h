#pragma once
// Feature bits (public features.h), reported by xen_version's get_features and named by kernels in ELF notes.

#include <cstdint>

namespace torii::abi {

enum class Feature : uint32_t {
    kWritablePageTables = 0,
    kWritableDescriptorTables = 1,
    kAutoTranslatedPhysmap = 2,
    kSupervisorModeKernel = 3,
    kPaePgdirAbove4gb = 4,
    kMmuPtUpdatePreserveAd = 5,
    kHighmemAssist = 6,
    kGnttabMapAvailBits = 7,
    kHvmCallbackVector = 8,
    kHvmSafePvclock = 9,
    kHvmPirqs = 10,
    kDom0 = 11,
    kMemoryOpVnodeSupported = 13,
    kArmSmcccSupported = 14,
    kLinuxRsdpUnrestricted = 15,
    kNotDirectMapped = 16,
    kDirectMapped = 17,
};

inline constexpr uint32_t kFeatureSubmapCount = 1;  // submaps of 32 bits

constexpr uint32_t feature_bit(Feature feature) {
    return 1u << static_cast<uint32_t>(feature);
}

}  // namespace torii::abi
