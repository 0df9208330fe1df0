// Page frames and addresses.
#pragma once

#include "base/strong.h"

namespace torii {

inline constexpr unsigned kPageShift = 12;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageShift;
inline constexpr uint64_t kPageMask = ~(kPageSize - 1);

using Mfn = StrongPosition<struct MfnTag>;                  // machine frame number
using Pfn = StrongPosition<struct PfnTag>;                  // a guest's own frame number
using MachineAddr = StrongPosition<struct MachineAddrTag>;  // byte address in machine memory
using GuestVa = StrongPosition<struct GuestVaTag>;          // linear address in a guest's address space

inline constexpr Mfn kInvalidMfn{~uint64_t{0}};

constexpr MachineAddr address_of(Mfn mfn) {
    return MachineAddr(mfn.raw() << kPageShift);
}
constexpr Mfn frame_of(MachineAddr address) {
    return Mfn(address.raw() >> kPageShift);
}
constexpr uint64_t offset_in_page(MachineAddr address) {
    return address.raw() & ~kPageMask;
}
constexpr uint64_t pages_for(uint64_t bytes) {
    return (bytes >> kPageShift) + ((bytes & ~kPageMask) != 0);
}

}  // namespace torii
