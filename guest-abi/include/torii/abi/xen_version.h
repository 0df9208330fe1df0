#pragma once
// xen_version (public version.h): rdi = VersionOp, rsi = guest pointer to the answer.

#include <torii/abi/features.h>

#include <cstddef>
#include <cstdint>

namespace torii::abi {

enum class VersionOp : uint32_t {
    kVersion = 0,  // no buffer: rax = major << 16 | minor
    kExtraversion = 1,
    kCompileInfo = 2,
    kCapabilities = 3,
    kChangeset = 4,
    kPlatformParameters = 5,
    kGetFeatures = 6,
    kPagesize = 7,     // no buffer: rax = page size in bytes
    kGuestHandle = 8,  // the domain's UUID, 16 bytes
    kCommandline = 9,
    kBuildId = 10,
};

// Sizes of the answers that are plain character arrays.
inline constexpr size_t kExtraversionSize = 16;
inline constexpr size_t kCapabilitiesSize = 1024;
inline constexpr size_t kChangesetSize = 64;
inline constexpr size_t kCommandlineSize = 1024;

struct CompileInfo {
    char compiler[64];
    char compile_by[16];
    char compile_domain[32];
    char compile_date[32];
};

struct PlatformParameters {
    uint64_t virt_start;  // first address of the hypervisor's area
};

struct FeatureInfo {
    uint32_t submap_idx;  // in: which 32 feature bits
    uint32_t submap;      // out
};

// Followed by `len` bytes of build id. A call with a null pointer asks for the length alone.
struct BuildId {
    uint32_t len;
};

}  // namespace torii::abi
