#include "arch/x86/pv/vcpu_context.h"

#include "arch/x86/pv/address_space.h"
#include "arch/x86/pv/descriptor_tables.h"
#include "arch/x86/pv/pte.h"
#include "core/call/guest_ptr.h"

namespace torii::pv {
namespace {

constexpr uint64_t kMostLdtEntries = 8192;
constexpr uint64_t kFlagsFixed = 1u << 1;
// What a guest may not have in its flags: I/O privilege and interrupts off are the hypervisor's.
constexpr uint64_t kFlagsTaken = kFlagIopl | kFlagNestedTask | kFlagVm86;

bool gates_ok(const abi::VcpuGuestContext& context) {
    for (const abi::TrapInfo& gate : context.trap_ctxt) {
        if (!is_canonical(gate.address)) return false;
    }
    return true;
}

bool ldt_ok(const abi::VcpuGuestContext& context) {
    if (context.ldt_ents > kMostLdtEntries) return false;
    if (context.ldt_ents == 0) return true;
    return context.ldt_base % kPageSize == 0 && is_canonical(context.ldt_base) &&
           guest_range_ok(context.ldt_base, context.ldt_ents * 8);
}

bool addresses_ok(const abi::VcpuGuestContext& context) {
    for (const uint64_t address :
         {context.user_regs.rip, context.event_callback_eip, context.failsafe_callback_eip,
          context.syscall_callback_eip, context.fs_base, context.gs_base_kernel, context.gs_base_user}) {
        if (!is_canonical(address)) return false;
    }
    // The entry code writes below the kernel stack pointer without looking again.
    return context.kernel_sp == 0 ||
           (is_canonical(context.kernel_sp) && guest_range_ok(context.kernel_sp - kPageSize, kPageSize));
}

bool debug_registers_ok(const abi::VcpuGuestContext& context) {
    for (unsigned i = 0; i < 4; ++i) {
        if (!is_canonical(context.debugreg[i]) || !guest_range_ok(context.debugreg[i], 8)) return false;
    }
    // Breakpoints are armed by set_debugreg, which knows the rules.
    return context.debugreg[7] == 0 || (context.debugreg[7] & 0xff) == 0;
}

void set_registers(Vcpu& vcpu, const abi::CpuUserRegs& from) {
    GuestRegisters& to = *vcpu.pv.registers;
    to = {};
    to.r15 = from.r15;
    to.r14 = from.r14;
    to.r13 = from.r13;
    to.r12 = from.r12;
    to.rbp = from.rbp;
    to.rbx = from.rbx;
    to.r11 = from.r11;
    to.r10 = from.r10;
    to.r9 = from.r9;
    to.r8 = from.r8;
    to.rax = from.rax;
    to.rcx = from.rcx;
    to.rdx = from.rdx;
    to.rsi = from.rsi;
    to.rdi = from.rdi;
    to.rip = from.rip;
    to.rsp = from.rsp;
    to.rflags = (from.rflags & ~kFlagsTaken & 0xffffffff) | kFlagInterrupt | kFlagsFixed;
    // The I/O privilege is kept apart from the flags in force. Linux gives it to its further vCPUs this way.
    vcpu.pv.iopl = static_cast<uint32_t>((from.rflags & kFlagIopl) >> 12);
    // Guest kernel and guest user both run in ring 3.
    to.cs = from.cs | 3u;
    to.ss = from.ss | 3u;
    vcpu.pv.ds = from.ds;
    vcpu.pv.es = from.es;
    vcpu.pv.fs = from.fs;
    vcpu.pv.gs = from.gs;
}

void set_gates(Vcpu& vcpu, const abi::VcpuGuestContext& context) {
    for (unsigned i = 0; i < kVectors; ++i) {
        const abi::TrapInfo& gate = context.trap_ctxt[i];
        vcpu.pv.gates[i] = {.address = gate.address, .cs = gate.cs, .flags = gate.flags};
    }
}

void set_callbacks_and_bases(Vcpu& vcpu, const abi::VcpuGuestContext& context) {
    vcpu.pv.event_callback = context.event_callback_eip;
    vcpu.pv.failsafe_callback = context.failsafe_callback_eip;
    vcpu.entry.syscall_callback = context.syscall_callback_eip;
    vcpu.pv.failsafe_masks_events = (context.flags & abi::kVgcfFailsafeDisablesEvents) != 0;
    vcpu.entry.syscall_masks_events = (context.flags & abi::kVgcfSyscallDisablesEvents) != 0 ? 1 : 0;
    vcpu.pv.kernel_ss = static_cast<uint16_t>(context.kernel_ss | 3);
    vcpu.entry.kernel_sp = context.kernel_sp;
    vcpu.pv.fs_base = context.fs_base;
    vcpu.pv.gs_base_kernel = context.gs_base_kernel;
    vcpu.pv.gs_base_user = context.gs_base_user;
    vcpu.pv.ldt_base = context.ldt_base;
    vcpu.pv.ldt_entries = static_cast<uint32_t>(context.ldt_ents);
}

// The legacy part of the FPU area: 512 bytes, MXCSR at 24; in an XSAVE area the header follows (Intel SDM
// vol. 1, sections 10.5.1 and 13.4).
void set_fpu(Vcpu& vcpu, const uint8_t (&image)[512]) {
    constexpr unsigned kMxcsr = 24;
    constexpr unsigned kMxcsrMask = 28;
    constexpr uint32_t kMxcsrReserved = 0xffff0000;
    constexpr uint64_t kLegacyStates = 3;
    auto* const area = static_cast<uint8_t*>(vcpu.pv.fpu_area);
    __builtin_memcpy(area, image, kMxcsr);
    uint32_t mxcsr;
    __builtin_memcpy(&mxcsr, image + kMxcsr, sizeof(mxcsr));
    mxcsr &= ~kMxcsrReserved;  // a reserved bit would fault in the hypervisor
    __builtin_memcpy(area + kMxcsr, &mxcsr, sizeof(mxcsr));
    __builtin_memcpy(area + kMxcsrMask + 4, image + kMxcsrMask + 4, 416 - (kMxcsrMask + 4));
    uint64_t present;
    __builtin_memcpy(&present, area + 512, sizeof(present));
    present |= kLegacyStates;
    __builtin_memcpy(area + 512, &present, sizeof(present));
}

}  // namespace

Result<> set_vcpu_context(Vcpu& vcpu, const abi::VcpuGuestContext& context) {
    const bool in_kernel = (context.flags & abi::kVgcfInKernel) != 0;
    if (!gates_ok(context) || !ldt_ok(context) || !addresses_ok(context) || !debug_registers_ok(context)) {
        return Errno::kEINVAL;
    }
    // User mode without page tables of its own can't run.
    const Mfn user_root(abi::mfn_from_cr3(context.ctrlreg[1]));
    if (!in_kernel && user_root == Mfn{}) return Errno::kEINVAL;
    if (context.gdt_ents > abi::kFirstReservedGdtEntry) return Errno::kEINVAL;

    Mfn frames[abi::kFirstReservedGdtPage];
    for (unsigned i = 0; i < abi::kFirstReservedGdtPage; ++i)
        frames[i] = Mfn(context.gdt_frames[i]);
    TRY(set_gdt_frames(vcpu, frames, static_cast<uint32_t>(context.gdt_ents)));
    TRY(set_kernel_root(vcpu, Mfn(abi::mfn_from_cr3(context.ctrlreg[3]))));
    TRY(set_user_root(vcpu, user_root));

    // Nothing fails from here on.
    release_ldt_pages(vcpu);
    set_registers(vcpu, context.user_regs);
    set_gates(vcpu, context);
    set_callbacks_and_bases(vcpu, context);
    vcpu.entry.in_kernel_mode = in_kernel ? 1 : 0;
    for (unsigned i = 0; i < 8; ++i)
        vcpu.pv.debug_registers[i] = i < 4 ? context.debugreg[i] : 0;
    if ((context.flags & abi::kVgcfI387Valid) != 0) set_fpu(vcpu, context.fpu_ctxt);
    vcpu.initialised = true;
    return {};
}

}  // namespace torii::pv
