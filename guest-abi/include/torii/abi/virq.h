#pragma once
// Virtual interrupts (public xen.h). Timer, debug, xenoprof and xenpmu exist once per virtual CPU; the others
// once per domain, and those that report on the machine may be bound by the control domain or a handler it
// names.

#include <cstdint>

namespace torii::abi {

enum class Virq : uint32_t {
    kTimer = 0,
    kDebug = 1,
    kConsole = 2,
    kDomExc = 3,
    kTbuf = 4,
    kDebugger = 6,
    kXenoprof = 7,
    kConRing = 8,
    kPcpuState = 9,
    kMemEvent = 10,
    kArgo = 11,
    kEnomem = 12,
    kXenpmu = 13,
    kArch0 = 16,
    kArch1 = 17,
    kArch2 = 18,
    kArch3 = 19,
    kArch4 = 20,
    kArch5 = 21,
    kArch6 = 22,
    kArch7 = 23,

    kMca = kArch0,
};

inline constexpr uint32_t kVirqCount = 24;

}  // namespace torii::abi
