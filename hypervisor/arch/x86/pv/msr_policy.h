// Which model-specific registers a PV guest's kernel may read and write, and what comes of it. The table in
// msr_policy.cpp follows what Xen 4.17 lets a guest see; whatever has no row raises #GP.
#pragma once

#include <torii/abi/trap.h>

#include <cstdint>

#include "arch/x86/pv/cpu_policy.h"

namespace torii::pv {

inline constexpr uint32_t kMsrPat = 0x277;
inline constexpr uint32_t kMsrEfer = 0xC000'0080;
inline constexpr uint32_t kMsrFsBase = 0xC000'0100;
inline constexpr uint32_t kMsrGsBase = 0xC000'0101;
inline constexpr uint32_t kMsrKernelGsBase = 0xC000'0102;
inline constexpr uint32_t kMsrTscAux = 0xC000'0103;

// The page attribute table that guests are told of, and that the hypervisor must load: WB WT UC- UC WC WP UC
// UC. A guest can't change it, since it decides what the cache bits of everybody's page-table entries mean.
inline constexpr uint64_t kGuestPat = 0x0000'0501'0007'0406;

struct MsrViewer {
    const CpuPolicy* policy;
    bool control_domain = false;
    uint32_t vcpu = 0;
};

enum class MsrSource : uint8_t {
    kFault,        // #GP
    kValue,        // `value`
    kHost,         // the CPU's own register, & `mask`, | `value`; #GP where the CPU has none
    kTsc,          // the guest's time stamp counter
    kTscAux,       // the guest's TSC_AUX
    kSegmentBase,  // `base`
};
struct MsrReadAnswer {
    MsrSource source = MsrSource::kFault;
    uint64_t value = 0;
    uint64_t mask = ~uint64_t{0};
    abi::SegmentBase base = abi::SegmentBase::kFs;
};
[[nodiscard]] MsrReadAnswer read_msr(uint32_t index, const MsrViewer& viewer);

enum class MsrSink : uint8_t {
    kFault,          // #GP
    kDrop,           // nothing happens
    kTscAux,         // the guest's TSC_AUX becomes `value`
    kSegmentBase,    // `base` becomes `value`, which is canonical
    kHypercallPage,  // fills the guest frame `value` >> 12 with the hypercall page `value` & 0xFFF (0 is the
                     // only one)
};
struct MsrWriteAnswer {
    MsrSink sink = MsrSink::kFault;
    abi::SegmentBase base = abi::SegmentBase::kFs;
};
[[nodiscard]] MsrWriteAnswer write_msr(uint32_t index, uint64_t value, const MsrViewer& viewer);

}  // namespace torii::pv
