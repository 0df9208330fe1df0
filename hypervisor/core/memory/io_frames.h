// Frames of devices that the hypervisor drives itself: no domain maps them.
#pragma once

#include "base/frame.h"

namespace torii {

// At boot.
void reserve_io_frame(Mfn mfn);
[[nodiscard]] bool is_reserved_io_frame(Mfn mfn);

}  // namespace torii
