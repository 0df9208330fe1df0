// Programs that outlive the daemon: started once, found again by the next one, ended.

#include "devices/helper_processes.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <torii/failure.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0 {
namespace {

using namespace std::chrono_literals;

class HelperProcessesTest : public ::testing::Test {
protected:
    void TearDown() override { HelperProcesses(folder_.path()).stop("sleeper"); }
    int number() {
        std::ifstream file(folder_.path() / "sleeper.process");
        int process = 0;
        file >> process;
        return process;
    }
    bool gone(int process) {
        for (int i = 0; i < 500; i++) {
            if (::kill(process, 0) != 0) return true;
            std::this_thread::sleep_for(10ms);
        }
        return false;
    }
    test::TemporaryFolder folder_;
    const std::vector<std::string> sleeper_{"/bin/sleep", "100"};
};

TEST_F(HelperProcessesTest, StartedOnceFoundAgainEnded) {
    {
        HelperProcesses first(folder_.path());
        EXPECT_FALSE(first.runs("sleeper"));
        first.start("sleeper", sleeper_);
        EXPECT_TRUE(first.runs("sleeper"));
    }
    HelperProcesses next(folder_.path());
    EXPECT_TRUE(next.runs("sleeper"));
    const int process = number();
    next.start("sleeper", sleeper_);
    EXPECT_EQ(number(), process);
    next.stop("sleeper");
    EXPECT_TRUE(gone(process));
    EXPECT_FALSE(next.runs("sleeper"));
    next.stop("sleeper");
}

TEST_F(HelperProcessesTest, ANumberThatIsUsedAgainIsNotTheHelper) {
    HelperProcesses helpers(folder_.path());
    // This very process, as if it had begun at another time.
    std::ofstream(folder_.path() / "sleeper.process") << ::getpid() << "\n1\n";
    EXPECT_FALSE(helpers.runs("sleeper"));
    helpers.stop("sleeper");  // must not end this test
}

TEST_F(HelperProcessesTest, ArgumentsAreNoScript) {
    HelperProcesses helpers(folder_.path());
    const auto file = folder_.path() / "made";
    helpers.start("sleeper", {"/bin/sh", "-c", "printf %s \"$1\" >\"$2\"; exec sleep 100", "x",
                              "a b; $(exit 1)'\"", file.string()});
    std::string text;
    for (int i = 0; i < 500 && text.empty(); i++) {
        std::this_thread::sleep_for(10ms);
        std::getline(std::ifstream(file), text);
    }
    EXPECT_EQ(text, "a b; $(exit 1)'\"");
}

// A listening socket that a helper held open took connections after the daemon's death, and nobody answered
// them.
TEST_F(HelperProcessesTest, ItHasNoneOfTheDaemonsFiles) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    HelperProcesses helpers(folder_.path());
    helpers.start("sleeper", sleeper_);
    ::close(ends[1]);
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1),
              0);  // nobody else has the end that writes; would wait for the sleeper
    EXPECT_TRUE(helpers.runs("sleeper"));
    ::close(ends[0]);
}

TEST_F(HelperProcessesTest, AProgramThatIsNotThereIsNamed) {
    HelperProcesses helpers(folder_.path());
    try {
        helpers.start("sleeper", {"/no/such/program"});
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()).find("/no/such/program"), std::string::npos);
    }
    EXPECT_FALSE(helpers.runs("sleeper"));
}

}  // namespace
}  // namespace torii::dom0
