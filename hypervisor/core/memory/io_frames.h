// Frames of devices that domains may not map, or may only read.
#pragma once

#include "base/frame.h"
#include "base/result.h"

namespace torii {

// Devices that the hypervisor drives itself; at boot.
void reserve_io_frame(Mfn mfn);
[[nodiscard]] bool is_reserved_io_frame(Mfn mfn);

// Device memory that the control domain reads by itself, and writes through the hypervisor, which looks at
// what is written. Its page-table entries for such frames are read-only, whatever it asks for.
enum class IoGuard : uint8_t {
    kMessageTable,   // the table of MSI-X of some function
    kConfiguration,  // configuration space of PCI segment 0; the range begins at that of bus 0
};
struct GuardedRange {
    MachineAddr start{};
    uint64_t bytes = 0;  // none: nothing is guarded
    IoGuard kind = IoGuard::kConfiguration;
    uint32_t of = 0;  // the function whose table it is: each has one
    [[nodiscard]] bool contains(MachineAddr address) const {
        return address.raw() >= start.raw() && address.raw() - start.raw() < bytes;
    }
};
// In place of an earlier one of the same function, or of configuration space. Mappings that exist stay as
// they are. ENOSPC; ENOMEM, but not for configuration space.
[[nodiscard]] Result<> guard_io_range(const GuardedRange& range);
// Whether stores to the frame have to be looked at.
[[nodiscard]] bool is_guarded_io_frame(Mfn mfn);
// The range that the address lies in; of no bytes: it only shares a frame with one.
[[nodiscard]] GuardedRange guarded_range_at(MachineAddr address);

}  // namespace torii
