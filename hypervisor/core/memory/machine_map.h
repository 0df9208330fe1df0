// The machine's memory as the firmware described it, and where the machine-to-physical table lies. Filled
// once at boot.
#pragma once

#include <torii/abi/memory.h>

#include "base/frame.h"

namespace torii {

struct MachineMemoryMap {
    static constexpr unsigned kMostEntries = 128;  // firmware has a dozen or two
    abi::E820Entry entries[kMostEntries];          // sorted, not overlapping
    unsigned count;
    Mfn end_of_ram;       // one past the highest frame of RAM
    uint64_t ram_frames;  // RAM that there is, used or not
};
extern MachineMemoryMap boot_memory_map;

// The first frame of each 2 MiB of the machine-to-physical table, for those who want to map it.
struct M2pFrames {
    const Mfn* superpages;
    unsigned count;
};
extern M2pFrames m2p_frames;

}  // namespace torii
