// The hypervisor's console: log lines at levels, the ring behind `torii dmesg`, what guests write, and what a
// person types.
//
// All state is under one lock of the lowest rank, so that any code may log whatever it holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/log.h"

namespace torii {

// Lines up to this level are shown and kept; the rest is dropped.
enum class LogThreshold : uint8_t { kNone, kErrors, kWarnings, kInfo, kAll };
void set_log_threshold(LogThreshold threshold);        // loglvl=
void set_guest_log_threshold(LogThreshold threshold);  // guest_loglvl=
[[nodiscard]] LogThreshold log_threshold();
[[nodiscard]] LogThreshold guest_log_threshold();

// The words of Xen's command line: none, error, warning, info, debug, all. Of "lower/upper" the upper counts.
// False: no such word.
[[nodiscard]] bool parse_log_threshold(std::string_view text, LogThreshold& threshold);

// From here on a CPU that panics prints without taking the lock: it may hold it itself, and the others have
// stopped.
void console_enter_panic();

// --- what guests print ---
// The control domain's output goes to the device as it is.
void console_write_through(std::string_view text);
// Another domain's output is put together to lines, stripped of control characters, and logged with "(dN) "
// before it.
void console_write_for_guest(DomId domain, std::string_view text);

// --- the ring ---
// As LogRing::read; with `clear`, what was read is forgotten.
size_t console_read_ring(uint32_t& position, bool from_position, bool clear, std::span<char> out);

// --- what a person types ---
// Keeps a byte for the control domain; a full buffer drops it. True when a reader should be told: the buffer
// was empty.
bool console_push_input(char byte);
size_t console_take_input(std::span<char> out);

}  // namespace torii
