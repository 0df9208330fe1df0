#include "core/call/dispatch.h"

#include "core/domain/privilege.h"

namespace torii {

namespace {

uint64_t as_rax(Errno error) {
    return static_cast<uint64_t>(abi::negated(error));
}

[[gnu::cold, gnu::noinline]] void refuse_number(pv::GuestRegisters& registers) {
    count_event(EventKind::kUnknownHypercall);
    registers.rax = as_rax(Errno::kENOSYS);
}

void count_call(uint32_t number) {
    ++counters().hypercalls[number];
}

// The end of a call that has no value: an error for the guest, or the same call again. `number` is what rax
// was.
[[gnu::noinline]] void end_without_value(pv::GuestRegisters& registers, TraceEntry& trace, Errno error,
                                         uint32_t number) {
    if (error == Errno::kERESTART) {
        count_event(EventKind::kContinuation);
        registers.rip -= kSyscallBytes;
        registers.rax = number;
    } else {
        registers.rax = as_rax(error);
        trace.result = static_cast<uint32_t>(registers.rax);
    }
    count_call(number);
}

void finish(pv::GuestRegisters& registers, TraceEntry& trace, CallResult result, uint32_t number) {
    if (!result.ok()) return end_without_value(registers, trace, result.error(), number);
    registers.rax = static_cast<uint64_t>(result.value());
    trace.result = static_cast<uint32_t>(result.value());
    // Last, when little is left to be kept across the call that finds the counters.
    count_call(number);
}

// Calls with a condition or a habit of their own.
[[gnu::noinline]] void dispatch_special(Vcpu& vcpu, pv::GuestRegisters& registers, const HypercallRow& row,
                                        TraceEntry& trace) {
    const uint32_t number = trace.number;
    if ((row.kind & kPrivileged) != 0 && !may_control_machine(*vcpu.domain))
        return end_without_value(registers, trace, Errno::kEPERM, number);
    CallContext context(vcpu, registers);
    const CallResult result = row.handler(context);
    if ((row.kind & kWholeFrame) == 0) return finish(registers, trace, result, number);
    // The handler wrote the registers that the guest goes on with, or ended the guest: its result says
    // nothing more.
    count_call(number);
}

}  // namespace

void dispatch(Vcpu& vcpu, pv::GuestRegisters& registers) {
    const auto number = static_cast<uint32_t>(registers.rax);
    if (number >= kCountedHypercalls) [[unlikely]]
        return refuse_number(registers);
    const HypercallRow& row = row_of(number);
    TraceEntry& trace = vcpu.trace.push(TraceKind::kHypercall, static_cast<uint16_t>(number), registers.rip,
                                        registers.rdi, true);
    if ((row.kind & (kPrivileged | kWholeFrame)) != 0) [[unlikely]]
        return dispatch_special(vcpu, registers, row, trace);
    CallContext context(vcpu, registers);
    finish(registers, trace, row.handler(context), number);
}

}  // namespace torii
