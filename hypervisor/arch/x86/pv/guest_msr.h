// Model-specific registers as a guest's kernel finds them.
#pragma once

#include "core/domain/domain.h"

namespace torii::pv {

// False: the access faults. `vcpu` is the current one.
[[nodiscard]] bool read_guest_msr(Vcpu& vcpu, uint32_t index, uint64_t& value);
[[nodiscard]] bool write_guest_msr(Vcpu& vcpu, uint32_t index, uint64_t value);

}  // namespace torii::pv
