// Traps from a guest: what is emulated, what is repaired, what the guest's own handler gets.
#pragma once

#include "core/domain/domain.h"

namespace torii::pv {

// Any exception of a guest but the page fault; `vector` below 32, or one that an instruction of the guest
// raised.
void handle_exception(Vcpu& vcpu, GuestRegisters& registers, unsigned vector, uint32_t error_code);
void handle_page_fault(Vcpu& vcpu, GuestRegisters& registers, uint64_t address, uint32_t error_code);

// Intel SDM vol. 3, section 4.7.
inline constexpr uint32_t kFaultPresent = 1u << 0;
inline constexpr uint32_t kFaultWrite = 1u << 1;
inline constexpr uint32_t kFaultUser = 1u << 2;

// Carries out the privileged instruction at the guest's rip; false when it isn't one that the guest may use.
[[nodiscard]] bool emulate_privileged_instruction(Vcpu& vcpu, GuestRegisters& registers, bool forced);
// Carries out a store to a page table that is mapped read-only; false when it isn't one.
[[nodiscard]] bool emulate_page_table_write(Vcpu& vcpu, GuestRegisters& registers, uint64_t address);
// The same for one to device memory that the control domain may only read.
[[nodiscard]] bool emulate_device_store(Vcpu& vcpu, GuestRegisters& registers, uint64_t address);
// The bytes at rip, as many as can be read up to `most`.
[[nodiscard]] size_t fetch_instruction(const GuestRegisters& registers, uint8_t* bytes, size_t most);

}  // namespace torii::pv
