#pragma once
// Event channels (public event_channel.h): rdi = EventChannelOp, rsi = guest pointer to the operation's
// structure.

#include <torii/abi/domid.h>

#include <cstdint>

namespace torii::abi {

using RawPort = uint32_t;

enum class EventChannelOp : uint32_t {
    kBindInterdomain = 0,
    kBindVirq = 1,
    kBindPirq = 2,
    kClose = 3,
    kSend = 4,
    kStatus = 5,
    kAllocUnbound = 6,
    kBindIpi = 7,
    kBindVcpu = 8,
    kUnmask = 9,
    kReset = 10,
    kInitControl = 11,
    kExpandArray = 12,
    kSetPriority = 13,
    kResetContinue = 14,  // the hypervisor's own continuation of kReset
};

struct EventAllocUnbound {
    RawDomId dom;         // in: whose port
    RawDomId remote_dom;  // in: who may bind it
    RawPort port;         // out
};

struct EventBindInterdomain {
    RawDomId remote_dom;  // in
    uint16_t padding;
    RawPort remote_port;  // in
    RawPort local_port;   // out
};

struct EventBindVirq {
    uint32_t virq;  // in
    uint32_t vcpu;  // in
    RawPort port;   // out
};

struct EventBindPirq {
    uint32_t pirq;   // in
    uint32_t flags;  // in
    RawPort port;    // out
};
inline constexpr uint32_t kBindPirqWillShare = 1;

struct EventBindIpi {
    uint32_t vcpu;  // in
    RawPort port;   // out
};

struct EventClose {
    RawPort port;
};

struct EventSend {
    RawPort port;
};

enum class EventStatusKind : uint32_t {
    kClosed = 0,
    kUnbound = 1,
    kInterdomain = 2,
    kPirq = 3,
    kVirq = 4,
    kIpi = 5,
};

struct EventStatusInterdomain {
    RawDomId dom;
    uint16_t padding;
    RawPort port;
};

struct EventStatus {
    RawDomId dom;  // in
    uint16_t padding;
    RawPort port;     // in
    uint32_t status;  // out: EventStatusKind
    uint32_t vcpu;    // out: who is notified
    union {
        struct {
            RawDomId dom;
        } unbound;
        EventStatusInterdomain interdomain;
        uint32_t pirq;
        uint32_t virq;
    } u;
};

struct EventBindVcpu {
    RawPort port;
    uint32_t vcpu;
};

struct EventUnmask {
    RawPort port;
};

struct EventReset {
    RawDomId dom;
};

struct EventInitControl {
    uint64_t control_gfn;  // in: frame that holds the control block
    uint32_t offset;       // in: of the block in that frame, a multiple of 8
    uint32_t vcpu;         // in
    uint8_t link_bits;     // out: width of the link field in an event word
    uint8_t pad[7];
};

struct EventExpandArray {
    uint64_t array_gfn;
};

struct EventSetPriority {
    RawPort port;
    uint32_t priority;
};

// The argument of the superseded hypercall 16.
struct EventCompatOp {
    uint32_t cmd;
    union {
        EventAllocUnbound alloc_unbound;
        EventBindInterdomain bind_interdomain;
        EventBindVirq bind_virq;
        EventBindPirq bind_pirq;
        EventBindIpi bind_ipi;
        EventClose close;
        EventSend send;
        EventStatus status;
        EventBindVcpu bind_vcpu;
        EventUnmask unmask;
    } u;
};

// The FIFO layout: one word per port, sixteen queues per virtual CPU.
inline constexpr uint32_t kFifoPriorityMax = 0;
inline constexpr uint32_t kFifoPriorityDefault = 7;
inline constexpr uint32_t kFifoPriorityMin = 15;
inline constexpr uint32_t kFifoMaxQueues = 16;

using FifoEventWord = uint32_t;
inline constexpr unsigned kFifoPendingBit = 31;
inline constexpr unsigned kFifoMaskedBit = 30;
inline constexpr unsigned kFifoLinkedBit = 29;
inline constexpr unsigned kFifoBusyBit = 28;
inline constexpr unsigned kFifoLinkBits = 17;
inline constexpr uint32_t kFifoLinkMask = (1u << kFifoLinkBits) - 1;
inline constexpr uint32_t kFifoChannelCount = 1u << kFifoLinkBits;

struct FifoControlBlock {
    uint32_t ready;  // bit per queue that is not empty
    uint32_t reserved;
    uint32_t head[kFifoMaxQueues];  // port of the first linked event, 0 when empty
};

}  // namespace torii::abi
