#pragma once
// Hypercalls, raw and typed. Each takes the form that the public headers give it; a negative result is an
// abi::Errno.

#include <torii/abi/callback.h>
#include <torii/abi/console_io.h>
#include <torii/abi/domctl.h>
#include <torii/abi/errno.h>
#include <torii/abi/event_channel.h>
#include <torii/abi/grant_table.h>
#include <torii/abi/hypercall_numbers.h>
#include <torii/abi/memory.h>
#include <torii/abi/mmu.h>
#include <torii/abi/multicall.h>
#include <torii/abi/physdev.h>
#include <torii/abi/platform.h>
#include <torii/abi/sched.h>
#include <torii/abi/sysctl.h>
#include <torii/abi/trap.h>
#include <torii/abi/vcpu.h>
#include <torii/abi/xen_version.h>

#include <cstdint>
#include <type_traits>

extern "C" uint8_t torii_hypercall_page[4096];

namespace torii::guest {

// How calls reach the hypervisor: by `syscall` in place, or through the page that it filled at our request.
enum class HypercallWay : uint8_t { kSyscall, kPage };
extern HypercallWay hypercall_way;

// Any argument that fits a register: numbers, pointers, enumerators.
template <typename T>
uint64_t register_value(T value) {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<uint64_t>(value);
    } else if constexpr (std::is_same_v<T, std::nullptr_t>) {
        return 0;
    } else {
        return static_cast<uint64_t>(value);
    }
}

inline int64_t raw_hypercall(uint64_t number, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0,
                             uint64_t a4 = 0, uint64_t a5 = 0) {
    register uint64_t r10 asm("r10") = a4;
    register uint64_t r8 asm("r8") = a5;
    uint64_t result = number;
    constexpr uint64_t kSlots = sizeof(torii_hypercall_page) / abi::kHypercallPageSlotBytes;
    if (hypercall_way == HypercallWay::kPage && number < kSlots) {
        const uint8_t* slot = torii_hypercall_page + number % kSlots * abi::kHypercallPageSlotBytes;
        asm volatile("call *%[slot]"
                     : "=a"(result), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                     : [slot] "r"(slot)
                     : "rcx", "r11", "memory");
    } else {
        asm volatile("syscall"
                     : "+a"(result), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                     :
                     : "rcx", "r11", "memory");
    }
    return static_cast<int64_t>(result);
}

template <typename... Arguments>
int64_t hypercall(abi::Hypercall number, Arguments... arguments) {
    return raw_hypercall(static_cast<uint64_t>(number), register_value(arguments)...);
}

template <typename T>
int64_t event_channel_op(abi::EventChannelOp op, T& argument) {
    return hypercall(abi::Hypercall::kEventChannelOp, op, &argument);
}

template <typename T>
int64_t grant_table_op(abi::GrantTableOp op, T* array, uint32_t count = 1) {
    return hypercall(abi::Hypercall::kGrantTableOp, op, array, count);
}

template <typename T>
int64_t memory_op(abi::MemoryOp op, T& argument) {
    return hypercall(abi::Hypercall::kMemoryOp, op, &argument);
}

template <typename T>
int64_t sched_op(abi::SchedOp op, T& argument) {
    return hypercall(abi::Hypercall::kSchedOp, op, &argument);
}
inline int64_t sched_op(abi::SchedOp op) {
    return hypercall(abi::Hypercall::kSchedOp, op, nullptr);
}

template <typename T>
int64_t vcpu_op(abi::VcpuOp op, uint32_t vcpu, T& argument) {
    return hypercall(abi::Hypercall::kVcpuOp, op, vcpu, &argument);
}
inline int64_t vcpu_op(abi::VcpuOp op, uint32_t vcpu) {
    return hypercall(abi::Hypercall::kVcpuOp, op, vcpu, nullptr);
}

template <typename T>
int64_t physdev_op(abi::PhysdevOp op, T& argument) {
    return hypercall(abi::Hypercall::kPhysdevOp, op, &argument);
}

template <typename T>
int64_t xen_version(abi::VersionOp op, T* argument) {
    return hypercall(abi::Hypercall::kXenVersion, op, argument);
}

inline int64_t console_io(abi::ConsoleIoOp op, uint64_t count, const void* bytes) {
    return hypercall(abi::Hypercall::kConsoleIo, op, count, bytes);
}

inline int64_t mmu_update(const abi::MmuUpdate* updates, uint64_t count, uint32_t* done = nullptr,
                          uint64_t domain = abi::kDomIdSelf) {
    return hypercall(abi::Hypercall::kMmuUpdate, updates, count, done, domain);
}

inline int64_t mmuext_op(const abi::MmuextOp* operations, uint64_t count, uint32_t* done = nullptr,
                         uint64_t domain = abi::kDomIdSelf) {
    return hypercall(abi::Hypercall::kMmuextOp, operations, count, done, domain);
}

inline int64_t update_va_mapping(uint64_t address, uint64_t entry, uint64_t flags = abi::kUvmfInvlpg) {
    return hypercall(abi::Hypercall::kUpdateVaMapping, address, entry, flags);
}

inline int64_t multicall(abi::MulticallEntry* entries, uint64_t count) {
    return hypercall(abi::Hypercall::kMulticall, entries, count);
}

inline int64_t vm_assist(abi::VmAssistCommand command, abi::VmAssistType type) {
    return hypercall(abi::Hypercall::kVmAssist, command, type);
}

inline int64_t set_segment_base(abi::SegmentBase which, uint64_t base) {
    return hypercall(abi::Hypercall::kSetSegmentBase, which, base);
}

inline int64_t stack_switch(uint64_t selector, uint64_t stack) {
    return hypercall(abi::Hypercall::kStackSwitch, selector, stack);
}

inline int64_t set_trap_table(const abi::TrapInfo* table) {
    return hypercall(abi::Hypercall::kSetTrapTable, table);
}

template <typename T>
int64_t callback_op(abi::CallbackOp op, T& argument) {
    return hypercall(abi::Hypercall::kCallbackOp, op, &argument);
}

// Operations on one structure of their own.
inline int64_t platform_op(abi::PlatformOp& op) {
    return hypercall(abi::Hypercall::kPlatformOp, &op);
}
inline int64_t sysctl(abi::Sysctl& op) {
    return hypercall(abi::Hypercall::kSysctl, &op);
}
inline int64_t domctl(abi::Domctl& op) {
    return hypercall(abi::Hypercall::kDomctl, &op);
}

}  // namespace torii::guest
