#pragma once
// vcpu_op (public vcpu.h): rdi = VcpuOp, rsi = virtual CPU number, rdx = guest pointer to the operation's
// structure.

#include <torii/abi/basic_types.h>

#include <cstdint>

namespace torii::abi {

enum class VcpuOp : uint32_t {
    kInitialise = 0,  // VcpuGuestContext
    kUp = 1,
    kDown = 2,
    kIsUp = 3,
    kGetRunstateInfo = 4,
    kRegisterRunstateMemoryArea = 5,
    kSetPeriodicTimer = 6,
    kStopPeriodicTimer = 7,
    kSetSingleshotTimer = 8,
    kStopSingleshotTimer = 9,
    kRegisterVcpuInfo = 10,
    kSendNmi = 11,
    kGetPhysid = 12,
    kRegisterVcpuTimeMemoryArea = 13,
};

enum class RunState : int32_t {
    kRunning = 0,
    kRunnable = 1,
    kBlocked = 2,
    kOffline = 3,
};

struct VcpuRunstateInfo {
    int32_t state;  // RunState
    uint32_t padding;
    uint64_t state_entry_time;  // system time; with kRunstateUpdate while the area is being written
    uint64_t time[4];           // nanoseconds spent in each state
};
inline constexpr uint64_t kRunstateUpdate = uint64_t{1} << 63;

// Areas by virtual address; the address must stay mapped in every address space the virtual CPU runs in.
struct VcpuRegisterRunstateMemoryArea {
    GuestPtr64 address;
};

struct VcpuRegisterTimeMemoryArea {
    GuestPtr64 address;
};

struct VcpuSetPeriodicTimer {
    uint64_t period_ns;
};

struct VcpuSetSingleshotTimer {
    uint64_t timeout_abs_ns;
    uint32_t flags;
    uint32_t padding;
};
inline constexpr uint32_t kSingleshotTimerFuture = 1u
                                                   << 0;  // once -ETIME for a past moment; 4.17.7 ignores it

struct VcpuRegisterVcpuInfo {
    uint64_t mfn;
    uint32_t offset;  // of the VcpuInfo in that frame; it must not cross the frame's end
    uint32_t reserved;
};

struct VcpuGetPhysid {
    uint64_t phys_id;  // low half: APIC id; high half: ACPI id
};

}  // namespace torii::abi
