#pragma once
// Hypercall numbers (public xen.h). rax holds the number; arguments go in rdi, rsi, rdx, r10, r8; the result
// comes back in rax; `syscall` clobbers rcx and r11. Slot n of a hypercall page starts at byte 32 * n.

#include <cstdint>

namespace torii::abi {

enum class Hypercall : uint32_t {
    kSetTrapTable = 0,
    kMmuUpdate = 1,
    kSetGdt = 2,
    kStackSwitch = 3,
    kSetCallbacks = 4,
    kFpuTaskswitch = 5,
    kSchedOpCompat = 6,
    kPlatformOp = 7,
    kSetDebugreg = 8,
    kGetDebugreg = 9,
    kUpdateDescriptor = 10,
    kMemoryOp = 12,
    kMulticall = 13,
    kUpdateVaMapping = 14,
    kSetTimerOp = 15,
    kEventChannelOpCompat = 16,
    kXenVersion = 17,
    kConsoleIo = 18,
    kPhysdevOpCompat = 19,
    kGrantTableOp = 20,
    kVmAssist = 21,
    kUpdateVaMappingOtherdomain = 22,
    kIret = 23,
    kVcpuOp = 24,
    kSetSegmentBase = 25,
    kMmuextOp = 26,
    kXsmOp = 27,
    kNmiOp = 28,
    kSchedOp = 29,
    kCallbackOp = 30,
    kXenoprofOp = 31,
    kEventChannelOp = 32,
    kPhysdevOp = 33,
    kHvmOp = 34,
    kSysctl = 35,
    kDomctl = 36,
    kKexecOp = 37,
    kTmemOp = 38,
    kArgoOp = 39,
    kXenpmuOp = 40,
    kDmOp = 41,
    kHypfsOp = 42,
    kArch0 = 48,  // machine check (xen-mca.h)
    kArch1 = 49,
    kArch2 = 50,
    kArch3 = 51,
    kArch4 = 52,
    kArch5 = 53,
    kArch6 = 54,
    kArch7 = 55,

    kMca = kArch0,
};

// The first number beyond every assigned one.
inline constexpr uint32_t kHypercallCount = 56;

inline constexpr uint32_t kHypercallPageSlotBytes = 32;

// nmi_op (public nmi.h): one non-maskable interrupt handler per virtual CPU, as a guest registers it.
enum class NmiOp : uint32_t {
    kRegisterCallback = 0,
    kUnregisterCallback = 1,
};

// Bits of ArchSharedInfo::nmi_reason.
inline constexpr uint64_t kNmiReasonIoError = 1u << 0;
inline constexpr uint64_t kNmiReasonPciSerr = 1u << 1;
inline constexpr uint64_t kNmiReasonUnknown = 1u << 2;

struct NmiCallback {
    uint64_t handler_address;
    uint64_t pad;
};

// xenpmu_op (public pmu.h): only the numbers, for an orderly refusal.
enum class PmuOp : uint32_t {
    kModeGet = 0,
    kModeSet = 1,
    kFeatureGet = 2,
    kFeatureSet = 3,
    kInit = 4,
    kFinish = 5,
    kLvtpcSet = 6,
    kFlush = 7,
};

}  // namespace torii::abi
