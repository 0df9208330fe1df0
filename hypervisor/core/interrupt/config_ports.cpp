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

// The bytes of a capability that are the domain's, and the others, which stay.
void write_msi_byte(PciAddress device, unsigned start, unsigned at, uint8_t wanted) {
    if (at != start + MsiRegisters::kControl) return;
    constexpr auto kEnable = static_cast<uint8_t>(MsiRegisters::kEnable);
    const bool on = (wanted & kEnable) != 0 && device_interrupts.has_messages(device, MessageKind::kMsi);
    const uint32_t current = pci_read(device, at, 1);
    pci_write(device, at, 1, (current & ~uint32_t{kEnable}) | (on ? kEnable : 0));
}

// A kernel switches MSI-X on before it maps the first message, masked as a whole; so it stays until then.
void write_msix_byte(PciAddress device, unsigned start, unsigned at, uint8_t wanted) {
    if (at != start + MsixRegisters::kControl + 1) return;
    constexpr auto kEnable = static_cast<uint8_t>(MsixRegisters::kEnable >> 8);
    constexpr auto kMaskAll = static_cast<uint8_t>(MsixRegisters::kMaskAll >> 8);
    constexpr uint32_t kBoth = kEnable | kMaskAll;
    if ((wanted & kEnable) != 0 && !device_interrupts.has_messages(device, MessageKind::kMsiX))
        wanted |= kMaskAll;
    pci_write(device, at, 1, (pci_read(device, at, 1) & ~kBoth) | (wanted & kBoth));
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

bool is_config_data(uint16_t port, unsigned width) {
    return port + width > kPciDataPort && port < kPciDataPort + 4u;
}

namespace {

// Whether such an access reaches a register of the function that is selected.
bool reaches(uint32_t selector, uint16_t port, unsigned width) {
    constexpr uint32_t kSelected = 1u << 31;
    return (selector & kSelected) != 0 && port >= kPciDataPort && port + width <= kPciDataPort + 4u &&
           port % width == 0;
}

}  // namespace

uint32_t read_config_data(uint32_t selector, uint16_t port, unsigned width) {
    if (!reaches(selector, port, width)) return width == 4 ? ~0u : (1u << (8 * width)) - 1;
    return pci_read(device_of(selector), register_of(selector, port), width);
}

void write_config_data(uint32_t selector, uint16_t port, unsigned width, uint32_t value) {
    if (!reaches(selector, port, width)) return;
    write_config_filtered(device_of(selector), register_of(selector, port), width, value);
}

[[gnu::cold]] void write_config_filtered(PciAddress device, unsigned reg, unsigned width, uint32_t value) {
    const Capability msi = reg < kFirstCapability ? Capability{} : msi_of(device);
    const Capability msix = reg < kFirstCapability ? Capability{} : msix_of(device);
    bool passes = true;
    for (unsigned i = 0; i < width; ++i)
        passes = passes && !msi.has(reg + i) && !msix.has(reg + i);
    if (passes) return pci_write(device, reg, width, value);
    // Byte by byte: what is the hypervisor's is not written at all, since it may be about to change it.
    for (unsigned i = 0; i < width; ++i) {
        const unsigned at = reg + i;
        const auto byte = static_cast<uint8_t>(value >> (8 * i));
        if (msi.has(at)) {
            write_msi_byte(device, msi.start, at, byte);
        } else if (msix.has(at)) {
            write_msix_byte(device, msix.start, at, byte);
        } else {
            pci_write(device, at, 1, byte);
        }
    }
}

}  // namespace torii
