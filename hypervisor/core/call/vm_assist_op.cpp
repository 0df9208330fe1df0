// vm_assist (public xen.h): ways in which a guest asks to be treated differently from now on.
#include <torii/abi/mmu.h>

#include "base/once.h"
#include "core/call/handlers.h"

namespace torii::call {
namespace {

constexpr uint64_t bit(abi::VmAssistType type) {
    return uint64_t{1} << static_cast<unsigned>(type);
}

// 4gb_segments and its notification concern 32-bit guests; the first is accepted as kernels ask for it
// without need. Writes to read-only page tables are always emulated, whether asked for or not.
constexpr uint64_t kKnownAssists =
    bit(abi::VmAssistType::k4gbSegments) | bit(abi::VmAssistType::k4gbSegmentsNotify) |
    bit(abi::VmAssistType::kWritablePagetables) | bit(abi::VmAssistType::kPaeExtendedCr3) |
    bit(abi::VmAssistType::kArchitecturalIopl) | bit(abi::VmAssistType::kRunstateUpdateFlag) |
    bit(abi::VmAssistType::kM2pStrict);

}  // namespace

CallResult vm_assist(CallContext& context) {
    const uint32_t command = context.arg32<0>();
    const uint32_t type = context.arg32<1>();
    if (type >= 64 || ((kKnownAssists >> type) & 1) == 0) return Errno::kEINVAL;
    const uint64_t mask = uint64_t{1} << type;
    Domain& domain = context.domain();
    uint64_t& assists = domain.vm_assist;
    switch (static_cast<abi::VmAssistCommand>(command)) {
        case abi::VmAssistCommand::kEnable:
            __atomic_fetch_or(&assists, mask, __ATOMIC_RELAXED);
            break;
        case abi::VmAssistCommand::kDisable:
            __atomic_fetch_and(&assists, ~mask, __ATOMIC_RELAXED);
            break;
        default:
            return Errno::kENOSYS;
    }
    if (mask == bit(abi::VmAssistType::kArchitecturalIopl)) {
        for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
            Vcpu* const vcpu = domain.vcpus[i];
            if (vcpu != nullptr) write_once(vcpu->pv.iopl_in_flags, (read_once(assists) & mask) != 0);
        }
    }
    return 0;
}

}  // namespace torii::call
