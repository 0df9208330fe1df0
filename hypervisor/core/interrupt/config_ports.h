// PCI configuration space as the control domain reaches it: by the ports 0xcf8 and 0xcfc (PCI Local Bus
// Specification 3.0, section 3.2.2.3.2). Everything passes but what belongs to the hypervisor: address and
// data of messages, how many there are, and switching MSI on before the hypervisor has set it up. Such bits
// keep their value, as if the device didn't let them be written to.
#pragma once

#include <cstdint>

#include "port/devices.h"

namespace torii {

inline constexpr uint16_t kPciSelectPort = 0xcf8;
inline constexpr uint16_t kPciDataPort = 0xcfc;

// Whether an access touches the data port's four bytes. The machine never sees one as it is: it would reach
// what the hypervisor selected last.
[[nodiscard]] bool is_config_data(uint16_t port, unsigned width);

// `selector` is what the domain wrote to 0xcf8 last. All ones, and nothing written, where it selects nothing
// or where the access is not aligned.
[[nodiscard]] uint32_t read_config_data(uint32_t selector, uint16_t port, unsigned width);
void write_config_data(uint32_t selector, uint16_t port, unsigned width, uint32_t value);

// The same for a function and a register; `reg` is a multiple of `width`.
void write_config_filtered(PciAddress device, unsigned reg, unsigned width, uint32_t value);

}  // namespace torii
