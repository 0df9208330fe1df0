// The machine's devices, as the core reaches them. Defined by arch/x86/hw, and by tests/fakes on the host.
#pragma once

#include <cstdint>

#include "base/frame.h"
#include "base/ids.h"
#include "base/result.h"

namespace torii {

// A function of a PCI device.
struct PciAddress {
    uint8_t bus = 0;
    uint8_t devfn = 0;  // device << 3 | function
    friend constexpr bool operator==(PciAddress, PciAddress) = default;
};

// The first 256 bytes of a function's configuration space, segment 0. `width` is 1, 2 or 4 bytes, `reg` a
// multiple of it. All ones where no device answers. Takes LockRank::kPci.
[[nodiscard]] uint32_t pci_read(PciAddress device, unsigned reg, unsigned width);
void pci_write(PciAddress device, unsigned reg, unsigned width, uint32_t value);

// A register of four bytes in the memory of a device.
[[nodiscard]] uint32_t device_read(MachineAddr address);
void device_write(MachineAddr address, uint32_t value);

// Interrupt lines: what IO-APICs take in, numbered as ACPI's global system interrupts.
struct LineRoute {
    CpuId cpu{};
    uint8_t vector = 0;
    bool level = false;
    bool active_low = false;
};
[[nodiscard]] uint32_t line_count();
// Whether the hypervisor keeps the line for itself.
[[nodiscard]] bool line_is_reserved(uint32_t line);
// All of the line's entry; masked.
void set_up_line(uint32_t line, const LineRoute& route);
// The CPU alone, by one write: an interrupt comes to the one or to the other.
void send_line_to(uint32_t line, CpuId cpu);
void mask_line(uint32_t line, bool masked);

// Where a device writes its message for a CPU (Intel SDM vol. 3, section 11.11.1). EOPNOTSUPP: the CPU can't
// be named in eight bits.
[[nodiscard]] Result<uint32_t> message_address(CpuId cpu);

}  // namespace torii
