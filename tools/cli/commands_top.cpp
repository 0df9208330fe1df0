#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <thread>

#include "ask_vcpus.h"
#include "commands.h"
#include "screen.h"
#include "top_view.h"

namespace torii::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct TopOptions {
    double delay_seconds = 2;
    bool batch = false;
    bool vcpus = false;
    int64_t iterations = 1;
    milliseconds delay() const {
        return milliseconds(static_cast<int64_t>(std::lround(delay_seconds * 1000)));
    }
};

ExitCode batch(const Context& context, const TopOptions& options) {
    Connection connection(context.socket);
    v1::VcpuReport before = ask_vcpus(connection, "", true);
    for (int64_t i = 0; i < options.iterations || options.iterations == 0; i++) {
        std::this_thread::sleep_for(options.delay());
        v1::VcpuReport after = ask_vcpus(connection, "", true);
        const Activity activity = compare(before, after);
        print(context.json ? render_activity_json(activity)
                           : (i == 0 ? "" : "\n") + render_activity(activity, options.vcpus));
        before = std::move(after);
    }
    return ExitCode::kSuccess;
}

class Interactive {
public:
    Interactive(Connection& connection, const TopOptions& options)
        : connection_(connection), delay_(options.delay()), vcpus_(options.vcpus) {}

    struct Left {};  // thrown when somebody leaves while the daemon is waited for
    ExitCode outcome() const { return outcome_.value_or(ExitCode::kFailed); }

    ExitCode run() {
        v1::VcpuReport before = ask();
        screen_.draw("looking for " + std::to_string(delay_.count() / 1000) + " s; q leaves");
        while (!outcome_) {
            stay(steady_clock::now() + delay_);
            if (outcome_) break;
            v1::VcpuReport after = ask();
            activity_ = compare(before, after);
            before = std::move(after);
            draw();
        }
        return *outcome_;
    }

private:
    // Keys and signals count while the daemon is waited for, too.
    v1::VcpuReport ask() {
        return ask_vcpus(connection_, "", true, [this] {
            handle(screen_.wait(milliseconds(0)));
            if (outcome_) throw Left();
        });
    }

    void stay(steady_clock::time_point until) {
        while (!outcome_) {
            const auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now());
            if (left.count() <= 0) return;
            handle(screen_.wait(left));
        }
    }

    void handle(const Screen::Event& event) {
        switch (event.what) {
            case Screen::Happened::kInterrupted:
                outcome_ = ExitCode::kInterrupted;
                break;
            case Screen::Happened::kResized:
                draw();
                break;
            case Screen::Happened::kKey:
                if (event.key == 'q' || event.key == 'Q') outcome_ = ExitCode::kSuccess;
                if (event.key == 'v' || event.key == 'V') vcpus_ = !vcpus_;
                draw();
                break;
            default:
                break;
        }
    }

    void draw() {
        if (!activity_) return;
        const size_t rows = screen_.rows();
        const size_t columns = screen_.columns();
        std::string text = "torii top: q leaves, v shows or hides vCPUs\n";
        text += render_activity(*activity_, vcpus_, columns);
        screen_.draw(fit_screen(text, rows, columns));
    }

    Connection& connection_;
    milliseconds delay_;
    bool vcpus_;
    Screen screen_;
    std::optional<Activity> activity_;
    std::optional<ExitCode> outcome_;
};

ExitCode top(const Context& context, const TopOptions& options) {
    if (options.batch || context.json || ::isatty(STDOUT_FILENO) != 1) return batch(context, options);
    Connection connection(context.socket);
    Interactive display(connection, options);
    try {
        return display.run();
    } catch (const Interactive::Left&) {
        return display.outcome();
    }
}

}  // namespace

void add_top_command(CLI::App& app, Context& context) {
    auto options = std::make_shared<TopOptions>();
    CLI::App* command =
        app.add_subcommand("top", "What domains do with CPUs, disks and networks, again and again");
    command->footer(
        "Examples:\n  torii top\n  torii top --delay 0.5 --vcpus\n  torii top --batch --iterations 10\n"
        "  torii --json top --iterations 3       an object in a line for each look\n"
        "CPU% is of one CPU. RUN%, WAIT% and BLOCKED% are of the time of the domain's online vCPUs: WAIT% is "
        "what\nthey wanted to run and had no CPU (steal time). OFFLINE% is of all its vCPUs.\n"
        "READ/s, WRITE/s, RECV/s and SEND/s: its disks and networks. Where the terminal is narrower than the "
        "table, --batch shows all of it.\n"
        "On a terminal: q leaves, v shows or hides vCPUs. Otherwise, and with --json, it works like "
        "--batch.\n");
    command->add_option("--delay,-d", options->delay_seconds, "Seconds between two looks")
        ->capture_default_str()
        ->check(CLI::Range(0.1, 3600.0));
    command->add_flag("--vcpus,-v", options->vcpus, "A row for each vCPU, too");
    command->add_flag("--batch,-b", options->batch, "Write one table after the other");
    command->add_option("--iterations,-i", options->iterations, "How many with --batch; 0: for ever")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{0}, int64_t{1000000000}));
    command->callback(
        [options, &context] { context.action = [options, &context] { return top(context, *options); }; });
}

}  // namespace torii::cli
