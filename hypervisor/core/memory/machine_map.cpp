#include "core/memory/machine_map.h"

namespace torii {

constinit MachineMemoryMap boot_memory_map{};
constinit M2pFrames m2p_frames{};

}  // namespace torii
