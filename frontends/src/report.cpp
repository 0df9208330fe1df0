#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

extern "C" {
extern const torii::guest::TestCase torii_guest_tests_start[];
extern const torii::guest::TestCase torii_guest_tests_end[];
}

namespace torii::guest {

namespace {

constexpr const char* kOutcomeNames[] = {"SUCCESS", "SKIP", "ERROR", "FAILURE"};

Outcome g_outcome;

// Whether `list` (names separated by ':' or ',') holds `name`.
bool names(std::string_view list, std::string_view name) {
    while (!list.empty()) {
        size_t length = 0;
        while (length < list.size() && list[length] != ':' && list[length] != ',') {
            ++length;
        }
        if (std::string_view(list.data(), length) == name) return true;
        list.remove_prefix(length < list.size() ? length + 1 : length);
    }
    return false;
}

bool selected(const TestCase& test, std::string_view list) {
    if (list.empty() || list == "all") return test.kind == TestKind::kOrdinary;
    return names(list, test.name);
}

void run_one(const TestCase& test, uint32_t (&counts)[4]) {
    g_outcome = Outcome::kSuccess;
    print("Torii test start: {} ({})\n", test.name, test.description);
    if (test.kind == TestKind::kDestructive) print("Torii test expects: domain end {}\n", test.name);
    test.run();
    if (test.kind == TestKind::kDestructive && g_outcome != Outcome::kSkip) {
        report(Outcome::kFailure, {}, 0, "the domain should have been ended");
    }
    ++counts[static_cast<size_t>(g_outcome)];
    print("Torii test result: {} {}\n", kOutcomeNames[static_cast<size_t>(g_outcome)], test.name);
}

}  // namespace

void report(Outcome outcome, std::string_view file, int line, std::string_view what) {
    if (outcome > g_outcome) g_outcome = outcome;
    if (!what.empty()) {
        while (!file.empty() && file.find('/') != std::string_view::npos) {
            file.remove_prefix(1);
        }
        print("  {}: {}:{}: {}\n", kOutcomeNames[static_cast<size_t>(outcome)], file, line, what);
    }
}

void run_tests() {
    const std::string_view list = option("tests");
    // A run that ended in the middle goes on behind the test that ended it.
    std::string_view after = option("after");
    uint32_t counts[4] = {};
    for (const TestCase* test = torii_guest_tests_start; test != torii_guest_tests_end; ++test) {
        if (list == "list") {
            print("Torii test listed: {} {} {}\n", test->name,
                  test->kind == TestKind::kDestructive ? "destructive" : "ordinary", test->description);
        } else if (after.empty() && selected(*test, list)) {
            run_one(*test, counts);
        }
        if (after == test->name) after = {};
    }
    print("Torii test summary: success={} skip={} error={} failure={}\n", counts[0], counts[1], counts[2],
          counts[3]);
    // As at the end of guest_main(), for the same reason.
    shutdown(is_control_domain() ? abi::ShutdownReason::kReboot : abi::ShutdownReason::kPoweroff);
}

}  // namespace torii::guest
