#include "core/domain/vcpu_areas.h"

#include <torii/abi/mmu.h>

#include "base/once.h"
#include "core/domain/time.h"
#include "port/context.h"
#include "port/guest_memory.h"

namespace torii {

void publish_runstate_area(Vcpu& vcpu) {
    const uint64_t address = read_once(vcpu.runstate_area);
    if (address == 0) [[likely]]
        return;
    constexpr auto kUpdateFlag = static_cast<unsigned>(abi::VmAssistType::kRunstateUpdateFlag);
    const bool mark_update = (read_once(vcpu.domain->vm_assist) >> kUpdateFlag & 1) != 0;
    // The area lies in the guest kernel's half of the address space, which the guest's user mode doesn't
    // have.
    const bool from_user = vcpu.entry.in_kernel_mode == 0;
    if (from_user) {
        vcpu.entry.in_kernel_mode = 1;
        load_address_space(vcpu);
    }
    // An area that isn't mapped goes without news, as the public header warns.
    (void)publish_runstate(sched_last_runstate(vcpu.unit), mark_update,
                           [address](size_t offset, const void* from, size_t length) {
                               return copy_to_guest(address + offset, from, length);
                           });
    if (from_user) {
        vcpu.entry.in_kernel_mode = 0;
        load_address_space(vcpu);
    }
}

void vcpu_arrives(Vcpu& vcpu) {
    sched_arrived();
    if (!clock_scale.stable) [[unlikely]]
        publish_time(vcpu);  // this CPU's counter may not be that of the last one
    publish_runstate_area(vcpu);
}

}  // namespace torii
