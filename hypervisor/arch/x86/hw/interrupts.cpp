#include "arch/x86/hw/interrupts.h"

#include <torii/abi/virq.h>

#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/serial.h"
#include "arch/x86/hw/smp.h"
#include "base/log.h"
#include "core/call/counters.h"
#include "core/console/console.h"
#include "core/event/global_virq.h"
#include "core/interrupt/interrupts.h"
#include "core/sched/scheduler.h"
#include "port/machine.h"

namespace torii::hw {
namespace {

void on_serial_input() {
    bool tell = false;
    for (int byte = serial_read(); byte >= 0; byte = serial_read())
        tell |= console_push_input(static_cast<char>(byte));
    if (tell) global_virqs.raise(abi::Virq::kConsole);
}

}  // namespace

void handle_interrupt(unsigned vector) {
    if (vector == kVectorSpurious) return;
    if (vector < VectorSpace::kEnd && device_interrupts.arrive(local().id, vector)) {
        count_event(EventKind::kDeviceInterrupt);
        apic_end_of_interrupt();
        return;
    }
    apic_end_of_interrupt();
    switch (vector) {
        case kVectorTimer:
            count_event(EventKind::kTimerInterrupt);
            local().timer_deadline = kNever;
            local().scheduler->timers.expire(now());
            return;
        case kVectorSerial:
            on_serial_input();
            return;
        case kVectorRequest:
            serve_requests();
            return;
        case kVectorPoke:
            request_reschedule(local().id);
            return;
        default:
            log(LogLevel::kWarning, "interrupt on vector {x}, which nobody uses", vector);
    }
}

// An NMI interrupts whoever holds the log's lock as well, so it only leaves a note.
void note_nmi(const pv::GuestRegisters& registers) {
    halt_if_stopping(registers);
    CpuLocal& cpu = local();
    cpu.nmi_rip = registers.rip;
    ++cpu.nmis;
    request_reschedule(cpu.id);
}

void report_nmis() {
    CpuLocal& cpu = local();
    if (cpu.nmis == cpu.nmis_reported) return;
    log(LogLevel::kWarning, "{} NMIs so far, the last at rip {x}", cpu.nmis, cpu.nmi_rip);
    cpu.nmis_reported = cpu.nmis;
}

}  // namespace torii::hw
