#pragma once
// platform_op (public platform.h): rdi = guest pointer to PlatformOp. For the control domain only.

#include <torii/abi/basic_types.h>

#include <cstdint>

namespace torii::abi {

inline constexpr uint32_t kPlatformInterfaceVersion = 0x0300'0001;

enum class PlatformCommand : uint32_t {
    kSettime32 = 17,
    kAddMemtype = 31,
    kDelMemtype = 32,
    kReadMemtype = 33,
    kMicrocodeUpdate = 35,
    kPlatformQuirk = 39,
    kGetCpuVersion = 48,
    kEfiRuntimeCall = 49,
    kFirmwareInfo = 50,
    kEnterAcpiSleep = 51,
    kChangeFreq = 52,
    kGetidletime = 53,
    kSetProcessorPminfo = 54,
    kGetCpuinfo = 55,
    kCpuOnline = 56,
    kCpuOffline = 57,
    kCpuHotadd = 58,
    kMemHotadd = 59,
    kCoreParking = 60,
    kResourceOp = 61,
    kSettime64 = 62,
    kGetSymbol = 63,
};

struct PlatformSettime32 {
    uint32_t secs;
    uint32_t nsecs;
    uint64_t system_time;
};

struct PlatformSettime64 {
    uint64_t secs;
    uint32_t nsecs;
    uint32_t mbz;
    uint64_t system_time;
};

struct PlatformAddMemtype {
    uint64_t mfn;
    uint64_t nr_mfns;
    uint32_t type;
    uint32_t handle;
    uint32_t reg;
    uint32_t padding;
};

struct PlatformDelMemtype {
    uint32_t handle;
    uint32_t reg;
};

struct PlatformReadMemtype {
    uint32_t reg;
    uint32_t padding0;
    uint64_t mfn;
    uint64_t nr_mfns;
    uint32_t type;
    uint32_t padding1;
};

struct PlatformMicrocodeUpdate {
    GuestPtr64 data;
    uint32_t length;
    uint32_t padding;
};

struct PlatformQuirk {
    uint32_t quirk_id;
};

enum class EfiFunction : uint32_t {
    kGetTime = 1,
    kSetTime = 2,
    kGetWakeupTime = 3,
    kSetWakeupTime = 4,
    kGetNextHighMonotonicCount = 5,
    kGetVariable = 6,
    kSetVariable = 7,
    kGetNextVariableName = 8,
    kQueryVariableInfo = 9,
    kQueryCapsuleCapabilities = 10,
    kUpdateCapsule = 11,
};
// PlatformEfiCall::misc, for one function each
inline constexpr uint32_t kEfiGetTimeSetClearsNs = 1;
inline constexpr uint32_t kEfiGetWakeupTimeEnabled = 1, kEfiGetWakeupTimePending = 2;
inline constexpr uint32_t kEfiSetWakeupTimeEnable = 1, kEfiSetWakeupTimeEnableOnly = 2;
inline constexpr uint32_t kEfiVariableInfoBootSnapshot = 1;

// Both are laid out as EFI has them.
struct EfiTime {
    uint16_t year;
    uint8_t month;
    uint8_t day;
    uint8_t hour;
    uint8_t min;
    uint8_t sec;
    uint8_t padding0;
    uint32_t ns;
    int16_t tz;
    uint8_t daylight;
    uint8_t padding1;
};
struct EfiGuid {
    uint32_t data1;
    uint16_t data2;
    uint16_t data3;
    uint8_t data4[8];
};

struct EfiGetTime {
    EfiTime time;
    uint32_t resolution;
    uint32_t accuracy;
};
struct EfiVariable {
    GuestPtr64 name;  // UTF-16, ends with zero
    uint64_t size;    // of the data, in bytes
    GuestPtr64 data;
    EfiGuid vendor_guid;
};
struct EfiNextVariableName {
    uint64_t size;  // of the room for the name, in bytes
    GuestPtr64 name;
    EfiGuid vendor_guid;
};
struct EfiVariableInfo {
    uint32_t attr;
    uint32_t padding;
    uint64_t max_store_size;
    uint64_t remain_store_size;
    uint64_t max_size;
};

struct PlatformEfiCall {
    uint32_t function;  // EfiFunction
    uint32_t misc;
    uint64_t status;  // EFI's
    union {
        EfiGetTime get_time;
        EfiTime time;  // of set_time and of both wakeup times
        EfiVariable variable;
        EfiNextVariableName next_name;
        EfiVariableInfo variable_info;
    } u;
};

enum class FirmwareInfoType : uint32_t {
    kDiskInfo = 1,
    kDiskMbrSignature = 2,
    kVbeddcInfo = 3,
    kEfiInfo = 4,
    kKbdShiftFlags = 5,
};

enum class FirmwareEfiIndex : uint32_t {
    kVersion = 0,
    kConfigTable = 1,
    kVendor = 2,
    kMemInfo = 3,
    kRtVersion = 4,
    kPciRom = 5,
    kAppleProperties = 6,
};

struct FirmwareDiskInfo {
    uint8_t device;
    uint8_t version;
    uint16_t interface_support;
    uint16_t legacy_max_cylinder;
    uint8_t legacy_max_head;
    uint8_t legacy_sectors_per_track;
    GuestPtr64 edd_params;
};

struct FirmwareDiskMbrSignature {
    uint8_t device;
    uint8_t padding[3];
    uint32_t mbr_signature;
};

struct FirmwareVbeddcInfo {
    uint8_t capabilities;
    uint8_t edid_transfer_time;
    uint16_t padding[3];
    GuestPtr64 edid;  // 128 bytes
};

struct FirmwareEfiConfigTable {
    uint64_t addr;
    uint32_t nent;
    uint32_t padding;
};

struct FirmwareEfiVendor {
    uint32_t revision;
    uint32_t bufsz;
    GuestPtr64 name;
};

struct FirmwareEfiMemory {
    uint64_t addr;
    uint64_t size;
    uint64_t attr;
    uint32_t type;
    uint32_t padding;
};

struct FirmwareEfiPciRom {
    uint16_t segment;
    uint8_t bus;
    uint8_t devfn;
    uint16_t vendor;
    uint16_t devid;
    uint64_t address;
    uint64_t size;
};

struct FirmwareEfiAppleProperties {
    uint64_t address;
    uint64_t size;
};

union FirmwareEfiInfo {
    uint32_t version;
    FirmwareEfiConfigTable cfg;
    FirmwareEfiVendor vendor;
    FirmwareEfiMemory mem;
    FirmwareEfiPciRom pci_rom;
    FirmwareEfiAppleProperties apple_properties;
};

struct PlatformFirmwareInfo {
    uint32_t type;
    uint32_t index;
    union {
        FirmwareDiskInfo disk_info;
        FirmwareDiskMbrSignature disk_mbr_signature;
        FirmwareVbeddcInfo vbeddc_info;
        FirmwareEfiInfo efi_info;
        uint8_t kbd_shift_flags;
    } u;
};

struct PlatformEnterAcpiSleep {
    uint16_t val_a;  // for the PM1a control register, or the sleep control register
    uint16_t val_b;
    uint32_t sleep_state;
    uint32_t flags;
};
inline constexpr uint32_t kAcpiSleepExtended = 1;

struct PlatformChangeFreq {
    uint32_t flags;
    uint32_t cpu;
    uint64_t freq;
};

struct PlatformGetidletime {
    GuestPtr64 cpumap_bitmap;
    uint32_t cpumap_nr_cpus;
    uint32_t padding;
    GuestPtr64 idletime;
    uint64_t now;
};

struct PowerRegister {
    uint32_t space_id;
    uint32_t bit_width;
    uint32_t bit_offset;
    uint32_t access_size;
    uint64_t address;
};

struct ProcessorCsd {
    uint32_t domain;
    uint32_t coord_type;
    uint32_t num;
};

struct ProcessorCx {
    PowerRegister reg;
    uint8_t type;
    uint8_t padding[3];
    uint32_t latency;
    uint32_t power;
    uint32_t dpcnt;
    GuestPtr64 dp;
};

struct ProcessorPower {
    uint32_t count;
    uint32_t flags;
    GuestPtr64 states;
};

struct PctRegister {
    uint8_t descriptor;
    uint8_t padding0;
    uint16_t length;
    uint8_t space_id;
    uint8_t bit_width;
    uint8_t bit_offset;
    uint8_t reserved;
    uint64_t address;
};

struct ProcessorPx {
    uint64_t core_frequency;
    uint64_t power;
    uint64_t transition_latency;
    uint64_t bus_master_latency;
    uint64_t control;
    uint64_t status;
};

struct PsdPackage {
    uint64_t num_entries;
    uint64_t revision;
    uint64_t domain;
    uint64_t coord_type;
    uint64_t num_processors;
};

struct ProcessorPerformance {
    uint32_t flags;
    uint32_t platform_limit;
    PctRegister control_register;
    PctRegister status_register;
    uint32_t state_count;
    uint32_t padding0;
    GuestPtr64 states;
    PsdPackage domain_info;
    uint32_t shared_type;
    uint32_t padding1;
};

enum class ProcessorPmType : uint32_t {
    kCx = 0,
    kPx = 1,
    kTx = 2,
    kPdc = 3,
};

struct PlatformSetProcessorPminfo {
    uint32_t id;    // ACPI id
    uint32_t type;  // ProcessorPmType
    union {
        ProcessorPower power;
        ProcessorPerformance perf;
        GuestPtr64 pdc;
    } u;
};

struct PlatformCpuinfo {
    uint32_t xen_cpuid;    // in
    uint32_t max_present;  // out
    uint32_t flags;        // out
    uint32_t apic_id;      // out
    uint32_t acpi_id;      // out
};
inline constexpr uint32_t kPcpuFlagOnline = 1;
inline constexpr uint32_t kPcpuFlagInvalid = 2;

struct PlatformCpuVersion {
    uint32_t xen_cpuid;
    uint32_t max_present;
    char vendor_id[12];
    uint32_t family;
    uint32_t model;
    uint32_t stepping;
};

struct PlatformCpuOnline {
    uint32_t cpuid;
};

struct PlatformCpuHotadd {
    uint32_t apic_id;
    uint32_t acpi_id;
    uint32_t pxm;
};

struct PlatformMemHotadd {
    uint64_t spfn;
    uint64_t epfn;
    uint32_t pxm;
    uint32_t flags;
};

struct PlatformCoreParking {
    uint32_t type;
    uint32_t idle_nums;
};
inline constexpr uint32_t kCoreParkingSet = 1;
inline constexpr uint32_t kCoreParkingGet = 2;

struct PlatformResourceEntry {
    union {
        uint32_t cmd;
        int32_t ret;
    } u;
    uint32_t reserved;
    uint64_t idx;
    uint64_t val;
};
inline constexpr uint32_t kResourceOpMsrRead = 0;
inline constexpr uint32_t kResourceOpMsrWrite = 1;

struct PlatformResourceOp {
    uint32_t nr_entries;
    uint32_t cpu;
    GuestPtr64 entries;
};

struct PlatformSymbol {
    uint32_t namelen;
    uint32_t symnum;
    GuestPtr64 name;
    uint64_t address;
    char type;
    uint8_t padding[7];
};

struct PlatformOp {
    uint32_t cmd;  // PlatformCommand
    uint32_t interface_version;
    union {
        PlatformSettime32 settime32;
        PlatformSettime64 settime64;
        PlatformAddMemtype add_memtype;
        PlatformDelMemtype del_memtype;
        PlatformReadMemtype read_memtype;
        PlatformMicrocodeUpdate microcode;
        PlatformQuirk platform_quirk;
        PlatformEfiCall efi_call;
        PlatformFirmwareInfo firmware_info;
        PlatformEnterAcpiSleep enter_acpi_sleep;
        PlatformChangeFreq change_freq;
        PlatformGetidletime getidletime;
        PlatformSetProcessorPminfo set_pminfo;
        PlatformCpuinfo pcpu_info;
        PlatformCpuVersion pcpu_version;
        PlatformCpuOnline cpu_ol;
        PlatformCpuHotadd cpu_add;
        PlatformMemHotadd mem_add;
        PlatformCoreParking core_parking;
        PlatformResourceOp resource_op;
        PlatformSymbol symdata;
        uint8_t pad[128];
    } u;
};

}  // namespace torii::abi
