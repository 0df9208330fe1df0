#pragma once
// Tests in a guest, with four outcomes: success; skip (this machine or hypervisor has not what it needs);
// error (the test could not be carried out); failure (the hypervisor did wrong). A test that says nothing
// succeeds.
//
//   GUEST_TEST(event_send, "A send to a closed port is refused") {
//       CHECK_FAILS(send_event(4000), kEINVAL);
//   }
//
// At the end of each test stands a line for machines: "Torii test result: SUCCESS event_send".

#include <torii/abi/errno.h>
#include <torii/guest/console.h>

#include <cstdint>
#include <string_view>

namespace torii::guest {

enum class Outcome : uint8_t { kSuccess, kSkip, kError, kFailure };

enum class TestKind : uint8_t {
    kOrdinary,
    kDestructive,  // expects its domain to be ended: runs only when named, alone
};

// Its alignment is its size, so that the linker lays the cases of all files end to end.
struct alignas(32) TestCase {
    const char* name;
    const char* description;
    TestKind kind;
    void (*run)();
};

// Runs the tests that the option `tests` names (separated by ':' or ','; `all`, the default, means the
// ordinary ones; `list` only names them), leaving out those up to the one that the option `after` names;
// prints their results and a summary, and ends the domain.
[[noreturn]] void run_tests();

// The worst outcome so far counts. Each prints where and why.
void report(Outcome outcome, std::string_view file, int line, std::string_view what);

template <typename... Arguments>
void skip(std::string_view format, const Arguments&... arguments) {
    print("  skipped: ");
    print(format, arguments...);
    print("\n");
    report(Outcome::kSkip, {}, 0, {});
}

template <typename... Arguments>
void error(std::string_view format, const Arguments&... arguments) {
    print("  error: ");
    print(format, arguments...);
    print("\n");
    report(Outcome::kError, {}, 0, {});
}

template <typename Left, typename Right>
bool check_equal(const Left& actual, const Right& expected, std::string_view text, std::string_view file,
                 int line) {
    if (static_cast<uint64_t>(actual) == static_cast<uint64_t>(expected)) return true;
    report(Outcome::kFailure, file, line, text);
    print("    is {} ({x}), should be {} ({x})\n", actual, actual, expected, expected);
    return false;
}

}  // namespace torii::guest

#define GUEST_TEST_OF_KIND(test_name, text, test_kind)                            \
    static void test_body_##test_name();                                          \
    [[gnu::section(".guest_tests"),                                               \
      gnu::used]] static const ::torii::guest::TestCase test_case_##test_name = { \
        #test_name, text, test_kind, test_body_##test_name};                      \
    static void test_body_##test_name()

#define GUEST_TEST(test_name, text) GUEST_TEST_OF_KIND(test_name, text, ::torii::guest::TestKind::kOrdinary)

// The body must end the domain; what follows it is a failure.
#define DESTRUCTIVE_GUEST_TEST(test_name, text) \
    GUEST_TEST_OF_KIND(test_name, text, ::torii::guest::TestKind::kDestructive)

#define CHECK(condition)                                                                               \
    ((condition)                                                                                       \
         ? true                                                                                        \
         : (::torii::guest::report(::torii::guest::Outcome::kFailure, __FILE__, __LINE__, #condition), \
            false))

#define CHECK_EQUAL(actual, expected) \
    ::torii::guest::check_equal(actual, expected, #actual " == " #expected, __FILE__, __LINE__)

#define CHECK_SUCCEEDS(call) \
    ::torii::guest::check_equal(call, int64_t{0}, #call " succeeds", __FILE__, __LINE__)

#define CHECK_FAILS(call, errno_name)                                                         \
    ::torii::guest::check_equal(call, ::torii::abi::negated(::torii::abi::Errno::errno_name), \
                                #call " fails with " #errno_name, __FILE__, __LINE__)
