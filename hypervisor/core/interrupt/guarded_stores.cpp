#include "core/interrupt/guarded_stores.h"

#include "core/interrupt/config_ports.h"
#include "core/interrupt/interrupts.h"
#include "core/memory/io_frames.h"
#include "port/devices.h"

namespace torii {
namespace {

void write_message_table(MachineAddr address, unsigned width, uint64_t value) {
    // The mask is the lowest bit of an entry's last word: whatever else is stored, that bit counts.
    for (unsigned i = 0; i < width; ++i) {
        const MachineAddr at = address + i;
        if (at.raw() % MsixRegisters::kEntryBytes != MsixRegisters::kEntryControl) continue;
        device_interrupts.mask_for_domain(at - MsixRegisters::kEntryControl,
                                          (value >> (8 * i) & MsixRegisters::kEntryMasked) != 0);
    }
}

// PCI Express Base Specification, section 7.2.2: bus, device and function, and 12 bits of the register.
void write_configuration(const GuardedRange& range, MachineAddr address, unsigned width, uint64_t value) {
    const uint64_t offset = address.raw() - range.start.raw();
    const unsigned reg = offset & 0xfff;
    if (width > 4 || reg % width != 0) return;
    constexpr unsigned kOfPorts = 256;
    if (reg >= kOfPorts) return device_write(address, width, static_cast<uint32_t>(value));
    const PciAddress device{static_cast<uint8_t>(offset >> 20), static_cast<uint8_t>(offset >> 12)};
    write_config_filtered(device, reg, width, static_cast<uint32_t>(value));
}

}  // namespace

[[gnu::cold]] void write_guarded(MachineAddr address, unsigned width, uint64_t value) {
    // What is stored at once as eight bytes is two registers.
    if (width == 8) {
        write_guarded(address, 4, value & 0xffffffff);
        return write_guarded(address + 4, 4, value >> 32);
    }
    const GuardedRange range = guarded_range_at(address);
    if (range.bytes == 0) return device_write(address, width, static_cast<uint32_t>(value));
    if (range.kind == IoGuard::kMessageTable) return write_message_table(address, width, value);
    write_configuration(range, address, width, value);
}

}  // namespace torii
