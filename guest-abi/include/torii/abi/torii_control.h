#pragma once
// What Torii answers beyond Xen's control operations. The numbers lie far above Xen's, so that a tool that
// tries them elsewhere reads -ENOSYS.

#include <torii/abi/basic_types.h>
#include <torii/abi/vcpu.h>

#include <cstdint>

namespace torii::abi {

// domctl: why the hypervisor ended a domain, as one sentence. For a domain that ended by itself: -ENODATA.
inline constexpr uint32_t kDomctlGetEndReason = 0x7040'0001;

struct DomctlEndReason {
    GuestPtr64 text;  // char[size]: the sentence, ended by a zero
    uint32_t size;    // in: room; out: length of the sentence
    uint32_t padding;
};

// domctl: where a vCPU's time went, as its own kernel learns it by vcpu_op.
inline constexpr uint32_t kDomctlGetVcpuRunstate = 0x7040'0002;

struct DomctlVcpuRunstate {
    uint32_t vcpu;  // in
    uint32_t padding;
    VcpuRunstateInfo info;  // out
};

}  // namespace torii::abi
