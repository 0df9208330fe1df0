#include "core/pci/registers.h"

#include "core/memory/frame_table.h"
#include "core/memory/io_frames.h"

namespace torii::pci {
namespace {

constexpr unsigned kVendor = 0x00, kCommand = 0x04, kStatus = 0x06, kHeaderType = 0x0e, kFirstBar = 0x10,
                   kCapabilities = 0x34, kFirstCapability = 0x40;

}  // namespace

[[gnu::cold]] bool is_present(PciAddress device) {
    const uint32_t vendor = pci_read(device, kVendor, 2);
    return vendor != 0xffff && vendor != 0;
}

[[gnu::cold]] Result<uint8_t> find_capability(PciAddress device, uint8_t id) {
    constexpr uint32_t kHasCapabilities = 1u << 4;
    if (!is_present(device) || (pci_read(device, kStatus, 2) & kHasCapabilities) == 0) return Errno::kENODEV;
    uint32_t at = pci_read(device, kCapabilities, 1);
    // A device whose list is a circle has no more capabilities than fit.
    for (unsigned left = (256 - kFirstCapability) / 4; left > 0; --left) {
        at &= ~3u;
        if (at < kFirstCapability) return Errno::kENODEV;
        const uint32_t header = pci_read(device, at, 2);
        if ((header & 0xff) == 0xff) return Errno::kENODEV;
        if ((header & 0xff) == id) return static_cast<uint8_t>(at);
        at = header >> 8;
    }
    return Errno::kENODEV;
}

[[gnu::cold]] Result<MachineAddr> memory_bar(PciAddress device, unsigned index) {
    // Bridges have two.
    const unsigned bars = (pci_read(device, kHeaderType, 1) & 0x7f) == 0 ? kBars : 2;
    if (index >= bars) return Errno::kENXIO;
    const uint32_t low = pci_read(device, kFirstBar + 4 * index, 4);
    constexpr uint32_t kPorts = 1, kTypeMask = 6, kWide = 4, kFlags = 0xf;
    if ((low & kPorts) != 0) return Errno::kENXIO;
    uint64_t address = low & ~kFlags;
    if ((low & kTypeMask) == kWide) {
        if (index + 1 >= bars) return Errno::kENXIO;
        address |= uint64_t{pci_read(device, kFirstBar + 4 * (index + 1), 4)} << 32;
    }
    return MachineAddr(address);
}

[[gnu::cold]] bool memory_is_on(PciAddress device) {
    constexpr uint32_t kMemory = 2;
    return (pci_read(device, kCommand, 2) & kMemory) != 0;
}

[[gnu::cold]] bool may_be_device_memory(Mfn mfn) {
    constexpr unsigned kAddressBits = 52;
    if ((mfn.raw() >> (kAddressBits - kPageShift)) != 0 || is_reserved_io_frame(mfn)) return false;
    return !frame_exists(mfn) || frame_at(mfn).owner() == kOwnerIo;
}

}  // namespace torii::pci
