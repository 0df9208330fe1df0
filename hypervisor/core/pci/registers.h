// The configuration space of a PCI function as far as the hypervisor reads it (PCI Local Bus
// Specification 3.0, chapter 6).
#pragma once

#include "base/frame.h"
#include "base/result.h"
#include "port/devices.h"

namespace torii::pci {

inline constexpr unsigned kBars = 6;

[[nodiscard]] bool is_present(PciAddress device);
// The offset of a capability; ENODEV.
[[nodiscard]] Result<uint8_t> find_capability(PciAddress device, uint8_t id);
// Where a memory BAR lies; zero when nothing is assigned. ENXIO: it is of ports, or the upper half of
// another.
[[nodiscard]] Result<MachineAddr> memory_bar(PciAddress device, unsigned index);
// Whether the function answers accesses to its memory.
[[nodiscard]] bool memory_is_on(PciAddress device);
// Neither RAM nor a device that the hypervisor drives itself.
[[nodiscard]] bool may_be_device_memory(Mfn mfn);

}  // namespace torii::pci
