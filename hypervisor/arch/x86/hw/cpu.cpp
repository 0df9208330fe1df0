#include "arch/x86/hw/cpu.h"

#include <torii/abi/trap.h>

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/speculation.h"
#include "arch/x86/pv/pte.h"

extern "C" {
extern char syscall_stub[], syscall32_stub[], stub_page[], syscall_entry[], syscall32_entry[], trap_stubs[];
extern char isolated_syscall_stub[], isolated_syscall32_stub[], isolated_trap_stubs[];
extern char debug_stub[], isolated_debug_stub[], nmi_stub[], double_fault_stub[], machine_check_stub[];
}

namespace torii::hw {

constinit CpuFeatures features;

namespace {

// XCR0 components that fit one rule: saved by XSAVE, no supervisor state, no permission needed (Intel SDM
// vol. 1, section 13.1).
constexpr uint64_t kXcr0Known = 0xe7;  // x87, SSE, AVX, AVX-512

// IA32_PAT as Xen's public documentation gives it to PV guests: WB, WT, UC-, UC, WC, WP, UC, UC.
constexpr uint64_t kPatValue = 0x0000050100070406ull;

struct [[gnu::packed]] TablePointer {
    uint16_t limit;
    uint64_t base;
};

struct Gate {
    uint64_t low;
    uint64_t high;
};
alignas(kPageSize) constinit Gate interrupt_table[256]{};

uint64_t bit(unsigned n) {
    return uint64_t{1} << n;
}

void set_gate(unsigned vector, const char* handler, unsigned privilege, unsigned stack) {
    const auto address = reinterpret_cast<uint64_t>(handler);
    constexpr uint64_t kInterruptGate = uint64_t{0xe} << 40 | uint64_t{1} << 47;
    interrupt_table[vector].low = (address & 0xffff) | uint64_t{TORII_SELECTOR_CODE} << 16 |
                                  uint64_t{stack} << 32 | kInterruptGate | uint64_t{privilege} << 45 |
                                  ((address >> 16) & 0xffff) << 48;
    interrupt_table[vector].high = address >> 32;
}

void detect_xsave() {
    if (!features.xsave) return;
    const CpuidResult main = cpuid(0xd, 0);
    features.xcr0 = ((uint64_t{main.d} << 32) | main.a) & kXcr0Known;
    uint32_t bytes = 512 + 64;
    for (unsigned component = 2; component < 63; ++component) {
        if ((features.xcr0 & bit(component)) == 0) continue;
        const CpuidResult part = cpuid(0xd, component);
        if (part.b + part.a > bytes) bytes = part.b + part.a;
    }
    features.xsave_bytes = bytes;
}

// The hypervisor's part of the GDT: the page behind the guest's fourteen.
void fill_gdt(CpuId cpu, const TaskState& task_state) {
    auto* const entries = reinterpret_cast<uint64_t*>(area_of(cpu) + TORII_AREA_GDT + 14 * kPageSize);
    const auto at = [entries](uint32_t selector) -> uint64_t& { return entries[(selector - 0xe000) / 8]; };
    at(TORII_SELECTOR_CODE) = 0x00af9b000000ffff;        // ring 0, 64-bit
    at(TORII_SELECTOR_DATA) = 0x00cf93000000ffff;        // ring 0
    at(abi::kFlatRing3Cs32 & ~3u) = 0x00cffb000000ffff;  // ring 3, 32-bit
    at(abi::kFlatRing3Ss64 & ~3u) = 0x00cff3000000ffff;  // ring 3
    at(abi::kFlatRing3Cs64 & ~3u) = 0x00affb000000ffff;  // ring 3, 64-bit
    const auto base = reinterpret_cast<uint64_t>(&task_state);
    at(TORII_SELECTOR_TSS) = (sizeof(TaskState) - 1) | (base & 0xffffff) << 16 | uint64_t{0x89} << 40 |
                             ((base >> 24) & 0xff) << 56;
    at(TORII_SELECTOR_TSS + 8) = base >> 32;
}

void set_up_system_calls(CpuId cpu) {
    const uint64_t stub = area_of(cpu) + TORII_AREA_STUB;
    write_msr(kMsrStar, uint64_t{abi::kFlatRing3Cs32} << 48 | uint64_t{TORII_SELECTOR_CODE} << 32);
    const bool isolated = speculation.isolate_guests;
    const char* const wide = isolated ? isolated_syscall_stub : syscall_stub;
    const char* const narrow = isolated ? isolated_syscall32_stub : syscall32_stub;
    write_msr(kMsrLstar, stub + static_cast<uint64_t>(wide - stub_page));
    write_msr(kMsrCstar, stub + static_cast<uint64_t>(narrow - stub_page));
    write_msr(kMsrSyscallMask, pv::kFlagInterrupt | pv::kFlagTrap | pv::kFlagDirection | pv::kFlagNestedTask |
                                   pv::kFlagAlignment | pv::kFlagIopl);
    // SYSENTER without a stack faults to the guest as an illegal instruction would: selector 0.
    if (features.intel) write_msr(kMsrSysenterCs, 0);
}

}  // namespace

void detect_features() {
    const CpuidResult vendor = cpuid(0);
    features.intel = vendor.b == 0x756e6547;
    const CpuidResult basic = cpuid(1);
    const CpuidResult extended = cpuid(0x80000001);
    features.xsave = (basic.c & bit(26)) != 0;
    features.x2apic = (basic.c & bit(21)) != 0;
    features.tsc_deadline = (basic.c & bit(24)) != 0;
    features.no_execute = (extended.d & bit(20)) != 0;
    features.tsc_aux = (extended.d & bit(27)) != 0;
    features.large_1g = (extended.d & bit(26)) != 0;
    if (vendor.a >= 7) {
        const CpuidResult seven = cpuid(7);
        features.fsgsbase = (seven.b & bit(0)) != 0;
        features.smep = (seven.b & bit(7)) != 0;
        features.umip = (seven.c & bit(2)) != 0;
    }
    const uint32_t highest = cpuid(0x80000000).a;
    if (highest >= 0x80000007) features.invariant_tsc = (cpuid(0x80000007).d & bit(8)) != 0;
    if (highest >= 0x80000008) features.physical_bits = cpuid(0x80000008).a & 0xff;
    detect_xsave();
    pv::pte_limits.address_mask = ((uint64_t{1} << features.physical_bits) - 1) & kPageMask;
    if (!features.no_execute) pv::pte_limits.extra_refused = pv::kPteNoExecute;
}

void build_interrupt_table() {
    const bool isolated = speculation.isolate_guests;
    const char* const stubs = isolated ? isolated_trap_stubs : trap_stubs;
    for (unsigned vector = 0; vector < 256; ++vector)
        set_gate(vector, stubs + vector * 16, 0, 0);
    // What guests raise by an instruction of their own.
    for (const unsigned vector : {3u, 4u, 0x80u})
        set_gate(vector, stubs + vector * 16, 3, 0);
    set_gate(1, isolated ? isolated_debug_stub : debug_stub, 0, 4);
    set_gate(2, nmi_stub, 0, 1);
    set_gate(8, double_fault_stub, 0, 2);
    set_gate(18, machine_check_stub, 0, 3);
}

uint64_t interrupt_table_address() {
    return reinterpret_cast<uint64_t>(interrupt_table);
}

void set_up_cpu(CpuId cpu) {
    auto& me = *reinterpret_cast<CpuLocal*>(area_of(cpu) + TORII_AREA_LOCAL);
    const uint64_t area = area_of(cpu);
    uint64_t cr4 = read_cr4() | kCr4Pge | kCr4OsFxsr | kCr4OsXmmExcept;
    if (features.xsave) cr4 |= kCr4OsXsave;
    if (features.fsgsbase) cr4 |= kCr4FsGsBase;
    if (features.smep) cr4 |= kCr4Smep;
    write_cr4(cr4);
    if (features.xsave) write_xcr0(features.xcr0);
    if (features.no_execute) write_msr(kMsrEfer, read_msr(kMsrEfer) | kEferNoExecute | kEferSyscall);
    write_msr(kMsrPat, kPatValue);

    const auto stack_end = [&](uint64_t offset) {
        return area + offset + TORII_STACK_SIZE - sizeof(StackTop);
    };
    me.task_state.interrupt_stack[0] = stack_end(TORII_AREA_NMI_STACK);
    me.task_state.interrupt_stack[1] = stack_end(TORII_AREA_DOUBLE_FAULT_STACK);
    me.task_state.interrupt_stack[2] = stack_end(TORII_AREA_MACHINE_CHECK_STACK);
    me.task_state.interrupt_stack[3] = stack_end(TORII_AREA_DEBUG_STACK);
    me.task_state.stack[0] = stack_end(TORII_AREA_IDLE_STACK);
    for (const uint64_t top :
         {me.task_state.interrupt_stack[0], me.task_state.interrupt_stack[1],
          me.task_state.interrupt_stack[2], me.task_state.interrupt_stack[3], me.task_state.stack[0]})
        *reinterpret_cast<StackTop*>(top) = {nullptr, &me};
    me.syscall_target = reinterpret_cast<uint64_t>(syscall_entry);
    me.syscall32_target = reinterpret_cast<uint64_t>(syscall32_entry);
    fill_gdt(cpu, me.task_state);

    const TablePointer gdt{abi::kFirstReservedGdtByte + kPageSize - 1, area + TORII_AREA_GDT};
    const TablePointer idt{sizeof(interrupt_table) - 1, reinterpret_cast<uint64_t>(interrupt_table)};
    asm volatile("lgdt %0" : : "m"(gdt));
    asm volatile("lidt %0" : : "m"(idt));
    asm volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
                 :
                 : "i"(TORII_SELECTOR_CODE)
                 : "rax", "memory");
    asm volatile("movl %0, %%ss" : : "r"(TORII_SELECTOR_DATA));
    asm volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; movl %0, %%gs" : : "r"(0));
    asm volatile("lldt %w0" : : "r"(0));
    asm volatile("ltr %w0" : : "r"(TORII_SELECTOR_TSS));
    set_up_system_calls(cpu);
}

}  // namespace torii::hw
