// From a part back to what it is embedded in.
#pragma once

#include "core/domain/domain.h"

namespace torii {

[[nodiscard]] Vcpu& vcpu_of(EventVcpu& events);
[[nodiscard]] Vcpu* vcpu_of(SchedUnit& unit);  // null: the calling CPU's idle unit
[[nodiscard]] Domain& domain_of(EventTable& table);

}  // namespace torii
