#pragma once
// The parts of domctl (public domctl.h) that concern device assignment, debuggers, tracing and cache control.

#include <torii/abi/basic_types.h>
#include <torii/abi/domid.h>

#include <cstdint>

namespace torii::abi {

enum class AssignDeviceKind : uint32_t {
    kPci = 0,
    kDeviceTree = 1,
};
inline constexpr uint32_t kAssignDeviceRdmRelaxed = 1;

struct DomctlAssignDeviceTree {
    uint32_t size;
    uint32_t padding;
    GuestPtr64 path;
};

struct DomctlAssignDevice {
    uint32_t dev;  // AssignDeviceKind
    uint32_t flags;
    union {
        uint32_t machine_sbdf;  // segment << 16 | bus << 8 | devfn
        DomctlAssignDeviceTree dt;
    } u;
};

struct DomctlGetDeviceGroup {
    uint32_t machine_sbdf;
    uint32_t max_sdevs;
    uint32_t num_sdevs;
    uint32_t padding;
    GuestPtr64 sdev_array;
};

enum class PassThroughIrqType : uint32_t {
    kPci = 0,
    kIsa = 1,
    kMsi = 2,
    kMsiTranslate = 3,
    kSpi = 4,
};

struct DomctlBindPtIrqPci {
    uint8_t bus;
    uint8_t device;
    uint8_t intx;
};

struct DomctlBindPtIrqMsi {
    uint8_t gvec;
    uint8_t padding[3];
    uint32_t gflags;
    uint64_t gtable;
};

struct DomctlBindPtIrq {
    uint32_t machine_irq;
    uint32_t irq_type;  // PassThroughIrqType
    union {
        uint8_t isa_irq;
        DomctlBindPtIrqPci pci;
        DomctlBindPtIrqMsi msi;
        uint16_t spi;
    } u;
};

inline constexpr uint32_t kMappingAdd = 1;
inline constexpr uint32_t kMappingRemove = 0;

struct DomctlMemoryMapping {
    uint64_t first_gfn;
    uint64_t first_mfn;
    uint64_t nr_mfns;
    uint32_t add_mapping;
    uint32_t padding;
};

struct DomctlIoportMapping {
    uint32_t first_gport;
    uint32_t first_mport;
    uint32_t nr_ports;
    uint32_t add_mapping;
};

struct DomctlGdbsxMemio {
    uint64_t pgd3val;
    uint64_t gva;
    uint64_t uva;
    uint32_t len;
    uint8_t gwr;
    uint8_t padding[3];
    uint32_t remain;
    uint32_t padding1;
};

struct DomctlGdbsxPauseVcpu {
    uint32_t vcpu;
};

struct DomctlGdbsxDomstatus {
    uint8_t paused;
    uint8_t padding[3];
    uint32_t vcpu_id;
    uint32_t vcpu_ev;
};

struct DomctlVmEventOp {
    uint32_t op;
    uint32_t mode;
    union {
        uint32_t enable_port;
        uint32_t version;
    } u;
};

struct DomctlMemSharingOp {
    uint8_t op;
    union {
        uint8_t enable;
    } u;
};

struct DomctlPsrCmtOp {
    uint32_t cmd;
    uint32_t data;
};

struct DomctlPsrAlloc {
    uint32_t cmd;
    uint32_t target;
    uint64_t data;
};

struct DomctlVmtraceOp {
    uint32_t cmd;
    uint32_t vcpu;
    uint64_t key;
    uint64_t value;
};

}  // namespace torii::abi
