// The end of the hypervisor, told to a person who may have nothing but a photograph of the screen.
#pragma once

#include <cstdint>
#include <string_view>

#include "arch/x86/pv/vcpu_state.h"

namespace torii::hw {

// Stops the other CPUs, says why and where on all consoles, and restarts the machine, or with `noreboot`
// stays. `trapped`: the registers that an exception of the hypervisor's own found; null: it noticed by
// itself.
[[noreturn]] void crash(std::string_view reason, const char* file, unsigned line,
                        const pv::GuestRegisters* trapped);

// Logs who called whom, by names, from an instruction (0: left out) and a frame pointer of the hypervisor's
// on; stops at what is none.
void print_backtrace(uint64_t instruction, uint64_t frame_pointer);

}  // namespace torii::hw
