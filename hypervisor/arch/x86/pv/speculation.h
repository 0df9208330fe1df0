// Which speculative side channels this CPU is open to, and what is done about them. Pure decisions: the CPU's
// set-up (arch/x86/hw/speculation.h) carries them out.
#pragma once

#include <cstdint>
#include <string_view>

#include "arch/x86/pv/cpu_policy.h"

namespace torii::pv {

struct SpeculationFacts {
    bool meltdown = false;            // ring 3 may read what supervisor pages hold
    bool l1tf = false;                // a not-present entry may be used to read the first-level cache
    bool prediction_barrier = false;  // the CPU offers IBPB
};

// IA32_ARCH_CAPABILITIES, zero where the CPU has no such register (Intel SDM vol. 4, table 2-2).
inline constexpr uint64_t kArchCapabilitiesRdclNo = 1u << 0;
[[nodiscard]] bool has_arch_capabilities(const HostCpuid& host);

// AMD's CPUs and those licensed from them are open to neither; Intel's to both, but for in-order ones and
// where the CPU itself says no. A vendor that is not known is taken to be open to Meltdown.
[[nodiscard]] SpeculationFacts speculation_facts(const HostCpuid& host, uint64_t arch_capabilities);

enum class Wish : uint8_t { kByCpu, kOn, kOff };

// The options xpti=, pv-l1tf= and spec-ctrl= (docs of Xen 4.17, xen-command-line). Torii treats dom0 as it
// does every domain: its processes are no more trusted than another's.
struct SpeculationWishes {
    Wish isolate_guests = Wish::kByCpu;
    Wish refuse_l1tf = Wish::kByCpu;
    Wish prediction_barrier = Wish::kByCpu;
};
// Each takes the text behind "=", empty where the option stood alone. False: there is a word in it that Torii
// has nothing for; the others are followed nevertheless.
[[nodiscard]] bool read_xpti(std::string_view value, SpeculationWishes& wishes);
[[nodiscard]] bool read_pv_l1tf(std::string_view value, SpeculationWishes& wishes);
[[nodiscard]] bool read_spec_ctrl(std::string_view value, SpeculationWishes& wishes);

struct SpeculationPlan {
    bool isolate_guests = false;
    bool refuse_l1tf = false;
    bool prediction_barrier = false;
};
[[nodiscard]] SpeculationPlan plan_speculation(const SpeculationFacts& facts,
                                               const SpeculationWishes& wishes);

}  // namespace torii::pv
