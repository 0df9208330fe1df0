#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "console.h"
#include "sizes.h"

namespace torii::cli {
namespace {

struct Options {
    std::string domain;
    std::string history = "4K";
    bool read_only = false;
    std::string send;
    std::string expect;
    int64_t timeout = 30;
    std::string size;
};

ExitCode console(const Context& context, const CLI::App& command, const Options& options) {
    ConsoleOptions wanted;
    wanted.domain = options.domain;
    wanted.history_bytes = parse_bytes(options.history);
    wanted.read_only = options.read_only;
    if (command.count("--send") != 0) wanted.send = replace_escapes(options.send);
    if (command.count("--expect") != 0) wanted.expect = replace_escapes(options.expect);
    wanted.timeout = std::chrono::seconds(options.timeout);
    Connection connection(context.socket);
    return run_console(connection, wanted);
}

ExitCode log(const Context& context, const Options& options) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_log()->set_domain(options.domain);
    request.mutable_log()->set_max_bytes(options.size.empty() ? 0 : parse_bytes(options.size));
    const uint64_t id = connection.send(request);
    while (true) {
        const v1::Reply reply = *connection.receive();
        if (reply.id() != id) continue;
        throw_failure(reply);
        print(reply.text().data());
        if (reply.text().last()) return ExitCode::kSuccess;
    }
}

}  // namespace

void add_console_commands(CLI::App& app, Context& context) {
    auto attaching = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("console", "Attach this terminal to a guest's console; Ctrl-] leaves");
    command->footer(
        "Examples:\n"
        "  torii console web1\n"
        "  torii console web1 --read-only\n"
        "  torii console web1 --send 'uname -r\\n' --expect '# ' --timeout 10\n"
        "Several may be attached at once. With --expect it ends with 0 when the guest has written that text, "
        "with 10\n"
        "when it has not in time.\n");
    command->add_option("DOMAIN", attaching->domain, "Its name, id or UUID")->required();
    command->add_option("--history", attaching->history, "How much of the log to show first")
        ->capture_default_str();
    command->add_flag("--read-only,-r", attaching->read_only, "Only look");
    command->add_option("--send,-s", attaching->send,
                        "Type this (with \\n for Enter), then leave unless --expect");
    command->add_option("--expect,-e", attaching->expect, "Leave when the guest writes this");
    command->add_option("--timeout,-t", attaching->timeout, "Seconds for --expect")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{1}, int64_t{86400}));
    command->callback([command, attaching, &context] {
        context.action = [command, attaching, &context] { return console(context, *command, *attaching); };
    });

    auto reading = std::make_shared<Options>();
    CLI::App* log_command = app.add_subcommand("log", "What a guest has written on its console");
    log_command->footer(
        "Examples:\n  torii log web1\n  torii log web1 --size 2K\nAlso of domains that have ended.\n");
    log_command->add_option("DOMAIN", reading->domain, "Its name, id or UUID")->required();
    log_command->add_option("--size", reading->size, "Only the newest so many bytes: 2K, 1M");
    log_command->callback(
        [reading, &context] { context.action = [reading, &context] { return log(context, *reading); }; });
}

}  // namespace torii::cli
