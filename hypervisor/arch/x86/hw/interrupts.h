// Interrupts of the machine.
#pragma once

#include "arch/x86/pv/vcpu_state.h"

namespace torii::hw {

void handle_interrupt(unsigned vector);
void note_nmi(const pv::GuestRegisters& registers);
// Logs what note_nmi left; where no lock is held.
void report_nmis();

}  // namespace torii::hw
