#pragma once
// Programs of the system, run without a shell.

#include <csignal>
#include <functional>
#include <string>
#include <vector>

namespace torii::cli {

struct Command {
    std::vector<std::string> words;  // the program, looked up where a system has them, and its arguments
    std::string input;               // what it can read; never on a command line, where others could see it
    std::vector<std::string> environment;  // NAME=value; all of it
    std::string hint;                      // what to do when it fails; a sentence
    std::string told_as;                   // in messages, where the words are too long or name a secret
};

// Each line of output as it comes, without what would move the terminal's cursor.
using OnLine = std::function<void(const std::string&)>;

// Runs it to its end; the answer is what it wrote on both outputs. Throws Failure: kOperationFailed with its
// last lines when it did not end with 0, kAborted when a signal came for an InterruptGuard (the program is
// killed, and all that it has started in its process group or its own process namespace has ended), kSystem
// when it could not be started.
std::string run(const Command& command, const OnLine& on_line = nullptr);

// The command in namespaces of its own: what it mounts is not seen outside and is gone with it, and when it
// ends, or this program does, in whatever way, so do all processes that it has started. Needs root, and
// util-linux. `root` other than empty: with that folder as its root, and /proc there.
std::vector<std::string> contained(const std::vector<std::string>& words, const std::string& root = "");

// PATH, language, and the proxy variables of this program: what an installation may depend on.
std::vector<std::string> plain_environment();

// Where a program of the system is; empty: it is not installed. A name with a slash is a path already.
std::string program_path(const std::string& name);

// While there is one, SIGINT, SIGTERM and SIGHUP end what runs by an exception, so that it can be undone.
class InterruptGuard {
public:
    InterruptGuard();
    ~InterruptGuard();
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;

private:
    struct sigaction before_[3];
};

// Throws Failure (kAborted) if a signal has come for a guard.
void check_interrupted();

}  // namespace torii::cli
