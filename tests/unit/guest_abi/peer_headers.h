#pragma once
// Debian's public headers (libxen-dev), included after this project's own so that neither can lean on the
// other, and the rows in which the comparison tables are written.

#include <gtest/gtest.h>
#include <torii/abi/basic_types.h>
#include <torii/abi/callback.h>
#include <torii/abi/console_io.h>
#include <torii/abi/cpuid_leaves.h>
#include <torii/abi/domctl.h>
#include <torii/abi/domid.h>
#include <torii/abi/elfnote.h>
#include <torii/abi/errno.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/features.h>
#include <torii/abi/grant_table.h>
#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/io/blkif.h>
#include <torii/abi/io/console.h>
#include <torii/abi/io/netif.h>
#include <torii/abi/io/ring.h>
#include <torii/abi/io/xenbus_state.h>
#include <torii/abi/memory.h>
#include <torii/abi/mmu.h>
#include <torii/abi/multicall.h>
#include <torii/abi/physdev.h>
#include <torii/abi/platform.h>
#include <torii/abi/sched.h>
#include <torii/abi/shared_info.h>
#include <torii/abi/start_info.h>
#include <torii/abi/sysctl.h>
#include <torii/abi/trap.h>
#include <torii/abi/vcpu.h>
#include <torii/abi/virq.h>
#include <torii/abi/xen_version.h>
#include <torii/abi/xenstore_wire.h>

#include <cstddef>
#include <cstdint>
#include <span>

#define __XEN_TOOLS__ 1
#include <xen/arch-x86/cpuid.h>
#include <xen/callback.h>
#include <xen/domctl.h>
#include <xen/elfnote.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/ring.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/pmu.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/xen.h>

namespace torii {

using XenEfiInfo = decltype(xenpf_firmware_info::u.efi_info);

struct Comparison {
    const char* what;
    uint64_t ours;
    uint64_t theirs;
};

inline void expect_equal(std::span<const Comparison> comparisons) {
    for (const Comparison& comparison : comparisons) {
        EXPECT_EQ(comparison.ours, comparison.theirs) << comparison.what;
    }
}

// Sizes stay far below 1 MiB, so that several facts of a structure or field fit into one comparison.
constexpr uint64_t packed_facts(size_t offset_or_alignment, size_t size) {
    return uint64_t{offset_or_alignment} << 32 | size;
}

}  // namespace torii

#define SAME_SIZE(ours, theirs)                                                   \
    Comparison {                                                                  \
#ours, packed_facts(alignof(torii::abi::ours), sizeof(torii::abi::ours)), \
            packed_facts(alignof(theirs), sizeof(theirs))                         \
    }

#define SAME_FIELD_AS(ours, our_field, theirs, their_field)                                           \
    Comparison {                                                                                      \
#ours "::" #our_field,                                                                        \
            packed_facts(offsetof(torii::abi::ours, our_field), sizeof(torii::abi::ours::our_field)), \
            packed_facts(offsetof(theirs, their_field), sizeof(theirs::their_field))                  \
    }

#define SAME_FIELD(ours, theirs, field) SAME_FIELD_AS(ours, field, theirs, field)

#define SAME_VALUE(ours, theirs)                            \
    Comparison {                                            \
#ours, uint64_t(torii::abi::ours), uint64_t(theirs) \
    }
