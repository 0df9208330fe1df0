#pragma once
// Says in the log what was refused to whom, without letting a client fill the log.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "xenstore/types.h"

namespace torii::dom0::xenstore {

class RefusalLog {
public:
    using Clock = std::function<std::chrono::steady_clock::time_point()>;

    explicit RefusalLog(LogSink sink, Clock clock = std::chrono::steady_clock::now)
        : sink_(std::move(sink)), clock_(std::move(clock)) {}

    // `line` is asked for only if it is logged.
    void refused(DomId domain, const std::function<std::string()>& line);
    void log(LogSeverity severity, const std::string& line) const;
    void forget(DomId domain) { budgets_.erase(domain); }

    [[nodiscard]] std::uint64_t count() const { return count_; }

private:
    struct Budget {
        std::chrono::steady_clock::time_point window_start;
        unsigned lines = 0;
        std::uint64_t suppressed = 0;
    };
    static constexpr unsigned kLinesPerWindow = 5;
    static constexpr std::chrono::seconds kWindow{10};

    LogSink sink_;
    Clock clock_;
    std::map<DomId, Budget> budgets_;
    std::uint64_t count_ = 0;
};

}  // namespace torii::dom0::xenstore
