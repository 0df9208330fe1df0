#include "core/interrupt/config_ports.h"

#include "core/interrupt/interrupts.h"
#include "core/pci/message.h"

namespace torii {
namespace {

constexpr unsigned kFirstCapability = 0x40;

PciAddress device_of(uint32_t selector) {
    return {static_cast<uint8_t>(selector >> 16), static_cast<uint8_t>(selector >> 8)};
}
unsigned register_of(uint32_t selector, uint16_t port) {
    return (selector & 0xfc) | (port & 3);
}

// Which bits of one byte of a message capability the domain may write.
uint8_t writable_msi_bits(unsigned offset, bool is_set_up) {
    return offset == MsiRegisters::kControl && is_set_up ? MsiRegisters::kEnable : 0;
}
uint8_t writable_msix_bits(unsigned offset) {
    constexpr uint16_t kWritable = MsixRegisters::kEnable | MsixRegisters::kMaskAll;
    return offset == MsixRegisters::kControl + 1 ? kWritable >> 8 : 0;
}

struct Capability {
    unsigned start = 0;  // zero: there is none
    unsigned end = 0;
    [[nodiscard]] bool has(unsigned reg) const { return start != 0 && reg >= start && reg < end; }
};

Capability msi_of(PciAddress device) {
    Result<uint8_t> at = find_message_capability(device, MessageKind::kMsi);
    if (!at.ok()) return {};
    const MsiRegisters msi(static_cast<uint16_t>(pci_read(device, at.value() + MsiRegisters::kControl, 2)));
    return {at.value(), at.value() + msi.end()};
}
Capability msix_of(PciAddress device) {
    Result<uint8_t> at = find_message_capability(device, MessageKind::kMsiX);
    return at.ok() ? Capability{at.value(), at.value() + MsixRegisters::kEnd} : Capability{};
}

}  // namespace

bool is_config_data(uint32_t selector, uint16_t port, unsigned width) {
    constexpr uint32_t kSelected = 1u << 31;
    return (selector & kSelected) != 0 && port >= kPciDataPort && port + width <= kPciDataPort + 4u &&
           port % width == 0;
}

uint32_t read_config_data(uint32_t selector, uint16_t port, unsigned width) {
    return pci_read(device_of(selector), register_of(selector, port), width);
}

void write_config_data(uint32_t selector, uint16_t port, unsigned width, uint32_t value) {
    write_config_filtered(device_of(selector), register_of(selector, port), width, value);
}

[[gnu::cold]] void write_config_filtered(PciAddress device, unsigned reg, unsigned width, uint32_t value) {
    uint32_t writable = ~0u;
    if (reg >= kFirstCapability) {
        const Capability msi = msi_of(device), msix = msix_of(device);
        for (unsigned i = 0; i < width; ++i) {
            uint32_t bits = 0xff;
            // MSI may always be switched off.
            if (msi.has(reg + i)) {
                const bool is_set_up = device_interrupts.has_messages(device, MessageKind::kMsi);
                const bool off = (value >> (8 * i) & MsiRegisters::kEnable) == 0;
                bits = writable_msi_bits(reg + i - msi.start, is_set_up || off);
            } else if (msix.has(reg + i)) {
                bits = writable_msix_bits(reg + i - msix.start);
            }
            writable = (writable & ~(0xffu << (8 * i))) | bits << (8 * i);
        }
    }
    if (writable != ~0u) value = (pci_read(device, reg, width) & ~writable) | (value & writable);
    pci_write(device, reg, width, value);
}

}  // namespace torii
