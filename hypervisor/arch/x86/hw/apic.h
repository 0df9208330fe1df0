// The local APIC: timer and interrupts. Vectors below those here are for devices (core/interrupt/vectors.h).
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace torii::hw {

inline constexpr unsigned kVectorTimer = 0xf0;
inline constexpr unsigned kVectorPoke = 0xf1;     // another CPU wants this one to look at its work
inline constexpr unsigned kVectorRequest = 0xf2;  // another CPU waits for this one to do something (smp.h)
inline constexpr unsigned kVectorSerial = 0xe0;
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

}  // namespace torii::hw
