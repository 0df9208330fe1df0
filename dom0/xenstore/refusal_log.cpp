#include "xenstore/refusal_log.h"

namespace torii::dom0::xenstore {

void RefusalLog::refused(DomId domain, const std::function<std::string()>& line) {
    ++count_;
    if (!sink_) return;
    const auto now = clock_();
    const auto [entry, is_new] = budgets_.try_emplace(domain, Budget{now});
    Budget& budget = entry->second;
    if (now - budget.window_start >= kWindow) {
        if (budget.suppressed != 0) {
            sink_(LogSeverity::kWarning, "xenstore: domain " + std::to_string(domain.raw()) + ": " +
                                             std::to_string(budget.suppressed) +
                                             " further refusals not logged");
        }
        budget = Budget{now};
    }
    if (budget.lines < kLinesPerWindow) {
        ++budget.lines;
        sink_(LogSeverity::kWarning, line());
    } else {
        ++budget.suppressed;
    }
}

void RefusalLog::log(LogSeverity severity, const std::string& line) const {
    if (sink_) sink_(severity, line);
}

}  // namespace torii::dom0::xenstore
