#pragma once
// sched_op (public sched.h): rdi = SchedOp, rsi = guest pointer to the operation's structure (none for yield
// and block).

#include <torii/abi/basic_types.h>
#include <torii/abi/domid.h>

#include <cstdint>

namespace torii::abi {

enum class SchedOp : uint32_t {
    kYield = 0,
    kBlock = 1,  // unmasks events, then sleeps until one is pending
    kShutdown = 2,
    kPoll = 3,
    kRemoteShutdown = 4,
    kShutdownCode = 5,
    kWatchdog = 6,
    kPinOverride = 7,
};

enum class ShutdownReason : uint32_t {
    kPoweroff = 0,
    kReboot = 1,
    kSuspend = 2,
    kCrash = 3,
    kWatchdog = 4,
    kSoftReset = 5,
};
inline constexpr uint32_t kShutdownReasonMax = 5;

struct SchedShutdown {
    uint32_t reason;  // ShutdownReason
};

struct SchedPoll {
    GuestPtr64 ports;  // uint32_t[nr_ports]
    uint32_t nr_ports;
    uint32_t padding;
    uint64_t timeout;  // absolute system time in nanoseconds; zero: none
};

struct SchedRemoteShutdown {
    RawDomId domain_id;
    uint16_t padding;
    uint32_t reason;
};

struct SchedWatchdog {
    uint32_t id;       // zero: a new one
    uint32_t timeout;  // seconds; zero destroys it
};

struct SchedPinOverride {
    int32_t pcpu;  // negative: undo
};

// set_timer_op: rdi = absolute system time in nanoseconds; zero stops the timer.

}  // namespace torii::abi
