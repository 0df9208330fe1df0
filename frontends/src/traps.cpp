#include <torii/abi/callback.h>
#include <torii/guest/console.h>
#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

extern "C" {
extern const uint64_t torii_trap_entries[];
extern const uint8_t torii_failsafe_entry[];
extern uint64_t torii_catch_stack;
extern uint64_t torii_failsafe_selectors[4];
extern const uint8_t torii_catch_landing[];
bool torii_run_catching(void (*function)(void*), void* argument);
[[noreturn]] void torii_resume_context();
void torii_guest_trap(torii::guest::TrapContext* context);
}

namespace torii::guest {

namespace {

constexpr size_t kVectorCount = 259;
constexpr uint64_t kExceptionCount = 22;
// In torii_trap_entries the software interrupt and the callbacks follow the exceptions.
constexpr size_t kSystemCall80Entry = 22;
constexpr size_t kEventEntry = 23;
constexpr size_t kSyscallEntry = 24;

TrapHandler g_handlers[kVectorCount];

constexpr size_t kStackPages = 4;
Page g_kernel_stack[kStackPages];
Page g_user_stack[kStackPages];

// What the innermost catch_trap() saw.
Caught g_caught;

// Its own, since the first touch of a bad stack may be what is reported.
void report_unexpected(const TrapContext& context) {
    print("Unexpected trap {} (error code {x}) at {x}, cs {x}, rflags {x}, rsp {x}, ss {x}, cr2 {x}\n",
          context.vector, context.error_code, context.rip, context.cs, context.rflags, context.rsp,
          context.ss, vcpu_info().arch.cr2);
    print("rax {x} rbx {x} rcx {x} rdx {x} rsi {x} rdi {x}\n", context.rax, context.rbx, context.rcx,
          context.rdx, context.rsi, context.rdi);
}

void resume_at_catcher(TrapContext& context) {
    g_caught.happened = true;
    g_caught.context = context;
    g_caught.cr2 = vcpu_info().arch.cr2;
    __builtin_memcpy(g_caught.selectors, torii_failsafe_selectors, sizeof(g_caught.selectors));
    context.rip = reinterpret_cast<uint64_t>(torii_catch_landing);
    context.rsp = torii_catch_stack;
    context.cs = kKernelCs;
    context.ss = kKernelSs;
    // Trap flag, nested task, alignment check and direction must not go on.
    context.rflags &= ~uint64_t{0x4'4500};
}

}  // namespace

void set_trap_handler(uint64_t vector, TrapHandler handler) {
    g_handlers[vector] = handler;
}

uint64_t trap_entry(uint64_t vector) {
    if (vector < kExceptionCount) return torii_trap_entries[vector];
    if (vector == kVectorSystemCall80) return torii_trap_entries[kSystemCall80Entry];
    if (vector == kVectorEvent) return torii_trap_entries[kEventEntry];
    if (vector == kVectorSyscall) return torii_trap_entries[kSyscallEntry];
    if (vector == kVectorFailsafe) return reinterpret_cast<uint64_t>(torii_failsafe_entry);
    return 0;
}

void register_traps() {
    static abi::TrapInfo table[kExceptionCount + 2];
    for (uint64_t vector = 0; vector < kExceptionCount; ++vector) {
        // Breakpoint and overflow may be raised by user mode.
        const uint8_t ring = vector == kVectorBreakpoint || vector == kVectorOverflow ? 3 : 0;
        table[vector] = {static_cast<uint8_t>(vector), ring, abi::kFlatRing3Cs64, 0, trap_entry(vector)};
    }
    table[kExceptionCount] = {static_cast<uint8_t>(kVectorSystemCall80), 3, abi::kFlatRing3Cs64, 0,
                              trap_entry(kVectorSystemCall80)};
    table[kExceptionCount + 1] = {};
    const int64_t traps = set_trap_table(table);
    const int64_t callbacks = hypercall(abi::Hypercall::kSetCallbacks, trap_entry(kVectorEvent),
                                        trap_entry(kVectorFailsafe), trap_entry(kVectorSyscall));
    if (traps != 0 || callbacks != 0) error("traps could not be registered: {} {}", traps, callbacks);
}

Caught run_catching(void (*function)(void*), void* argument) {
    g_caught = {};
    const bool trapped = torii_run_catching(function, argument);
    Caught caught = g_caught;
    caught.happened = trapped;
    return caught;
}

void enter_user_mode(uint64_t rip, uint64_t stack, uint64_t rflags) {
    raw_iret({.rax = 0,
              .r11 = 0,
              .rcx = 0,
              .flags = 0,
              .rip = rip,
              .cs = abi::kFlatRing3Cs64,
              .rflags = rflags,
              .rsp = stack,
              .ss = abi::kFlatRing3Ss64});
}

void prepare_user_mode() {
    static bool ready;
    if (ready) return;
    const uint64_t stack_top = virtual_address(&g_kernel_stack[kStackPages]);
    const int64_t stack = stack_switch(kKernelSs, stack_top);
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kNewUserBaseptr);
    op.arg1.mfn = mfn_of(boot_l4());
    const int64_t table = mmuext_op(&op, 1);
    if (stack != 0 || table != 0) error("user mode could not be prepared: {} {}", stack, table);
    ready = true;
}

Caught run_in_user_mode(const void* code, uint64_t rflags) {
    prepare_user_mode();
    return catch_trap(
        [&] { enter_user_mode(virtual_address(code), virtual_address(&g_user_stack[kStackPages]), rflags); });
}

void raw_iret(const abi::IretContext& frame) {
    asm volatile(
        "mov %0, %%rsp\n\t"
        "mov %1, %%eax\n\t"
        "syscall\n\t"
        "ud2"
        :
        : "r"(&frame), "i"(static_cast<uint32_t>(abi::Hypercall::kIret))
        : "memory");
    __builtin_unreachable();
}

}  // namespace torii::guest

extern "C" void torii_guest_trap(torii::guest::TrapContext* context) {
    using namespace torii::guest;
    const uint64_t vector = context->vector;
    if (vector == kVectorEvent) {
        poll_events();
        return;
    }
    if (const TrapHandler handler = g_handlers[vector]; handler != nullptr && handler(*context)) return;
    if (torii_catch_stack != 0) {
        resume_at_catcher(*context);
        return;
    }
    report_unexpected(*context);
    report(Outcome::kError, {}, 0, {});
    print("Torii test result: ERROR unexpected_trap\n");
    shutdown(torii::abi::ShutdownReason::kCrash);
}
