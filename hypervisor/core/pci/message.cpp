#include "core/pci/message.h"

#include "core/pci/registers.h"
#include "port/machine.h"

namespace torii {
namespace {

constexpr uint8_t kMsiCapability = 0x05, kMsixCapability = 0x11;

uint16_t control_of(PciAddress device, unsigned capability) {
    return static_cast<uint16_t>(pci_read(device, capability + MsiRegisters::kControl, 2));
}

// The mask of one MSI message, where there are masks.
void mask_msi(const MessagePlace& place, bool masked) {
    const MsiRegisters msi(control_of(place.device, place.capability));
    if (!msi.has_masks()) return;
    const unsigned reg = place.capability + msi.masks();
    const uint32_t bit = 1u << place.index;
    const uint32_t masks = pci_read(place.device, reg, 4);
    pci_write(place.device, reg, 4, masked ? masks | bit : masks & ~bit);
}

void mask_entry(MachineAddr entry, bool masked) {
    const MachineAddr control = entry + MsixRegisters::kEntryControl;
    const uint32_t before = device_read(control);
    const uint32_t after =
        masked ? before | MsixRegisters::kEntryMasked : before & ~MsixRegisters::kEntryMasked;
    if (after != before) device_write(control, after);
}

// Where the table of MSI-X begins; `told` counts where the BAR is empty.
Result<MachineAddr> table_address(PciAddress device, unsigned capability, MachineAddr told) {
    const uint32_t table = pci_read(device, capability + MsixRegisters::kTable, 4);
    const unsigned index = table & 7;
    if (index >= pci::kBars) return Errno::kENXIO;
    const MachineAddr base = TRY(pci::memory_bar(device, index));
    if (base.raw() == 0 && told.raw() == 0) return Errno::kENXIO;
    return (base.raw() != 0 ? base : told) + (table & ~7u);
}

}  // namespace

[[gnu::cold]] Result<uint8_t> find_message_capability(PciAddress device, MessageKind kind) {
    return pci::find_capability(device, kind == MessageKind::kMsi ? kMsiCapability : kMsixCapability);
}

[[gnu::cold]] Result<MessagePlace> msi_place(PciAddress device, unsigned count) {
    const uint8_t capability = TRY(find_message_capability(device, MessageKind::kMsi));
    if (count == 0 || count > MsiRegisters(control_of(device, capability)).most()) return Errno::kEINVAL;
    return MessagePlace{device, MessageKind::kMsi, capability, 0, {}};
}

[[gnu::cold]] Result<MessagePlace> msix_place(PciAddress device, unsigned index, MachineAddr told) {
    const uint8_t capability = TRY(find_message_capability(device, MessageKind::kMsiX));
    if (index > (control_of(device, capability) & MsixRegisters::kSizeMask)) return Errno::kEINVAL;
    if (!pci::memory_is_on(device)) return Errno::kENXIO;
    const MachineAddr table = TRY(table_address(device, capability, told));
    const MachineAddr entry = table + index * MsixRegisters::kEntryBytes;
    if (entry.raw() % MsixRegisters::kEntryBytes != 0 || !pci::may_be_device_memory(frame_of(entry)))
        return Errno::kEPERM;
    return MessagePlace{device, MessageKind::kMsiX, capability, 0, entry};
}

[[gnu::cold]] FrameRange msix_table_frames(PciAddress device) {
    Result<uint8_t> capability = find_message_capability(device, MessageKind::kMsiX);
    if (!capability.ok()) return {};
    Result<MachineAddr> table = table_address(device, capability.value(), MachineAddr{});
    if (!table.ok()) return {};
    const uint64_t entries = (control_of(device, capability.value()) & MsixRegisters::kSizeMask) + 1u;
    const Mfn last = frame_of(table.value() + (entries * MsixRegisters::kEntryBytes - 1));
    return {frame_of(table.value()), last.raw() - frame_of(table.value()).raw() + 1};
}

[[gnu::cold]] void set_up_message(const MessagePlace& place, uint32_t address, uint8_t vector,
                                  unsigned count) {
    if (place.kind == MessageKind::kMsiX) {
        mask_entry(place.entry, true);
        device_write(place.entry, address);
        device_write(place.entry + MsixRegisters::kEntryHigh, 0);
        device_write(place.entry + MsixRegisters::kEntryData, vector);
        return;
    }
    const uint16_t control = control_of(place.device, place.capability);
    const MsiRegisters msi(control);
    const auto enabled = static_cast<uint32_t>(__builtin_ctz(count)) << MsiRegisters::kEnabledShift;
    pci_write(place.device, place.capability + MsiRegisters::kControl, 2,
              (control & ~(MsiRegisters::kEnable | MsiRegisters::kEnabledMask)) | enabled);
    if (msi.has_masks()) pci_write(place.device, place.capability + msi.masks(), 4, ~0u);
    pci_write(place.device, place.capability + MsiRegisters::kAddress, 4, address);
    if (msi.is_wide()) pci_write(place.device, place.capability + MsiRegisters::kAddressHigh, 4, 0);
    pci_write(place.device, place.capability + msi.data(), 2, vector);
}

[[gnu::cold]] void send_message_to(const MessagePlace& place, uint32_t address) {
    if (place.kind == MessageKind::kMsi) {
        pci_write(place.device, place.capability + MsiRegisters::kAddress, 4, address);
        return;
    }
    // What would come meanwhile becomes pending in the device, and comes afterwards.
    const bool masked =
        (device_read(place.entry + MsixRegisters::kEntryControl) & MsixRegisters::kEntryMasked) != 0;
    mask_entry(place.entry, true);
    device_write(place.entry, address);
    if (!masked) mask_entry(place.entry, false);
}

[[gnu::cold]] void mask_message(const MessagePlace& place, bool masked) {
    if (place.kind == MessageKind::kMsi) {
        mask_msi(place, masked);
    } else {
        mask_entry(place.entry, masked);
    }
}

[[gnu::cold]] void retire_message(const MessagePlace& place) {
    if (place.kind == MessageKind::kMsiX) return mask_entry(place.entry, true);
    const uint16_t control = control_of(place.device, place.capability);
    pci_write(place.device, place.capability + MsiRegisters::kControl, 2, control & ~MsiRegisters::kEnable);
    mask_msi(place, true);
}

}  // namespace torii
