// The log: one line per call, prefixed "(torii) ". Goes to the console and to the ring that `torii dmesg`
// reads.
#pragma once

#include "base/format.h"

namespace torii {

enum class LogLevel : uint8_t { kError, kWarning, kInfo, kDebug };

// Emits a finished line at `level`; lines caused by a guest are rate-limited apart. Defined in core/console.
void log_line(LogLevel level, bool caused_by_guest, std::string_view line);

inline constexpr size_t kLongestLogLine = 240;

void log_formatted(LogLevel level, bool caused_by_guest, std::string_view format,
                   std::span<const FormatArgument> arguments);

template <class... Args>
[[gnu::cold]] void log(LogLevel level, std::string_view format, const Args&... arguments) {
    const FormatArgument list[sizeof...(arguments) + 1] = {FormatArgument(arguments)..., FormatArgument(0)};
    log_formatted(level, false, format, std::span<const FormatArgument>(list, sizeof...(arguments)));
}

// For what a guest did: `guest_loglvl` decides whether it is shown, and a flood is cut.
template <class... Args>
[[gnu::cold]] void log_guest(LogLevel level, std::string_view format, const Args&... arguments) {
    const FormatArgument list[sizeof...(arguments) + 1] = {FormatArgument(arguments)..., FormatArgument(0)};
    log_formatted(level, true, format, std::span<const FormatArgument>(list, sizeof...(arguments)));
}

}  // namespace torii
