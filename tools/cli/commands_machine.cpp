#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "json.h"
#include "render.h"

namespace torii::cli {
namespace {

ExitCode hypervisor_log(const Context& context, bool clear) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_hypervisor_log()->set_clear(clear);
    const uint64_t id = connection.send(request);
    std::string text;
    while (true) {
        const v1::Reply reply = *connection.receive();
        if (reply.id() != id) continue;
        throw_failure(reply);
        text += reply.text().data();
        if (reply.text().last()) break;
    }
    if (context.json) {
        JsonWriter json;
        json.value(text);
        text = json.take();
    }
    print(text);
    return ExitCode::kSuccess;
}

ExitCode host(const Context& context) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_host();
    const v1::Reply reply = connection.call(request);
    print(context.json ? render_host_json(reply.host()) : render_host(reply.host()));
    return ExitCode::kSuccess;
}

ExitCode counters(const Context& context, bool reset, bool all) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_counters()->set_reset(reset);
    const v1::Reply reply = connection.call(request);
    print(context.json ? render_counters_json(reply.counters()) : render_counters(reply.counters(), all));
    return ExitCode::kSuccess;
}

}  // namespace

void add_machine_commands(CLI::App& app, Context& context) {
    auto clear = std::make_shared<bool>(false);
    CLI::App* log = app.add_subcommand("dmesg", "The hypervisor's own log");
    log->footer("Examples:\n  torii dmesg\n  torii dmesg --clear\n");
    log->add_flag("--clear,-c", *clear, "Show it and empty it");
    log->callback([clear, &context] {
        context.action = [clear, &context] { return hypervisor_log(context, *clear); };
    });

    CLI::App* machine = app.add_subcommand("host", "The machine: memory, CPUs, versions");
    machine->footer("Examples:\n  torii host\n  torii --json host\n");
    machine->callback([&context] { context.action = [&context] { return host(context); }; });

    auto reset = std::make_shared<bool>(false);
    auto all = std::make_shared<bool>(false);
    CLI::App* counting =
        app.add_subcommand("counters", "How often each hypercall, trap and event has happened");
    counting->footer("Examples:\n  torii counters\n  torii counters --all\n  torii counters --reset\n");
    counting->add_flag("--reset", *reset, "Show them and start again from zero");
    counting->add_flag("--all", *all, "Also those that are zero");
    counting->callback([reset, all, &context] {
        context.action = [reset, all, &context] { return counters(context, *reset, *all); };
    });
}

}  // namespace torii::cli
