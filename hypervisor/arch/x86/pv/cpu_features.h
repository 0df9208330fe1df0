// Which CPU features a PV guest is told of: one row per feature bit. A bit without a row is hidden, because
// nobody here knows whether it would work.
#pragma once

#include <array>
#include <cstdint>

namespace torii::pv {

// The registers that hold feature bits, in the order of the public cpufeatureset.h.
enum class FeatureWord : uint8_t {
    k1Edx,
    k1Ecx,
    k80000001Edx,
    k80000001Ecx,
    kD1Eax,
    k7Ebx,
    k7Ecx,
    k80000007Edx,
    k80000008Ebx,
    k7Edx,
    k7Sub1Eax,
    k80000021Eax,
};
inline constexpr unsigned kFeatureWords = 12;

enum class Offer : uint8_t {
    kAccept,      // as the host has it
    kHide,        // never
    kForce,       // always
    kDom0,        // as the host has it, for the control domain
    kDom0Kernel,  // the same, but only when its kernel asks
};

struct FeatureRow {
    FeatureWord word;
    uint8_t bit;
    Offer offer;
};

// The table as masks, computed by the compiler.
struct FeatureMasks {
    std::array<uint32_t, kFeatureWords> accept{};
    std::array<uint32_t, kFeatureWords> force{};
    std::array<uint32_t, kFeatureWords> dom0{};
    std::array<uint32_t, kFeatureWords> dom0_kernel{};
};
extern const FeatureMasks kFeatureMasks;

using FeatureSet = std::array<uint32_t, kFeatureWords>;

struct FeatureBit {
    FeatureWord word;
    uint8_t bit;
};

constexpr bool has(const FeatureSet& set, FeatureBit feature) {
    return (set[static_cast<unsigned>(feature.word)] >> feature.bit & 1) != 0;
}

// Features that code here asks for by name.
namespace feature {
inline constexpr FeatureBit kSep{FeatureWord::k1Edx, 11};
inline constexpr FeatureBit kHtt{FeatureWord::k1Edx, 28};
inline constexpr FeatureBit kXsave{FeatureWord::k1Ecx, 26};
inline constexpr FeatureBit kOsxsave{FeatureWord::k1Ecx, 27};
inline constexpr FeatureBit kAvx{FeatureWord::k1Ecx, 28};
inline constexpr FeatureBit kRdtscp{FeatureWord::k80000001Edx, 27};
inline constexpr FeatureBit kLongMode{FeatureWord::k80000001Edx, 29};
inline constexpr FeatureBit kXsavec{FeatureWord::kD1Eax, 1};
inline constexpr FeatureBit kFsgsbase{FeatureWord::k7Ebx, 0};
inline constexpr FeatureBit kAvx512f{FeatureWord::k7Ebx, 16};
inline constexpr FeatureBit kRdpid{FeatureWord::k7Ecx, 22};
inline constexpr FeatureBit kInvariantTsc{FeatureWord::k80000007Edx, 8};
inline constexpr FeatureBit kLfenceDispatch{FeatureWord::k80000021Eax, 2};
}  // namespace feature

// Clears what can't work without a feature that `set` lacks (AVX without XSAVE, ...).
void clear_dependents(FeatureSet& set);

}  // namespace torii::pv
