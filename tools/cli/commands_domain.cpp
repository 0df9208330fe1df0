#include <torii/failure.h>

#include <chrono>
#include <CLI/CLI.hpp>
#include <memory>

#include "ask_domains.h"
#include "commands.h"
#include "render.h"
#include "sizes.h"

namespace torii::cli {
namespace {

constexpr const char* kDomainHelp = "Its name, id or UUID";

struct DomainOptions {
    std::string domain;
    std::string second;
    int64_t wait_seconds = 0;
    bool active_only = false;
};
using Options = std::shared_ptr<DomainOptions>;

ExitCode list(const Context& context, bool active_only) {
    Connection connection(context.socket);
    const v1::DomainList shown = ask_list(connection, active_only);
    print(context.json ? render_list_json(shown) : render_list(shown));
    return ExitCode::kSuccess;
}

ExitCode info(const Context& context, const std::string& domain) {
    Connection connection(context.socket);
    const v1::Domain found = ask_info(connection, domain);
    print(context.json ? render_domain_json(found) : render_domain(found));
    return ExitCode::kSuccess;
}

void say(const Context& context, const std::string& sentence) {
    if (!context.quiet && !context.json) print(sentence + "\n");
}

ExitCode shut_down(const Context& context, const DomainOptions& options, bool reboot) {
    Connection connection(context.socket);
    const v1::Domain before = ask_info(connection, options.domain);
    v1::Request request;
    request.mutable_shutdown()->set_domain(options.domain);
    request.mutable_shutdown()->set_reboot(reboot);
    connection.call(request);
    if (options.wait_seconds > 0) {
        if (!wait_for_end(connection, before, std::chrono::seconds(options.wait_seconds))) {
            throw Failure(ErrorCode::kTimeout, before.name() + " has not ended within " +
                                                   std::to_string(options.wait_seconds) +
                                                   " seconds; `torii destroy` ends it by force");
        }
        say(context, before.name() + (reboot ? " has rebooted" : " has shut down"));
    } else {
        say(context, before.name() + (reboot ? " was asked to reboot" : " was asked to shut down"));
    }
    return ExitCode::kSuccess;
}

ExitCode destroy(const Context& context, const std::string& domain) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_destroy()->set_domain(domain);
    const v1::Reply reply = connection.call(request);
    if (reply.domain().dying()) {
        say(context, domain + " is dying: others still hold " + format_kib(reply.domain().memory_kib()) +
                         " of its memory; it is gone when they let go");
    } else {
        say(context, domain + " is destroyed");
    }
    return ExitCode::kSuccess;
}

ExitCode simple(const Context& context, const v1::Request& request, const std::string& sentence) {
    Connection connection(context.socket);
    connection.call(request);
    say(context, sentence);
    return ExitCode::kSuccess;
}

CLI::App* add_verb(CLI::App& app, const char* name, const char* description, const char* examples,
                   const Options& options, Context& context, std::function<ExitCode()> run) {
    CLI::App* command = app.add_subcommand(name, description);
    command->footer(std::string("Examples:\n") + examples);
    command->add_option("DOMAIN", options->domain, kDomainHelp)->required();
    command->callback([&context, run = std::move(run)] { context.action = run; });
    return command;
}

void add_shutdown_verbs(CLI::App& app, Context& context) {
    const auto add = [&](const char* name, const char* description, const char* examples, bool reboot) {
        const Options options = std::make_shared<DomainOptions>();
        CLI::App* command =
            add_verb(app, name, description, examples, options, context,
                     [options, &context, reboot] { return shut_down(context, *options, reboot); });
        command->add_option("--wait,-w", options->wait_seconds, "Wait so many seconds for it to end")
            ->check(CLI::Range(int64_t{1}, int64_t{86400}));
    };
    add("shutdown", "Ask the guest to power itself off",
        "  torii shutdown web1\n  torii shutdown web1 --wait 60\n", false);
    add("reboot", "Ask the guest to reboot", "  torii reboot web1\n  torii reboot web1 --wait 60\n", true);
}

void add_state_verbs(CLI::App& app, Context& context) {
    const Options pausing = std::make_shared<DomainOptions>();
    add_verb(app, "pause", "Stop the guest's CPUs; nothing is lost", "  torii pause web1\n", pausing, context,
             [pausing, &context] {
                 v1::Request request;
                 request.mutable_pause()->set_domain(pausing->domain);
                 return simple(context, request, pausing->domain + " is paused");
             });
    const Options unpausing = std::make_shared<DomainOptions>();
    add_verb(app, "unpause", "Let a paused guest go on", "  torii unpause web1\n", unpausing, context,
             [unpausing, &context] {
                 v1::Request request;
                 request.mutable_unpause()->set_domain(unpausing->domain);
                 return simple(context, request, unpausing->domain + " goes on");
             });
    const Options destroying = std::make_shared<DomainOptions>();
    add_verb(app, "destroy", "End a domain at once, or forget one that has ended", "  torii destroy web1\n",
             destroying, context, [destroying, &context] { return destroy(context, destroying->domain); });
}

void add_change_verbs(CLI::App& app, Context& context) {
    const Options renaming = std::make_shared<DomainOptions>();
    CLI::App* rename =
        add_verb(app, "rename", "Give a domain another name", "  torii rename web1 web-old\n", renaming,
                 context, [renaming, &context] {
                     v1::Request request;
                     request.mutable_rename()->set_domain(renaming->domain);
                     request.mutable_rename()->set_new_name(renaming->second);
                     return simple(context, request, renaming->domain + " is now called " + renaming->second);
                 });
    rename->add_option("NAME", renaming->second, "The new name")->required();
    const Options memory = std::make_shared<DomainOptions>();
    CLI::App* set = add_verb(
        app, "mem-set", "Ask the guest to give back memory, or to take it again",
        "  torii mem-set web1 128M\n  torii mem-set web1 1G\n", memory, context, [memory, &context] {
            const uint64_t kib = parse_memory_kib(memory->second);
            v1::Request request;
            request.mutable_memory_set()->set_domain(memory->domain);
            request.mutable_memory_set()->set_memory_kib(kib);
            return simple(context, request, memory->domain + " was asked to go to " + format_kib(kib));
        });
    set->add_option("SIZE", memory->second, "Memory: 128M, 1G; a plain number is MiB")->required();
}

}  // namespace

void add_domain_commands(CLI::App& app, Context& context) {
    const Options listing = std::make_shared<DomainOptions>();
    CLI::App* list_command = app.add_subcommand("list", "All domains, and how the last ones ended");
    list_command->footer("Examples:\n  torii list\n  torii --json list\n  torii list --active\n");
    list_command->add_flag("--active,-a", listing->active_only, "Only those that exist now");
    list_command->callback([listing, &context] {
        context.action = [listing, &context] { return list(context, listing->active_only); };
    });
    const Options asking = std::make_shared<DomainOptions>();
    add_verb(app, "info", "All about one domain", "  torii info web1\n  torii --json info 3\n", asking,
             context, [asking, &context] { return info(context, asking->domain); });
    add_state_verbs(app, context);
    add_shutdown_verbs(app, context);
    add_change_verbs(app, context);
}

}  // namespace torii::cli
