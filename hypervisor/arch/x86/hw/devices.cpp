// port/devices.h on the metal: configuration space by ports, registers through a window.
#include "port/devices.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/pv/pte.h"
#include "base/lock.h"
#include "port/frames.h"

namespace torii {
namespace {

// PCI Local Bus Specification 3.0, section 3.2.2.3.2.
constexpr uint16_t kSelectPort = 0xcf8, kDataPort = 0xcfc;
constexpr uint32_t kSelected = 1u << 31;
constinit Spinlock config_lock{LockRank::kPci};

uint16_t select(PciAddress device, unsigned reg) {
    hw::out32(kSelectPort,
              kSelected | uint32_t{device.bus} << 16 | uint32_t{device.devfn} << 8 | (reg & 0xfc));
    return static_cast<uint16_t>(kDataPort + (reg & 3));
}

// A register of a device, through one of the CPU's windows.
class DeviceRegister {
public:
    explicit DeviceRegister(MachineAddr address) : page_(hw::map_device_window(frame_of(address))) {
        register_ = reinterpret_cast<volatile uint32_t*>(static_cast<unsigned char*>(page_) +
                                                         offset_in_page(address));
    }
    DeviceRegister(const DeviceRegister&) = delete;
    ~DeviceRegister() { window_unmap(page_); }
    volatile uint32_t& operator*() const { return *register_; }

private:
    void* page_;
    volatile uint32_t* register_;
};

}  // namespace

uint32_t pci_read(PciAddress device, unsigned reg, unsigned width) {
    const LockGuard guard(config_lock);
    const uint16_t port = select(device, reg);
    return width == 1 ? hw::in8(port) : width == 2 ? hw::in16(port) : hw::in32(port);
}

void pci_write(PciAddress device, unsigned reg, unsigned width, uint32_t value) {
    const LockGuard guard(config_lock);
    const uint16_t port = select(device, reg);
    if (width == 1) return hw::out8(port, static_cast<uint8_t>(value));
    if (width == 2) return hw::out16(port, static_cast<uint16_t>(value));
    hw::out32(port, value);
}

uint32_t device_read(MachineAddr address) {
    return *DeviceRegister(address);
}

void device_write(MachineAddr address, uint32_t value) {
    *DeviceRegister(address) = value;
}

}  // namespace torii
