#include "arch/x86/pv/descriptors.h"

#include <torii/abi/mmu.h>

namespace torii::pv {
namespace {

// Intel SDM volume 3, 3.4.5: bit positions in the 64-bit descriptor.
constexpr uint64_t kAccessed = uint64_t{1} << 40;
constexpr uint64_t kCode = uint64_t{1} << 43;
constexpr uint64_t kCodeOrData = uint64_t{1} << 44;
constexpr uint64_t kPrivilegeLevel = uint64_t{3} << 45;
constexpr uint64_t kPresent = uint64_t{1} << 47;
constexpr uint64_t kLong = uint64_t{1} << 53;
constexpr uint64_t kDefaultBig = uint64_t{1} << 54;

}  // namespace

std::optional<uint64_t> checked_descriptor(uint64_t descriptor) {
    if ((descriptor & kPresent) == 0) return descriptor;
    if ((descriptor & kCodeOrData) == 0) return std::nullopt;
    // 64-bit code with a default of 32-bit operands: reserved (3.4.5), so no promise what a CPU makes of it.
    const uint64_t reserved = kCode | kLong | kDefaultBig;
    if ((descriptor & reserved) == reserved) return std::nullopt;
    return descriptor | kPrivilegeLevel | kAccessed;
}

bool is_valid_gate_selector(uint16_t selector) {
    if (is_null_selector(selector)) return false;
    if ((selector & kSelectorLdt) != 0) return true;
    return (selector >> 3) < abi::kFirstReservedGdtEntry || guest_selector(selector) == abi::kFlatRing3Cs64 ||
           guest_selector(selector) == abi::kFlatRing3Cs32;
}

bool is_valid_ldt(uint64_t base, uint32_t entries) {
    if (entries == 0) return true;
    if (entries > kMaxLdtEntries || (base & 0xFFF) != 0) return false;
    const uint64_t last = base + uint64_t{entries} * 8 - 1;
    if (last < base) return false;
    const auto canonical = [](uint64_t address) {
        return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address;
    };
    if (!canonical(base) || !canonical(last)) return false;
    return last < abi::kHypervisorVirtStart || base >= abi::kHypervisorVirtEnd;
}

}  // namespace torii::pv
