#include "arch/x86/pv/guest_context.h"

#include <cstring>

#include "base/once.h"

namespace torii::pv {
namespace {

constexpr size_t kFxsaveBytes = 512;

}  // namespace

void save_guest_context(const Vcpu& vcpu, abi::VcpuGuestContext& context) {
    memset(static_cast<void*>(&context), 0, sizeof(context));
    const GuestRegisters& from = *vcpu.pv.registers;
    abi::CpuUserRegs& to = context.user_regs;
    to.r15 = from.r15, to.r14 = from.r14, to.r13 = from.r13, to.r12 = from.r12, to.rbp = from.rbp,
    to.rbx = from.rbx;
    to.r11 = from.r11, to.r10 = from.r10, to.r9 = from.r9, to.r8 = from.r8, to.rax = from.rax,
    to.rcx = from.rcx;
    to.rdx = from.rdx, to.rsi = from.rsi, to.rdi = from.rdi, to.rip = from.rip,
    to.rflags = from.rflags | (uint64_t{vcpu.pv.iopl} << 12), to.rsp = from.rsp;
    to.cs = static_cast<uint16_t>(from.cs), to.ss = static_cast<uint16_t>(from.ss);
    to.ds = vcpu.pv.ds, to.es = vcpu.pv.es, to.fs = vcpu.pv.fs, to.gs = vcpu.pv.gs;
    if (const abi::VcpuInfo* const info = vcpu.events.info.load(); info != nullptr)
        to.saved_upcall_mask = EventVcpu::read_upcall_mask(*info) ? 1 : 0;

    if (vcpu.pv.fpu_area != nullptr) {
        memcpy(context.fpu_ctxt, vcpu.pv.fpu_area, kFxsaveBytes);
        context.flags |= abi::kVgcfI387Valid;
    }
    if (vcpu.entry.in_kernel_mode != 0) context.flags |= abi::kVgcfInKernel;
    if (vcpu.pv.failsafe_masks_events) context.flags |= abi::kVgcfFailsafeDisablesEvents;
    if (vcpu.entry.syscall_masks_events != 0) context.flags |= abi::kVgcfSyscallDisablesEvents;
    if (vcpu.up.load()) context.flags |= abi::kVgcfOnline;

    for (unsigned i = 0; i < kVectors; ++i) {
        const TrapGate& gate = vcpu.pv.gates[i];
        context.trap_ctxt[i].vector = static_cast<uint8_t>(i);
        context.trap_ctxt[i].flags = gate.flags;
        context.trap_ctxt[i].cs = gate.cs;
        context.trap_ctxt[i].address = gate.address;
    }
    context.ldt_base = vcpu.pv.ldt_base;
    context.ldt_ents = vcpu.pv.ldt_entries;
    for (unsigned i = 0; i < abi::kFirstReservedGdtPage; ++i)
        context.gdt_frames[i] = vcpu.pv.gdt_frames[i].raw();
    context.gdt_ents = vcpu.pv.gdt_entries;
    context.kernel_ss = vcpu.pv.kernel_ss;
    context.kernel_sp = vcpu.entry.kernel_sp;
    context.ctrlreg[1] = abi::cr3_from_mfn(vcpu.pv.user_root.raw());
    context.ctrlreg[3] = abi::cr3_from_mfn(vcpu.pv.kernel_root.raw());
    context.ctrlreg[4] = vcpu.pv.cr4;
    for (unsigned i = 0; i < 8; ++i)
        context.debugreg[i] = vcpu.pv.debug_registers[i];
    context.event_callback_eip = vcpu.pv.event_callback;
    context.failsafe_callback_eip = vcpu.pv.failsafe_callback;
    context.syscall_callback_eip = vcpu.entry.syscall_callback;
    context.vm_assist = read_once(vcpu.domain->vm_assist);
    context.fs_base = vcpu.pv.fs_base;
    context.gs_base_kernel = vcpu.pv.gs_base_kernel;
    context.gs_base_user = vcpu.pv.gs_base_user;
}

}  // namespace torii::pv
