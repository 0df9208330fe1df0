#include "devices/limited_log.h"

#include <gtest/gtest.h>

namespace torii::dom0 {
namespace {

using namespace std::chrono_literals;

TEST(LimitedLog, AGuestThatGoesOnIsCounted) {
    LimitedLog log;
    unsigned logged = 0;
    for (unsigned i = 0; i < 1000; ++i)
        logged += log.pass("it broke its ring", 1s) ? 1 : 0;
    EXPECT_EQ(logged, 10u);
    EXPECT_EQ(log.pass("again", 2s), "again (990 sentences before this one were left out)");
    EXPECT_FALSE(log.pass("it broke its ring", 3s));
    EXPECT_FALSE(log.pass("it broke its ring", 11s));
    EXPECT_EQ(log.pass("again", 12s), "again (2 sentences before this one were left out)");
}

TEST(LimitedLog, NowAndThenIsLoggedAsItIs) {
    LimitedLog log;
    for (unsigned i = 0; i < 100; ++i)
        EXPECT_EQ(log.pass("it could not be connected", i * 11s), "it could not be connected");
}

}  // namespace
}  // namespace torii::dom0
