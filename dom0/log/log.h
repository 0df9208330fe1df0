#pragma once
// The daemon's log: leveled lines to standard error and, when asked, to a file. The backend (spdlog) is
// hidden so that few files pay for its headers.

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace torii::dom0 {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogOptions {
    LogLevel level = LogLevel::kInfo;
    bool standard_error = true;
    std::string file;  // empty: none
};

// May throw Failure (kSystem) when the file cannot be opened.
void start_log(const LogOptions& options);

void write_log_line(LogLevel level, std::string_view line);
bool log_enabled(LogLevel level);

template <typename... Arguments>
void log_line(LogLevel level, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    if (!log_enabled(level)) return;
    write_log_line(level, fmt::format(format, std::forward<Arguments>(arguments)...));
}

template <typename... Arguments>
void log_debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::kDebug, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_info(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::kInfo, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_warning(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::kWarning, format, std::forward<Arguments>(arguments)...);
}
template <typename... Arguments>
void log_error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    log_line(LogLevel::kError, format, std::forward<Arguments>(arguments)...);
}

}  // namespace torii::dom0
