// The time of day, as every domain reads it from its shared page: what it was when the hypervisor's clock
// stood at zero.
#pragma once

#include "base/ids.h"

namespace torii {

struct Domain;

// Nanoseconds since 1970 at system time zero. The control domain corrects it; at boot the platform reads the
// machine's clock.
void set_wall_clock(uint64_t epoch_nanoseconds_at_boot);
[[nodiscard]] uint64_t wall_clock_epoch();

// Writes it to the domain's shared page, shifted by the domain's time offset. For new domains, and after
// either changes.
void publish_wall_clock(Domain& domain);
// To all domains.
void publish_wall_clock_everywhere();

}  // namespace torii
