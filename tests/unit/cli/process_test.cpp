// Programs run by the command line: output, failures, signals.

#include "process.h"

#include <gtest/gtest.h>
#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace torii::cli {
namespace {

using namespace std::chrono_literals;

Command shell(const std::string& script, const std::string& input = "") {
    Command command;
    command.words = {"sh", "-c", script};
    command.input = input;
    command.environment = plain_environment();
    return command;
}

ErrorCode code_of(const Command& command, std::string* sentence = nullptr) {
    try {
        run(command);
        return ErrorCode::kOk;
    } catch (const Failure& failure) {
        if (sentence != nullptr) *sentence = failure.what();
        return failure.code();
    }
}

TEST(Process, BothOutputsAndLines) {
    std::vector<std::string> lines;
    const std::string all = run(shell("echo one; echo two >&2; printf 'a\\rb\\033[2Jc'"),
                                [&](const std::string& line) { lines.push_back(line); });
    EXPECT_EQ(all, "one\ntwo\na\rb\033[2Jc");
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "a", "b [2Jc"}));
}

TEST(Process, InputOfAnySize) {
    const std::string input(3 << 20, 'x');
    EXPECT_EQ(run(shell("cat", input)), input);
    EXPECT_EQ(run(shell("exit 0", input)), "");  // it does not have to read
    EXPECT_EQ(run(shell("cat")), "");            // nothing is the end of input at once, not the terminal's
}

TEST(Process, AFailureNamesTheCommandItsEndAndItsLastLines) {
    std::string sentence;
    Command command = shell("seq 100; echo why >&2; exit 3");
    command.hint = "Look there.";
    EXPECT_EQ(code_of(command, &sentence), ErrorCode::kOperationFailed);
    for (const char* word : {"sh -c", "code 3", "Look there.", "\n    100", "\n    why"})
        EXPECT_NE(sentence.find(word), std::string::npos) << sentence;
    EXPECT_EQ(sentence.find("\n    50\n"), std::string::npos);
    command.told_as = "the thing";
    code_of(command, &sentence);
    EXPECT_NE(sentence.find("\"the thing\" ended"), std::string::npos) << sentence;
    EXPECT_EQ(sentence.find("seq"), std::string::npos) << sentence;
    EXPECT_EQ(code_of(shell("kill -9 $$"), &sentence), ErrorCode::kOperationFailed);
    EXPECT_NE(sentence.find("signal (Killed)"), std::string::npos) << sentence;
}

TEST(Process, AProgramThatIsNotThere) {
    Command command;
    command.words = {"no-such-program-here"};
    std::string sentence;
    EXPECT_EQ(code_of(command, &sentence), ErrorCode::kSystem);
    EXPECT_NE(sentence.find("no-such-program-here"), std::string::npos) << sentence;
    EXPECT_EQ(program_path("no-such-program-here"), "");
    EXPECT_EQ(program_path("/some/path"), "/some/path");
    EXPECT_NE(program_path("sh"), "");
}

TEST(Process, OnlyTheEnvironmentThatIsGiven) {
    ::setenv("TORII_TEST_SECRET", "x", 1);
    ::setenv("http_proxy", "http://proxy", 1);
    const std::string all = run(shell("env"));
    ::unsetenv("TORII_TEST_SECRET");
    ::unsetenv("http_proxy");
    EXPECT_EQ(all.find("TORII_TEST_SECRET"), std::string::npos);
    EXPECT_NE(all.find("http_proxy=http://proxy\n"), std::string::npos);
    EXPECT_NE(all.find("LC_ALL=C.UTF-8\n"), std::string::npos);
}

TEST(Process, ASignalEndsItWithAllThatItStarted) {
    const InterruptGuard guard;
    std::thread person([] {
        std::this_thread::sleep_for(1s);
        ::kill(::getpid(), SIGINT);
    });
    pid_t deaf = 0;
    EXPECT_THROW(run(shell("trap '' INT TERM; sleep 60 & echo $!; wait"),
                     [&](const std::string& line) { deaf = std::stoi(line); }),
                 Failure);
    ASSERT_GT(deaf, 0);
    for (int i = 0; i < 100 && ::kill(deaf, 0) == 0; i++)  // until its new parent has noticed
        std::this_thread::sleep_for(100ms);
    EXPECT_NE(::kill(deaf, 0), 0);
    person.join();
    EXPECT_THROW(check_interrupted(), Failure);
    EXPECT_EQ(code_of(shell("true")), ErrorCode::kAborted);  // nothing more is begun
}

TEST(Process, ContainedCommands) {
    const std::vector<std::string> words = contained({"mount", "-l"}, "/tree");
    EXPECT_EQ(words.front(), "setpriv");
    const auto at = std::find(words.begin(), words.end(), "--root");
    ASSERT_NE(at, words.end());
    EXPECT_EQ(*(at + 1), "/tree");
    EXPECT_EQ(*(words.end() - 2), "mount");
    if (::geteuid() != 0 || ::system("unshare --mount --pid --fork true 2>/dev/null") != 0) {
        GTEST_SKIP() << "namespaces need root";
    }
    Command command;
    // What it mounts is not seen here; what it leaves running is gone.
    command.words =
        contained({"sh", "-c", "mount -t tmpfs none /mnt && touch /mnt/torii-seen && echo $$; sleep 60 &"});
    command.environment = plain_environment();
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(run(command), "1\n");
    EXPECT_LT(std::chrono::steady_clock::now() - start, 30s);
    EXPECT_NE(::access("/mnt/torii-seen", F_OK), 0);
}

}  // namespace
}  // namespace torii::cli
