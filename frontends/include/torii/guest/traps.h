#pragma once
// Exceptions. By default one that nobody waits for ends the domain with a report; code that expects one runs
// in catch_trap(), which ends it at the trap and says what happened.

#include <torii/abi/trap.h>

#include <cstdint>
#include <memory>
#include <type_traits>

namespace torii::guest {

inline constexpr uint64_t kVectorDivide = 0;
inline constexpr uint64_t kVectorDebug = 1;
inline constexpr uint64_t kVectorNmi = 2;
inline constexpr uint64_t kVectorBreakpoint = 3;
inline constexpr uint64_t kVectorOverflow = 4;
inline constexpr uint64_t kVectorInvalidOpcode = 6;
inline constexpr uint64_t kVectorDeviceNotAvailable = 7;
inline constexpr uint64_t kVectorSegmentNotPresent = 11;
inline constexpr uint64_t kVectorStackSegment = 12;
inline constexpr uint64_t kVectorGeneralProtection = 13;
inline constexpr uint64_t kVectorPageFault = 14;
inline constexpr uint64_t kVectorSystemCall80 = 128;
// Callbacks, as the kit numbers them.
inline constexpr uint64_t kVectorEvent = 256;
inline constexpr uint64_t kVectorFailsafe = 257;
inline constexpr uint64_t kVectorSyscall = 258;

// The interrupted state, as the entry code lays it out.
struct TrapContext {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector;
    uint64_t error_code;
    uint64_t rip;
    uint64_t cs;  // bits 0-15 the selector, 32-39 the event mask
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;

    bool from_user_mode() const { return (cs & 3) == 3; }
};

// Selectors in which the hypervisor shows and takes kernel mode: the code selector has ring 0 in its low
// bits, the stack selector is as the CPU has it.
inline constexpr uint64_t kKernelCs = abi::kFlatRing3Cs64 & ~3u;
inline constexpr uint64_t kKernelSs = abi::kFlatRing3Ss64;

// Registers the kit's trap table and callbacks.
void register_traps();

// The kit's entry point for a vector, for tests that write their own table; zero for vectors it has none for.
uint64_t trap_entry(uint64_t vector);

// Called before anything else at a trap of that vector; true: resume at the (perhaps changed) context. Null
// removes it.
using TrapHandler = bool (*)(TrapContext& context);
void set_trap_handler(uint64_t vector, TrapHandler handler);

struct Caught {
    bool happened = false;
    TrapContext context{};
    uint64_t cr2 = 0;            // of vcpu_info, for page faults
    uint64_t selectors[4] = {};  // ds, es, fs, gs, for the failsafe callback

    bool is(uint64_t vector) const { return happened && context.vector == vector; }
    bool is(uint64_t vector, uint64_t error_code) const {
        return is(vector) && context.error_code == error_code;
    }
};

Caught run_catching(void (*function)(void*), void* argument);

// Runs `function`; a trap in it (or in user mode that it enters) ends it.
template <typename Function>
Caught catch_trap(Function&& function) {
    using Plain = std::remove_reference_t<Function>;
    return run_catching([](void* argument) { (*static_cast<Plain*>(argument))(); },
                        const_cast<void*>(static_cast<const void*>(std::addressof(function))));
}

// Enters user mode at `rip` with `stack`, by hypercall iret; comes back only through a trap, so call it in
// catch_trap(). The user page table must be set (mmuext kNewUserBaseptr).
[[noreturn]] void enter_user_mode(uint64_t rip, uint64_t stack, uint64_t rflags = 0x202);

// Makes user mode enterable: gives the kernel a stack for traps from there, and user mode the same address
// space. Idempotent.
void prepare_user_mode();

// Runs `code` in user mode on a stack of its own until it traps.
Caught run_in_user_mode(const void* code, uint64_t rflags = 0x202);

// Hypercall iret with a frame of the caller's making.
[[noreturn]] void raw_iret(const abi::IretContext& frame);

}  // namespace torii::guest
