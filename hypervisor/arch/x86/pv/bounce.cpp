#include "arch/x86/pv/bounce.h"

#include <torii/abi/trap.h>

#include <iterator>

#include "base/once.h"
#include "core/call/counters.h"
#include "core/call/guest_ptr.h"
#include "port/context.h"

namespace torii::pv {
namespace {

constexpr uint64_t kFlagsClearedOnEntry =
    kFlagAlignment | kFlagVm86 | kFlagResume | kFlagNestedTask | kFlagTrap;

struct Target {
    uint64_t rip = 0;
    bool masks_events = false;
    bool with_error_code = false;
    bool with_segments = false;  // the failsafe callback's four words
    uint32_t error_code = 0;
};

// The words of a bounce frame, lowest address first.
class Frame {
public:
    void push(uint64_t word) { words_[count_++] = word; }
    [[nodiscard]] size_t bytes() const { return count_ * sizeof(uint64_t); }
    [[nodiscard]] const uint64_t* words() const { return words_; }

private:
    uint64_t words_[12];
    size_t count_ = 0;
};

Frame build(const Vcpu& vcpu, const GuestRegisters& r, const Target& target, bool was_kernel, bool masked) {
    Frame frame;
    frame.push(r.rcx);
    frame.push(r.r11);
    if (target.with_segments) {
        frame.push(vcpu.pv.ds);
        frame.push(vcpu.pv.es);
        frame.push(vcpu.pv.fs);
        frame.push(vcpu.pv.gs);
    }
    if (target.with_error_code) frame.push(target.error_code);
    // The guest sees ring 0 in the code selector of its own kernel, and the event mask in the bits above it.
    const uint64_t cs = was_kernel ? r.cs & 0xfffc : r.cs & 0xffff;
    frame.push(r.rip);
    frame.push(cs | (masked ? uint64_t{1} << 32 : 0));
    frame.push((r.rflags & ~(kFlagInterrupt | kFlagIopl)) | (masked ? 0 : kFlagInterrupt) |
               (read_once(vcpu.pv.iopl_in_flags) ? uint64_t{vcpu.pv.iopl} << 12 : 0));
    frame.push(r.rsp);
    frame.push(r.ss & 0xffff);
    return frame;
}

void bounce(Vcpu& vcpu, GuestRegisters& r, const Target& target, const char* what) {
    const bool was_kernel = vcpu.entry.in_kernel_mode != 0;
    const bool masked = upcalls_masked(vcpu);
    if (target.rip == 0) {
        kill_domain(*vcpu.domain, "{} at rip {x} ({} mode), and the guest has no handler for it", what, r.rip,
                    was_kernel ? "kernel" : "user");
        return;
    }
    if (!was_kernel) enter_kernel_mode(vcpu);
    const Frame frame = build(vcpu, r, target, was_kernel, masked);
    const uint64_t top = (was_kernel ? r.rsp : vcpu.entry.kernel_sp) & ~uint64_t{15};
    const uint64_t bottom = top - frame.bytes();
    if (!guest_range_ok(bottom, frame.bytes()) || !copy_to_guest(bottom, frame.words(), frame.bytes())) {
        kill_domain(*vcpu.domain,
                    "{} at rip {x} ({} mode), and the guest's kernel stack at {x} can't be written", what,
                    r.rip, was_kernel ? "kernel" : "user", bottom);
        return;
    }
    r.rip = target.rip;
    r.cs = abi::kFlatRing3Cs64;
    r.rflags &= ~kFlagsClearedOnEntry;
    r.rsp = bottom;
    r.ss = abi::kFlatRing3Ss64;
    r.entry_vector = 0;  // not a system call's frame any more
    if (target.masks_events) mask_upcalls(vcpu, true);
}

// As the vendors' manuals name them (Intel SDM vol. 3, table 6-1).
const char* name_of_exception(unsigned vector) {
    constexpr const char* kNames[] = {"divide error",
                                      "debug exception",
                                      "NMI",
                                      "breakpoint",
                                      "overflow",
                                      "bound range exceeded",
                                      "invalid opcode",
                                      "device not available",
                                      "double fault",
                                      "coprocessor segment overrun",
                                      "invalid TSS",
                                      "segment not present",
                                      "stack fault",
                                      "general protection fault",
                                      "page fault",
                                      "reserved exception",
                                      "floating-point error",
                                      "alignment check",
                                      "machine check",
                                      "SIMD floating-point error"};
    return vector < std::size(kNames) ? kNames[vector] : "software interrupt";
}

Target gate_target(const Vcpu& vcpu, unsigned vector, uint32_t error_code) {
    const TrapGate& gate = vcpu.pv.gates[vector];
    return {.rip = gate.address,
            .masks_events = (gate.flags & abi::kTrapMaskEvents) != 0,
            .with_error_code = has_error_code(vector),
            .error_code = error_code};
}

}  // namespace

bool upcalls_masked(const Vcpu& vcpu) {
    const abi::VcpuInfo* const info = vcpu.events.info.load(std::memory_order_relaxed);
    return info != nullptr && read_once(info->evtchn_upcall_mask) != 0;
}

void mask_upcalls(const Vcpu& vcpu, bool masked) {
    abi::VcpuInfo* const info = vcpu.events.info.load(std::memory_order_relaxed);
    if (info != nullptr) write_once(info->evtchn_upcall_mask, static_cast<uint8_t>(masked));
}

void deliver_exception(Vcpu& vcpu, GuestRegisters& registers, unsigned vector, uint32_t error_code) {
    count_event(EventKind::kGuestExceptionPassed);
    bounce(vcpu, registers, gate_target(vcpu, vector, error_code), name_of_exception(vector));
}

void deliver_page_fault(Vcpu& vcpu, GuestRegisters& registers, uint64_t address, uint32_t error_code) {
    vcpu.pv.cr2 = address;
    abi::VcpuInfo* const info = vcpu.events.info.load(std::memory_order_relaxed);
    if (info != nullptr) write_once(info->arch.cr2, address);
    deliver_exception(vcpu, registers, kVectorPageFault, error_code);
}

void deliver_upcall(Vcpu& vcpu, GuestRegisters& registers) {
    count_event(EventKind::kUpcall);
    bounce(vcpu, registers, {.rip = vcpu.pv.event_callback, .masks_events = true}, "event upcall");
}

void deliver_nmi(Vcpu& vcpu, GuestRegisters& registers) {
    write_once(vcpu.pv.nmi_pending, false);
    const TrapGate& gate = vcpu.pv.gates[kVectorNmi];
    const uint64_t handler = vcpu.pv.nmi_callback != 0 ? vcpu.pv.nmi_callback : gate.address;
    if (handler == 0) return;  // as a machine would: an NMI that nobody listens to changes nothing
    vcpu.pv.nmi_masked = true;
    bounce(vcpu, registers, {.rip = handler, .masks_events = true}, "NMI");
}

void deliver_syscall(Vcpu& vcpu, GuestRegisters& registers) {
    bounce(vcpu, registers,
           {.rip = vcpu.entry.syscall_callback, .masks_events = vcpu.entry.syscall_masks_events != 0},
           "system call");
}

void deliver_syscall32(Vcpu& vcpu, GuestRegisters& registers) {
    if (vcpu.pv.syscall32_callback == 0) return deliver_exception(vcpu, registers, kVectorInvalidOpcode, 0);
    bounce(vcpu, registers,
           {.rip = vcpu.pv.syscall32_callback, .masks_events = vcpu.pv.syscall32_masks_events},
           "32-bit system call");
}

void deliver_failsafe(Vcpu& vcpu, GuestRegisters& registers) {
    bounce(vcpu, registers,
           {.rip = vcpu.pv.failsafe_callback,
            .masks_events = vcpu.pv.failsafe_masks_events,
            .with_segments = true},
           "failed segment load or iret");
}

void enter_kernel_mode(Vcpu& vcpu) {
    vcpu.entry.in_kernel_mode = 1;
    swap_gs_bases();
    load_address_space(vcpu);
}

void enter_user_mode(Vcpu& vcpu) {
    vcpu.entry.in_kernel_mode = 0;
    swap_gs_bases();
    load_address_space(vcpu);
}

}  // namespace torii::pv
