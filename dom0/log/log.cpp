#include "log/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <torii/failure.h>

#include <memory>
#include <vector>

namespace torii::dom0 {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug:
            return spdlog::level::debug;
        case LogLevel::kInfo:
            return spdlog::level::info;
        case LogLevel::kWarning:
            return spdlog::level::warn;
        case LogLevel::kError:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

// Until start_log is called (in tests, mostly) only warnings and errors are written.
std::shared_ptr<spdlog::logger>& logger() {
    static std::shared_ptr<spdlog::logger> instance = [] {
        auto early =
            std::make_shared<spdlog::logger>("toriid", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        early->set_level(spdlog::level::warn);
        return early;
    }();
    return instance;
}

}  // namespace

void start_log(const LogOptions& options) {
    std::vector<spdlog::sink_ptr> sinks;
    if (options.standard_error) sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    if (!options.file.empty()) {
        try {
            sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file));
        } catch (const spdlog::spdlog_ex& problem) {
            throw Failure(ErrorCode::kSystem, "cannot write the daemon's log to " + options.file + ": " +
                                                  problem.what() + "; give another path with --log-file");
        }
    }
    auto fresh = std::make_shared<spdlog::logger>("toriid", sinks.begin(), sinks.end());
    fresh->set_level(to_spdlog(options.level));
    fresh->set_pattern("%Y-%m-%d %H:%M:%S.%e %n[%P] %l: %v");
    fresh->flush_on(spdlog::level::debug);
    logger() = fresh;
}

void write_log_line(LogLevel level, std::string_view line) {
    logger()->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

bool log_enabled(LogLevel level) {
    return logger()->should_log(to_spdlog(level));
}

}  // namespace torii::dom0
