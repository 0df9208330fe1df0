// console_io.

#include <torii/guest/console.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(console_write, "The control domain may write to the console") {
    if (!is_control_domain()) return skip("an ordinary domain");
    CHECK_SUCCEEDS(console_io(abi::ConsoleIoOp::kWrite, 0, ""));
    CHECK_SUCCEEDS(console_io(abi::ConsoleIoOp::kWrite, 13, "  text, cut\n\0\0\0"));
}

GUEST_TEST(console_long_write, "A write longer than any buffer goes through whole") {
    if (!is_control_domain()) return skip("an ordinary domain");
    static char text[3000];
    for (size_t index = 0; index < sizeof(text); ++index) {
        text[index] = index % 100 == 99 ? '\n' : static_cast<char>('a' + index / 100 % 26);
    }
    CHECK_SUCCEEDS(console_io(abi::ConsoleIoOp::kWrite, sizeof(text), text));
}

GUEST_TEST(console_read, "A read without input returns nothing") {
    if (!is_control_domain()) return skip("an ordinary domain");
    char text[16];
    CHECK_EQUAL(console_io(abi::ConsoleIoOp::kRead, sizeof(text), text), 0);
}

GUEST_TEST(console_unknown, "Unknown sub-operations are refused") {
    char text[4] = {};
    const int64_t result = hypercall(abi::Hypercall::kConsoleIo, 2, 4, text);
    CHECK(result == abi::negated(abi::Errno::kENOSYS) || result == abi::negated(abi::Errno::kEPERM));
}
