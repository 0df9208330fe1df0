#include "devices/limited_log.h"

#include <fmt/format.h>

#include <utility>

namespace torii::dom0 {

std::optional<std::string> LimitedLog::pass(const std::string& sentence, std::chrono::nanoseconds now) {
    if (bucket_.wait(now).count() != 0) {
        ++left_out_;
        return std::nullopt;
    }
    bucket_.take(kCost);
    const uint64_t left_out = std::exchange(left_out_, 0);
    if (left_out == 0) return sentence;
    return fmt::format("{} ({} sentences before this one were left out)", sentence, left_out);
}

}  // namespace torii::dom0
