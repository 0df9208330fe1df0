#include "program.h"

#include <torii/failure.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "commands.h"

namespace torii::cli {
namespace {

constexpr const char* kFooter =
    "`torii VERB --help` explains a verb, with examples.\n"
    "\n"
    "Examples:\n"
    "  torii create guest.toml        start a domain\n"
    "  torii console guest            use it; Ctrl-] leaves\n"
    "  torii shutdown guest --wait 60\n"
    "\n"
    "Exit status: 0 done; 1 failed; 2 wrong options, values or description; 3 no such domain; 4 no daemon;\n"
    "5 no permission; 6 not enough memory; 7 not possible in the present state; 8 not supported; 9 unusable "
    "kernel;\n"
    "10 timed out; 130 interrupted.\n";

// The first word that is neither an option nor the value of one.
std::string first_word(int argument_count, char** arguments) {
    for (int i = 1; i < argument_count; i++) {
        const std::string word = arguments[i];
        if (word == "--socket") {
            i++;
        } else if (!word.starts_with("-")) {
            return word;
        }
    }
    return "";
}

bool is_verb(const CLI::App& app, const std::string& word) {
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        if (command->check_name(word)) return true;
    }
    return false;
}

// What the arguments lack, of the command that they got to.
void say_what_is_missing(const CLI::App& app, const CLI::RequiredError& error) {
    const CLI::App* command = &app;
    std::string line = "torii";
    while (!command->get_subcommands().empty()) {
        command = command->get_subcommands().front();
        line += " " + command->get_name();
    }
    std::string names;
    const auto parts = command->get_subcommands([](const CLI::App*) { return true; });
    for (const CLI::App* part : parts)
        names += (names.empty() ? "" : part == parts.back() ? " or " : ", ") + part->get_name();
    const std::string missing = command == &app ? "a verb is missing"
                                : parts.empty() ? error.what()
                                                : "goes on with " + names;
    std::fprintf(stderr, "torii: `%s`: %s. See `%s --help`\n", line.c_str(), missing.c_str(), line.c_str());
}

}  // namespace

int run_program(int argument_count, char** arguments) {
    Context context;
    CLI::App app{"torii: domains on a Torii machine"};
    app.name("torii");
    app.footer(kFooter);
    app.set_version_flag("--version", "torii " TORII_VERSION);
    app.add_option("--socket", context.socket, "The daemon's control socket")->capture_default_str();
    app.add_flag("--json", context.json, "Answer in JSON");
    app.add_flag("--quiet,-q", context.quiet, "Say nothing when all went well");
    app.require_subcommand(1);
    app.fallthrough();
    add_create_command(app, context);
    add_domain_commands(app, context);
    add_guests_commands(app, context);
    add_console_commands(app, context);
    add_machine_commands(app, context);
    add_device_commands(app, context);
    add_vcpu_commands(app, context);
    add_sched_commands(app, context);
    add_top_command(app, context);
    add_image_commands(app, context);
    add_ssh_command(app, context);
    add_completion_command(app, context);
    try {
        app.parse(argument_count, arguments);
    } catch (const CLI::RequiredError& error) {
        const std::string word = first_word(argument_count, arguments);
        if (word.empty() || is_verb(app, word)) {
            say_what_is_missing(app, error);
        } else {
            std::fprintf(stderr, "torii: there is no verb \"%s\": `torii --help` lists them\n", word.c_str());
        }
        return static_cast<int>(ExitCode::kUsage);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
    }
    try {
        return static_cast<int>(context.action());
    } catch (const Failure& failure) {
        std::fprintf(stderr, "torii: %s\n", failure.what());
        return static_cast<int>(exit_code_for(failure.code()));
    }
}

void print(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
        throw Failure(ErrorCode::kSystem, "standard output cannot be written");
    }
}

}  // namespace torii::cli
