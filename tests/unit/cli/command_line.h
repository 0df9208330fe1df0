#pragma once
// Verbs as a user types them: the command line's own code, the daemon's, and between them the control socket;
// below, the hypervisor in memory.

#include <boost/asio/executor_work_guard.hpp>

#include "control/server.h"
#include "program.h"
#include "unit/dom0/kit/lifecycle_world.h"

namespace torii::cli::test {

struct Answer {
    int status = 0;
    std::string out;
    std::string error;
};

class CommandLine : public dom0::test::Lifecycle {
protected:
    // Runs `torii WORDS...`.
    Answer torii(std::vector<std::string> words) {
        const std::string socket = (folder_.path() / "control.sock").string();
        dom0::Dispatcher dispatcher(manager(), daemon_->hypervisor, daemon_->store);
        const dom0::ControlServer server(daemon_->context, dispatcher, socket, "no-such-group");
        daemon_->context.restart();
        const auto work = boost::asio::make_work_guard(daemon_->context);
        std::thread daemon([this] { daemon_->context.run(); });
        words.insert(words.begin(), {"torii", "--socket", socket});
        std::vector<char*> arguments;
        for (std::string& word : words)
            arguments.push_back(word.data());
        arguments.push_back(nullptr);
        ::testing::internal::CaptureStdout();
        ::testing::internal::CaptureStderr();
        Answer answer;
        answer.status = run_program(static_cast<int>(words.size()), arguments.data());
        answer.out = ::testing::internal::GetCapturedStdout();
        answer.error = ::testing::internal::GetCapturedStderr();
        daemon_->context.stop();
        daemon.join();
        return answer;
    }
    static void expect_refused(const Answer& answer, int status, std::initializer_list<const char*> words) {
        EXPECT_EQ(answer.status, status) << answer.error;
        EXPECT_EQ(answer.out, "");
        for (const char* word : words)
            EXPECT_NE(answer.error.find(word), std::string::npos) << answer.error << " lacks " << word;
    }
};

}  // namespace torii::cli::test
