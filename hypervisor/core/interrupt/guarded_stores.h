// Stores of the control domain to device memory that is guarded (core/memory/io_frames.h).
#pragma once

#include <cstdint>

#include "base/frame.h"

namespace torii {

// `width` is 1, 2, 4 or 8 bytes. Of a table of MSI-X, only an entry's mask takes effect; of configuration
// space in memory, what by ports would too; what merely shares a frame with either is written as it is.
void write_guarded(MachineAddr address, unsigned width, uint64_t value);

}  // namespace torii
