#include "fail_point.h"

#include <signal.h>
#include <torii/failure.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "log/log.h"

namespace torii::dom0 {

FailPointHook make_fail_point_hook(const std::string& option, int daemon) {
    if (option.empty()) return [](std::string_view) {};
    const size_t colon = option.find(':');
    const std::string name = option.substr(0, colon);
    int count = 1;
    if (colon != std::string::npos) {
        const char* end = option.data() + option.size();
        const auto [stop, error] = std::from_chars(option.data() + colon + 1, end, count);
        if (error != std::errc() || stop != end || count < 1) {
            throw Failure(
                ErrorCode::kInvalidArgument,
                "--fail-point takes NAME or NAME:COUNT with a count from 1, not \"" + option + "\"");
        }
    }
    const auto left = std::make_shared<int>(count);
    return [name, left, daemon](std::string_view step) {
        if (step != name || --*left > 0) return;
        write_log_line(LogLevel::kWarning, "fail point " + name + " reached: killing the daemon");
        ::kill(daemon, SIGKILL);
        ::kill(::getpid(), SIGKILL);
    };
}

}  // namespace torii::dom0
