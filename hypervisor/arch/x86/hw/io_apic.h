// IO-APICs: where the machine's interrupt lines come in.
#pragma once

namespace torii::hw {

// Finds them, masks every line and closes their frames to domains. Before the first of the others.
void io_apic_start();
// Keeps a line of the ISA bus for the hypervisor, and routes it to a vector of the calling CPU.
void route_isa_interrupt(unsigned irq, unsigned vector);

}  // namespace torii::hw
