#pragma once
// The hypervisor's CPUID leaves (public arch-x86/cpuid.h). A PV guest reads them with the forced-emulation
// prefix; on a machine without CPUID faulting the plain instruction shows it the hardware's.

#include <cstdint>

namespace torii::abi {

// First leaf of the hypervisor's range. Leaf base + 0: eax = last leaf, ebx, ecx, edx = signature.
inline constexpr uint32_t kCpuidFirstLeaf = 0x4000'0000;
inline constexpr uint32_t kCpuidSignatureEbx = 0x566E'6558;  // "XenV"
inline constexpr uint32_t kCpuidSignatureEcx = 0x6558'4D4D;  // "MMXe"
inline constexpr uint32_t kCpuidSignatureEdx = 0x4D4D'566E;  // "nVMM"

// base + 1: eax = major << 16 | minor.
// base + 2: eax = number of hypercall pages, ebx = MSR that fills them, ecx = feature bits below.
inline constexpr uint32_t kCpuidFeatureMmuPtUpdatePreserveAd = 1u << 0;
// base + 3: time information; sub-leaves 0 to 2.
// base + 4: HVM only, bits in eax.
inline constexpr uint32_t kCpuidHvmApicAccessVirt = 1u << 0;
inline constexpr uint32_t kCpuidHvmX2ApicVirt = 1u << 1;
inline constexpr uint32_t kCpuidHvmIommuMappings = 1u << 2;
inline constexpr uint32_t kCpuidHvmVcpuIdPresent = 1u << 3;
inline constexpr uint32_t kCpuidHvmDomIdPresent = 1u << 4;
inline constexpr uint32_t kCpuidHvmExtendedDestinationId = 1u << 5;
inline constexpr uint32_t kCpuidHvmUpcallVector = 1u << 6;
// base + 5: PV only, eax = width of the widest machine address the guest may see.
inline constexpr uint32_t kCpuidMachineAddressWidthMask = 0xFF;
inline constexpr uint32_t kCpuidMaxLeaves = 5;

// The MSR by which a guest has a hypercall page filled, reported in leaf base + 2.
inline constexpr uint32_t kHypercallPageMsr = 0x4000'0000;

}  // namespace torii::abi
