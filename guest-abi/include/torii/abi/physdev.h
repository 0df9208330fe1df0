#pragma once
// physdev_op (public physdev.h): rdi = PhysdevOp, rsi = guest pointer to the operation's structure.

#include <torii/abi/basic_types.h>
#include <torii/abi/domid.h>

#include <cstdint>

namespace torii::abi {

enum class PhysdevOp : uint32_t {
    kIrqUnmaskNotify = 4,  // superseded: the whole domain's unmasking
    kIrqStatusQuery = 5,
    kSetIopl = 6,
    kSetIobitmap = 7,
    kApicRead = 8,
    kApicWrite = 9,
    kAllocIrqVector = 10,
    kFreeIrqVector = 11,
    kEoi = 12,
    kMapPirq = 13,
    kUnmapPirq = 14,
    kManagePciAdd = 15,
    kManagePciRemove = 16,
    kPirqEoiGmfnV1 = 17,
    kRestoreMsi = 19,
    kManagePciAddExt = 20,
    kSetupGsi = 21,
    kGetFreePirq = 23,
    kPciMmcfgReserved = 24,
    kPciDeviceAdd = 25,
    kPciDeviceRemove = 26,
    kRestoreMsiExt = 27,
    kPirqEoiGmfnV2 = 28,
    kDbgpOp = 29,
    kPrepareMsix = 30,
    kReleaseMsix = 31,
};

struct PhysdevEoi {
    uint32_t irq;
};

struct PhysdevPirqEoiGmfn {
    uint64_t gmfn;
};

struct PhysdevIrqStatusQuery {
    uint32_t irq;    // in
    uint32_t flags;  // out
};
inline constexpr uint32_t kIrqStatusNeedsEoi = 1u << 0;
inline constexpr uint32_t kIrqStatusShared = 1u << 1;

struct PhysdevSetIopl {
    uint32_t iopl;
};

struct PhysdevSetIobitmap {
    GuestPtr64 bitmap;  // a set bit forbids the port
    uint32_t nr_ports;
    uint32_t padding;
};

struct PhysdevApic {
    uint64_t apic_physbase;
    uint32_t reg;
    uint32_t value;
};

struct PhysdevIrq {
    uint32_t irq;
    uint32_t vector;
};

enum class MapPirqType : int32_t {
    kMsi = 0,
    kGsi = 1,
    kUnknown = 2,
    kMsiSegment = 3,
    kMultiMsi = 4,
};

struct PhysdevMapPirq {
    RawDomId domid;
    uint16_t padding0;
    int32_t type;   // MapPirqType
    int32_t index;  // in: GSI; out for kMultiMsi
    int32_t pirq;   // in: wanted, or -1; out: given
    int32_t bus;    // high half: segment, for kMsiSegment
    int32_t devfn;
    int32_t entry_nr;
    uint32_t padding1;
    uint64_t table_base;
};

struct PhysdevUnmapPirq {
    RawDomId domid;
    uint16_t padding;
    int32_t pirq;
};

struct PhysdevManagePci {
    uint8_t bus;
    uint8_t devfn;
};

struct PhysdevRestoreMsi {
    uint8_t bus;
    uint8_t devfn;
};

struct PhysdevManagePciExt {
    uint8_t bus;
    uint8_t devfn;
    uint16_t padding0;
    uint32_t is_extfn;
    uint32_t is_virtfn;
    PhysdevManagePci physfn;
    uint16_t padding1;
};

// The argument of the superseded hypercall 19.
struct PhysdevCompatOp {
    uint32_t cmd;
    uint32_t padding;
    union {
        PhysdevIrqStatusQuery irq_status_query;
        PhysdevSetIopl set_iopl;
        PhysdevSetIobitmap set_iobitmap;
        PhysdevApic apic_op;
        PhysdevIrq irq_op;
    } u;
};

struct PhysdevSetupGsi {
    int32_t gsi;
    uint8_t triggering;  // 0: edge, 1: level
    uint8_t polarity;    // 0: active high, 1: active low
    uint16_t padding;
};

struct PhysdevGetFreePirq {
    int32_t type;   // MapPirqType
    uint32_t pirq;  // out
};

struct PhysdevPciMmcfgReserved {
    uint64_t address;
    uint16_t segment;
    uint8_t start_bus;
    uint8_t end_bus;
    uint32_t flags;
};
inline constexpr uint32_t kPciMmcfgReserved = 0x1;

// Followed by optional words, as flags tell.
struct PhysdevPciDeviceAdd {
    uint16_t seg;
    uint8_t bus;
    uint8_t devfn;
    uint32_t flags;
    PhysdevManagePci physfn;
    uint16_t padding;
};
inline constexpr uint32_t kPciDeviceExtFn = 0x1;
inline constexpr uint32_t kPciDeviceVirtFn = 0x2;
inline constexpr uint32_t kPciDevicePxm = 0x4;

// physdev_pci_device
struct PciDevice {
    uint16_t seg;
    uint8_t bus;
    uint8_t devfn;
};

struct PhysdevDbgpOp {
    uint8_t op;
    uint8_t bus;
    PciDevice pci;
};
inline constexpr uint8_t kDbgpResetPrepare = 1;
inline constexpr uint8_t kDbgpResetDone = 2;
inline constexpr uint8_t kDbgpBusUnknown = 0;
inline constexpr uint8_t kDbgpBusPci = 1;

}  // namespace torii::abi
