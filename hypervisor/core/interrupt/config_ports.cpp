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

// What one byte of a capability becomes when the domain writes `wanted` to it.
uint8_t msi_byte(PciAddress device, unsigned offset, uint8_t wanted, uint8_t current) {
    if (offset != MsiRegisters::kControl) return current;
    constexpr auto kEnable = static_cast<uint8_t>(MsiRegisters::kEnable);
    const bool on = (wanted & kEnable) != 0 && device_interrupts.has_messages(device, MessageKind::kMsi);
    return static_cast<uint8_t>((current & ~kEnable) | (on ? kEnable : 0));
}

// A kernel switches MSI-X on before it maps the first message, masked as a whole; so it stays until then.
uint8_t msix_byte(PciAddress device, unsigned offset, uint8_t wanted, uint8_t current) {
    if (offset != MsixRegisters::kControl + 1) return current;
    constexpr auto kEnable = static_cast<uint8_t>(MsixRegisters::kEnable >> 8);
    constexpr auto kMaskAll = static_cast<uint8_t>(MsixRegisters::kMaskAll >> 8);
    if ((wanted & kEnable) != 0 && !device_interrupts.has_messages(device, MessageKind::kMsiX))
        wanted |= kMaskAll;
    return static_cast<uint8_t>((current & ~(kEnable | kMaskAll)) | (wanted & (kEnable | kMaskAll)));
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
    const Capability msi = reg < kFirstCapability ? Capability{} : msi_of(device);
    const Capability msix = reg < kFirstCapability ? Capability{} : msix_of(device);
    uint32_t written = 0;
    for (unsigned i = 0; i < width; ++i) {
        const unsigned at = reg + i;
        auto byte = static_cast<uint8_t>(value >> (8 * i));
        if (msi.has(at)) {
            byte = msi_byte(device, at - msi.start, byte, static_cast<uint8_t>(pci_read(device, at, 1)));
        } else if (msix.has(at)) {
            byte = msix_byte(device, at - msix.start, byte, static_cast<uint8_t>(pci_read(device, at, 1)));
        }
        written |= uint32_t{byte} << (8 * i);
    }
    pci_write(device, reg, width, written);
}

}  // namespace torii
