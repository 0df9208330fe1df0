// Runs one instruction on the real CPU, for comparison with its emulation.
#pragma once

#include <cstdint>
#include <span>

#include "arch/x86/pv/vcpu_state.h"

namespace torii::test {

// Loads the general registers (all but rsp) and the arithmetic flags, executes `bytes`, and stores them back.
void run_natively(std::span<const uint8_t> bytes, pv::GuestRegisters& registers);

}  // namespace torii::test
