// A PCI function's messages: the MSI and MSI-X capabilities (PCI Local Bus Specification 3.0, section 6.8.1
// and 6.8.2). Address and data of every message are the hypervisor's; the control domain switches messages on
// and off, and may mask them besides.
#pragma once

#include <cstdint>

#include "base/frame.h"
#include "base/result.h"
#include "port/devices.h"

namespace torii {

enum class MessageKind : uint8_t { kMsi, kMsiX };

// One message's place in its device.
struct MessagePlace {
    PciAddress device{};
    MessageKind kind = MessageKind::kMsi;
    uint8_t capability = 0;  // offset in configuration space
    uint8_t index = 0;       // MSI: which of the messages that differ by the low bits of their data
    MachineAddr entry{};     // MSI-X: of the table's entry
};

// MSI's registers behind the capability's offset.
class MsiRegisters {
public:
    explicit constexpr MsiRegisters(uint16_t control) : control_(control) {}
    [[nodiscard]] constexpr bool is_wide() const { return (control_ & kWide) != 0; }
    [[nodiscard]] constexpr bool has_masks() const { return (control_ & kHasMasks) != 0; }
    [[nodiscard]] constexpr unsigned most() const { return 1u << (control_ >> 1 & 7); }
    [[nodiscard]] constexpr unsigned data() const { return is_wide() ? 0xc : 8; }
    [[nodiscard]] constexpr unsigned masks() const { return is_wide() ? 0x10 : 0xc; }
    // One past the capability's last register.
    [[nodiscard]] constexpr unsigned end() const { return has_masks() ? masks() + 8 : data() + 2; }
    static constexpr unsigned kControl = 2, kAddress = 4, kAddressHigh = 8;
    static constexpr uint16_t kEnable = 1, kWide = 1u << 7, kHasMasks = 1u << 8, kEnabledShift = 4,
                              kEnabledMask = 7u << 4;

private:
    uint16_t control_;
};

struct MsixRegisters {
    static constexpr unsigned kControl = 2, kTable = 4, kPending = 8, kEnd = 12;
    static constexpr uint16_t kEnable = 1u << 15, kMaskAll = 1u << 14, kSizeMask = 0x7ff;
    static constexpr unsigned kEntryBytes = 16, kEntryHigh = 4, kEntryData = 8, kEntryControl = 12;
    static constexpr uint32_t kEntryMasked = 1;
};

// The offset of the capability; ENODEV: the function has none, or a list that leads nowhere.
[[nodiscard]] Result<uint8_t> find_message_capability(PciAddress device, MessageKind kind);

// MSI's places are all one. EINVAL: not so many messages.
[[nodiscard]] Result<MessagePlace> msi_place(PciAddress device, unsigned count);
// Entry `index` of the MSI-X table. Where the BAR of the table is empty, as a virtual function's, `told` is
// where the control domain says that it lies. EINVAL: no such entry. ENXIO: the function's memory is switched
// off, or has no address. EPERM: the table would lie in RAM or in the hypervisor's own devices.
[[nodiscard]] Result<MessagePlace> msix_place(PciAddress device, unsigned index, MachineAddr told);
// First frame of the MSI-X table and their number; none without one.
struct FrameRange {
    Mfn first{};
    uint64_t count = 0;
};
[[nodiscard]] FrameRange msix_table_frames(PciAddress device);

// Writes address and data; `count` messages share them (MSI, a power of two). The place is masked where that
// is possible, and MSI is switched off.
void set_up_message(const MessagePlace& place, uint32_t address, uint8_t vector, unsigned count);
// The address alone: by one write, or behind the mask.
void send_message_to(const MessagePlace& place, uint32_t address);
void mask_message(const MessagePlace& place, bool masked);
// MSI is switched off; an MSI-X entry is masked.
void retire_message(const MessagePlace& place);

}  // namespace torii
