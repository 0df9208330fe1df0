// From one vCPU to another, and what a vCPU asks of its CPU (port/context.h, port/platform.h).
#include "port/context.h"

#include <torii/abi/trap.h>

#include <cstring>

#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/fpu.h"
#include "arch/x86/hw/guest_view.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/smp.h"
#include "arch/x86/hw/speculation.h"
#include "arch/x86/pv/bounce.h"
#include "arch/x86/pv/emulate.h"
#include "arch/x86/pv/pte.h"
#include "core/domain/vcpu_areas.h"
#include "core/memory/heap.h"
#include "port/machine.h"
#include "port/platform.h"

namespace torii {

using hw::CpuLocal;
using hw::local;

extern "C" {
void switch_stack(uint64_t* save, uint64_t load);
void first_run();
uint64_t load_ds_with_faults(uint16_t selector);
uint64_t load_es_with_faults(uint16_t selector);
uint64_t load_fs_with_faults(uint16_t selector);
uint64_t load_gs_with_faults(uint16_t selector);
void after_first_switch();
}

namespace {

void save_segments(Vcpu& vcpu) {
    pv::PvVcpu& state = vcpu.pv;
    asm volatile("movw %%ds, %0" : "=m"(state.ds));
    asm volatile("movw %%es, %0" : "=m"(state.es));
    asm volatile("movw %%fs, %0" : "=m"(state.fs));
    asm volatile("movw %%gs, %0" : "=m"(state.gs));
    const LiveBases bases = read_segment_bases();
    state.fs_base = bases.fs;
    const bool kernel = vcpu.entry.in_kernel_mode != 0;
    state.gs_base_kernel = kernel ? bases.active_gs : bases.inactive_gs;
    state.gs_base_user = kernel ? bases.inactive_gs : bases.active_gs;
}

// A selector that the guest's tables no longer back is what the failsafe callback is for.
void load_segments(Vcpu& vcpu) {
    const pv::PvVcpu& state = vcpu.pv;
    uint64_t failed = load_ds_with_faults(state.ds);
    failed |= load_es_with_faults(state.es);
    failed |= load_fs_with_faults(state.fs);
    failed |= load_gs_with_faults(state.gs);
    hw::write_msr(hw::kMsrFsBase, state.fs_base);
    const bool kernel = vcpu.entry.in_kernel_mode != 0;
    hw::write_msr(hw::kMsrGsBase, kernel ? state.gs_base_kernel : state.gs_base_user);
    hw::write_msr(hw::kMsrKernelGsBase, kernel ? state.gs_base_user : state.gs_base_kernel);
    if (failed != 0) pv::deliver_failsafe(vcpu, *state.registers);
}

void save_state(Vcpu& vcpu) {
    save_segments(vcpu);
    set_task_switched(false);
    hw::save_fpu(vcpu.pv.fpu_area);  // eager, all of it
}

void run_on(CpuLocal& cpu, uint64_t cr3, bool kernel_mode) {
    hw::load_cr3(cpu, cr3);
    if (hw::speculation.isolate_guests) [[unlikely]]
        hw::choose_guest_view(cpu, cr3, kernel_mode);
}

constexpr uint64_t kDr7Off = 0x400;

void load_debug_registers(const Vcpu& vcpu) {
    const uint64_t* const dr = vcpu.pv.debug_registers;
    if ((dr[7] & 0xff) == 0) {
        write_debug_register(7, kDr7Off);
        return;
    }
    for (const unsigned index : {0u, 1u, 2u, 3u, 6u, 7u})
        write_debug_register(index, dr[index]);
}

// The CPU may remember translations of the vCPU's domain from here on, until the marks are taken away: with
// the vCPU's registers, by whoever comes next. So nothing needs to look at them while the vCPU stays.
void mark_translations(CpuLocal& cpu, const Vcpu& vcpu) {
    CpuMask& dirty = vcpu.domain->dirty_cpus;
    if (!dirty.contains(cpu.id)) dirty.add(cpu.id);
    std::atomic<Rememberers>& held = cpu.for_others.translations_of;
    const Rememberers before = held.load(std::memory_order_relaxed);
    const Rememberers whose = Rememberers::only(vcpu.domain->id);
    // Until the other domain's are flushed, both.
    if (before != whose) held.store(before == Rememberers::nobody() ? whose : Rememberers::anyone());
}

// Its tables have been loaded, and what was remembered of others went with that.
void settle_translations(CpuLocal& cpu, const Vcpu& vcpu) {
    std::atomic<Rememberers>& held = cpu.for_others.translations_of;
    const Rememberers whose = Rememberers::only(vcpu.domain->id);
    if (held.load(std::memory_order_relaxed) != whose) held.store(whose, std::memory_order_release);
}

void forget_translations(CpuLocal& cpu) {
    run_on(cpu, address_of(hw::hypervisor_root).raw(), true);
    cpu.for_others.translations_of.store(Rememberers::nobody(), std::memory_order_release);
}

void load_state(CpuLocal& cpu, Vcpu& vcpu) {
    mark_translations(cpu, vcpu);
    load_gdt(vcpu);
    load_ldt(vcpu);
    load_address_space(vcpu);
    settle_translations(cpu, vcpu);
    load_guest_cr4(vcpu.pv.cr4);
    if (hw::features.xsave) hw::write_xcr0(hw::features.xcr0);
    hw::restore_fpu(vcpu.pv.fpu_area);
    if (hw::features.xsave && vcpu.pv.xcr0 != hw::features.xcr0) hw::write_xcr0(vcpu.pv.xcr0);
    load_debug_registers(vcpu);
    write_tsc_aux(vcpu.pv.tsc_aux);
    load_segments(vcpu);
    set_task_switched(vcpu.pv.task_switched);
}

// An idle CPU keeps nothing of the vCPU that it ran.
void leave_last_vcpu(CpuLocal& cpu) {
    if (cpu.last_loaded == nullptr) return;
    Vcpu& vcpu = *cpu.last_loaded;
    save_state(vcpu);
    cpu.last_loaded = nullptr;
    forget_translations(cpu);
    vcpu.domain->dirty_cpus.remove(cpu.id);
}

}  // namespace

void switch_context(Vcpu* from, Vcpu* to) {
    CpuLocal& cpu = local();
    cpu.current = to;
    if (to != nullptr) {
        hw::stack_top_of(reinterpret_cast<uint64_t>(to->pv.stack)).cpu = &cpu;
        const uint64_t top =
            reinterpret_cast<uint64_t>(to->pv.stack) + TORII_STACK_SIZE - sizeof(hw::StackTop);
        cpu.stack_top = top;
        if (!hw::speculation.isolate_guests) cpu.task_state.stack[0] = top;
    }
    // With one CPU, idle leaves the last vCPU's registers where they are; they are saved when another one
    // comes. With more, another CPU may ask for them.
    if (to == nullptr && cpu_count() != 1) leave_last_vcpu(cpu);
    if (Vcpu* const last = cpu.last_loaded; to != nullptr && last != to) {
        if (last != nullptr) save_state(*last);
        hw::wipe_entry_stacks(cpu, to);
        hw::barrier_between(cpu, *to);
        cpu.last_loaded = to;
        load_state(cpu, *to);
        if (last != nullptr && last->domain != to->domain) last->domain->dirty_cpus.remove(cpu.id);
    }
    uint64_t* const save = from != nullptr ? &from->pv.stack_pointer : &cpu.idle_stack_pointer;
    const uint64_t load = to != nullptr ? to->pv.stack_pointer : cpu.idle_stack_pointer;
    switch_stack(save, load);
}

void forget_vcpu_on_cpus(Vcpu& vcpu) {
    // Another domain may come to lie where this one did.
    for (unsigned i = 0; i < cpu_count(); ++i)
        hw::local_of(CpuId(i)).predictors_of = nullptr;
    CpuLocal& cpu = local();
    if (cpu.last_loaded != &vcpu) return;
    cpu.last_loaded = nullptr;
    if (cpu.current == nullptr) forget_translations(cpu);
    for (unsigned i = 0; i < abi::kFirstReservedGdtPage; ++i)
        hw::map_page(hw::area_of(cpu.id) + TORII_AREA_GDT + i * kPageSize, hw::empty_gdt_page,
                     hw::Protection::kReadOnly);
    asm volatile("lldt %w0" : : "r"(0));
}

extern "C" void after_first_switch() {
    vcpu_arrives(*current_vcpu());
}

Result<> create_vcpu_platform(Vcpu& vcpu) {
    vcpu.pv.stack = TRY(heap_allocate(TORII_STACK_SIZE));
    vcpu.pv.fpu_area = TRY(heap_allocate(hw::features.xsave_bytes));
    auto* const bytes = static_cast<unsigned char*>(vcpu.pv.fpu_area);
    constexpr uint16_t kControlWord = 0x37f;
    constexpr uint32_t kMxcsr = 0x1f80;
    memcpy(bytes, &kControlWord, sizeof(kControlWord));
    memcpy(bytes + 24, &kMxcsr, sizeof(kMxcsr));
    const uint64_t top = reinterpret_cast<uint64_t>(vcpu.pv.stack) + TORII_STACK_SIZE - sizeof(hw::StackTop);
    *reinterpret_cast<hw::StackTop*>(top) = {&vcpu, nullptr};
    vcpu.pv.registers = reinterpret_cast<pv::GuestRegisters*>(top - sizeof(pv::GuestRegisters));
    // What switch_stack pops: six registers, then where to go.
    auto* const frame = reinterpret_cast<uint64_t*>(vcpu.pv.registers) - 7;
    frame[6] = reinterpret_cast<uint64_t>(first_run);
    vcpu.pv.stack_pointer = reinterpret_cast<uint64_t>(frame);
    vcpu.entry.isolated = hw::speculation.isolate_guests ? 1 : 0;
    vcpu.pv.cr4 = pv::kInitialGuestCr4;
    vcpu.pv.debug_registers[6] = 0xffff0ff0;
    vcpu.pv.debug_registers[7] = kDr7Off;
    return {};
}

void destroy_vcpu_platform(Vcpu& vcpu) {
    forget_vcpu_on_cpus(vcpu);
    heap_free(vcpu.pv.stack);
    heap_free(vcpu.pv.fpu_area);
}

void poke(Vcpu& vcpu) {
    const CpuId cpu = vcpu.unit.cpu();
    if (cpu != this_cpu()) hw::apic_send(hw::local_of(cpu).apic_id, hw::kVectorPoke);
}

// --- port/context.h ---

void load_address_space(const Vcpu& vcpu) {
    if (local().last_loaded != &vcpu) return;
    const uint64_t cr3 = vcpu.entry.in_kernel_mode != 0 ? vcpu.entry.kernel_cr3 : vcpu.entry.user_cr3;
    run_on(local(), cr3 != 0 ? cr3 : address_of(hw::hypervisor_root).raw(), vcpu.entry.in_kernel_mode != 0);
}

void load_gdt(const Vcpu& vcpu) {
    const uint64_t window = hw::area_of(this_cpu()) + TORII_AREA_GDT;
    constexpr uint64_t kFlags =
        pv::kPtePresent | pv::kPteWrite | pv::kPteAccessed | pv::kPteDirty | pv::kPteNoExecute;
    const uint64_t empty = address_of(hw::empty_gdt_page).raw() | (kFlags & ~pv::kPteWrite);
    uint64_t* const entries = hw::entry_of(window);
    for (unsigned i = 0; i < abi::kFirstReservedGdtPage; ++i) {
        const Mfn mfn = vcpu.pv.gdt_frames[i];
        const uint64_t entry = mfn != Mfn{} ? address_of(mfn).raw() | kFlags : empty;
        if (entries[i] == entry) continue;
        entries[i] = entry;
        hw::invalidate_page(window + i * kPageSize);
    }
}

void load_ldt(const Vcpu& vcpu) {
    const uint64_t window = hw::area_of(this_cpu()) + TORII_AREA_LDT;
    uint64_t* const entries = hw::entry_of(window);
    for (unsigned i = 0; i < pv::kLdtPages; ++i) {
        if (entries[i] == 0) continue;
        entries[i] = 0;
        hw::invalidate_page(window + i * kPageSize);
    }
    if (vcpu.pv.ldt_entries == 0) {
        asm volatile("lldt %w0" : : "r"(0));
        return;
    }
    auto* const gdt = reinterpret_cast<uint64_t*>(hw::area_of(this_cpu()) + TORII_AREA_GDT + 14 * kPageSize);
    const uint64_t limit = vcpu.pv.ldt_entries * uint64_t{8} - 1;
    constexpr unsigned kSlot = (TORII_SELECTOR_LDT - 0xe000) / 8;
    gdt[kSlot] =
        (limit & 0xffff) | (window & 0xffffff) << 16 | uint64_t{0x82} << 40 | ((window >> 24) & 0xff) << 56;
    gdt[kSlot + 1] = window >> 32;
    asm volatile("lldt %w0" : : "r"(TORII_SELECTOR_LDT));
}

void map_ldt_page(unsigned page, Mfn mfn) {
    constexpr uint64_t kFlags =
        pv::kPtePresent | pv::kPteWrite | pv::kPteAccessed | pv::kPteDirty | pv::kPteNoExecute;
    const uint64_t address = hw::area_of(this_cpu()) + TORII_AREA_LDT + page * kPageSize;
    *hw::entry_of(address) = address_of(mfn).raw() | kFlags;
    hw::invalidate_page(address);
}

void write_fs_base(uint64_t base) {
    hw::write_msr(hw::kMsrFsBase, base);
}
void write_active_gs_base(uint64_t base) {
    hw::write_msr(hw::kMsrGsBase, base);
}
void write_inactive_gs_base(uint64_t base) {
    hw::write_msr(hw::kMsrKernelGsBase, base);
}

bool load_inactive_gs_selector(uint16_t selector) {
    swap_gs_bases();
    const bool loaded = load_gs_with_faults(selector) == 0;
    swap_gs_bases();
    return loaded;
}

void swap_gs_bases() {
    asm volatile("swapgs" : : : "memory");
}

void set_task_switched(bool on) {
    CpuLocal& cpu = local();
    if (cpu.task_switched == on) return;
    cpu.task_switched = on;
    if (on) {
        hw::write_cr0(hw::read_cr0() | hw::kCr0TaskSwitched);
    } else {
        hw::clear_task_switched();
    }
}

void write_debug_register(unsigned index, uint64_t value) {
    switch (index) {
        case 0:
            asm volatile("mov %0, %%dr0" : : "r"(value));
            return;
        case 1:
            asm volatile("mov %0, %%dr1" : : "r"(value));
            return;
        case 2:
            asm volatile("mov %0, %%dr2" : : "r"(value));
            return;
        case 3:
            asm volatile("mov %0, %%dr3" : : "r"(value));
            return;
        case 6:
            asm volatile("mov %0, %%dr6" : : "r"(value));
            return;
        case 7:
            asm volatile("mov %0, %%dr7" : : "r"(value));
            return;
        default:
            return;
    }
}

uint64_t take_debug_status() {
    uint64_t status = 0;
    asm volatile("mov %%dr6, %0" : "=r"(status));
    constexpr uint64_t kNothing = 0xffff0ff0;
    asm volatile("mov %0, %%dr6" : : "r"(kNothing));
    return status;
}

void flush_caches() {
    asm volatile("wbinvd" : : : "memory");
}

void write_guest_xcr0(uint64_t value) {
    if (hw::features.xsave) hw::write_xcr0(value);
}

uint64_t read_timestamp() {
    return hw::read_tsc();
}

LiveBases read_segment_bases() {
    return {.fs = hw::read_msr(hw::kMsrFsBase),
            .active_gs = hw::read_msr(hw::kMsrGsBase),
            .inactive_gs = hw::read_msr(hw::kMsrKernelGsBase)};
}

void write_tsc_aux(uint32_t value) {
    if (hw::features.tsc_aux) hw::write_msr(hw::kMsrTscAux, value);
}

void load_guest_cr4(uint64_t guest_cr4) {
    constexpr uint64_t kGuests = pv::kCr4Tsd | pv::kCr4De;
    uint64_t cr4 = (hw::read_cr4() & ~(kGuests | hw::kCr4FsGsBase)) | (guest_cr4 & kGuests);
    if (hw::features.fsgsbase && (guest_cr4 & pv::kCr4Fsgsbase) != 0) cr4 |= hw::kCr4FsGsBase;
    hw::write_cr4(cr4);
}

uint32_t read_port(uint16_t port, unsigned width) {
    if (width == 1) return hw::in8(port);
    if (width == 2) return hw::in16(port);
    return hw::in32(port);
}

void write_port(uint16_t port, unsigned width, uint32_t value) {
    if (width == 1) return hw::out8(port, static_cast<uint8_t>(value));
    if (width == 2) return hw::out16(port, static_cast<uint16_t>(value));
    hw::out32(port, value);
}

}  // namespace torii
