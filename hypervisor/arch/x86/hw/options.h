// The hypervisor's command line. Names are Xen's where Xen has the option (docs of Xen 4.17,
// xen-command-line).
#pragma once

#include <cstdint>
#include <string_view>

#include "arch/x86/pv/speculation.h"

namespace torii::hw {

struct Options {
    uint64_t dom0_memory = 0;        // bytes; 0: all but what the hypervisor keeps
    uint64_t dom0_memory_limit = 0;  // bytes; 0: as dom0_memory
    uint32_t dom0_vcpus = 0;         // 0: one per CPU
    uint32_t most_cpus = ~0u;        // how many may run
    uint16_t com1_port = 0x3f8;
    uint32_t com1_baud = 0;
    bool serial_console = false;
    bool screen_console = true;  // until `console` leaves it out
    bool keep_screen = false;    // also when dom0 runs
    bool no_reboot = false;
    uint32_t watchdog_seconds = 0;  // 0: no watchdog
    pv::SpeculationWishes speculation;
    uint64_t direct_map_limit = 0;  // bytes; 0: none
};
extern Options options;

// Reads `text`; what it doesn't know it names in the log.
void parse_options(std::string_view text);
// A size with an optional suffix K, M, G, T; bytes without. False: not a number.
[[nodiscard]] bool parse_size(std::string_view text, uint64_t& bytes);

}  // namespace torii::hw
