// The local APIC: timer and interrupts; the IO-APIC as far as the console needs it.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace torii::hw {

inline constexpr unsigned kVectorTimer = 0xf0;
inline constexpr unsigned kVectorPoke = 0xf1;     // another CPU wants this one to look at its work
inline constexpr unsigned kVectorRequest = 0xf2;  // another CPU waits for this one to do something (smp.h)
inline constexpr unsigned kVectorSerial = 0x40;
inline constexpr unsigned kVectorSpurious = 0xff;

void apic_start();  // finds it, switches the legacy interrupt controllers off, measures the timer
void apic_enable_this_cpu();
void apic_end_of_interrupt();
void apic_set_timer(Nanoseconds delay);  // one-shot from now; 0 stops it
[[nodiscard]] bool apic_reaches(uint32_t apic_id);
void apic_send(uint32_t apic_id, unsigned vector);
void apic_send_nmi(uint32_t apic_id);
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, unsigned page);  // real-mode start at page * 4096
[[nodiscard]] uint32_t apic_id();
// Routes an ISA interrupt to a vector on this CPU.
void route_isa_interrupt(unsigned irq, unsigned vector);

}  // namespace torii::hw
