// Guests together: those that start with the machine, and all of them when it shuts down.

#include <torii/failure.h>

#include <algorithm>
#include <chrono>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <thread>

#include "ask_domains.h"
#include "commands.h"

namespace torii::cli {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How long a guest that has just been started gets to boot so far that it listens.
constexpr auto kPatienceWithDeaf = 20s;
constexpr auto kAskAgainAfter = 200ms;

struct GuestsOptions {
    std::string folder = "/etc/torii/auto";
    int64_t limit = 180;
};

void say(const Context& context, const std::string& sentence) {
    if (!context.quiet) print(sentence + "\n");
}

void complain(const std::string& sentence) {
    std::fprintf(stderr, "torii: %s\n", sentence.c_str());
}

// In the order of their names.
std::vector<fs::path> descriptions(const std::string& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".toml") files.push_back(entry.path());
    }
    if (error) {
        throw Failure(ErrorCode::kSystem, "the folder of descriptions " + folder + " cannot be read: " +
                                              error.message() + ". Make it, or name another with --folder");
    }
    std::sort(files.begin(), files.end());
    return files;
}

Description description_of(const fs::path& file) {
    std::error_code error;
    // Paths in it are relative to where it lies, which a link hides.
    const fs::path real = fs::canonical(file, error);
    if (error)
        throw Failure(ErrorCode::kConfigurationSyntax,
                      "cannot open " + file.string() + ": " + error.message());
    Description description = read_description(real.string());
    check_complete(description);
    return description;
}

bool runs(const v1::DomainList& list, const std::string& name) {
    return std::any_of(list.domains().begin(), list.domains().end(), [&](const v1::Domain& domain) {
        return domain.name() == name && (domain.active() || domain.building());
    });
}

void start_one(const Context& context, Connection& connection, const fs::path& file) {
    const Description description = description_of(file);
    const std::string& name = description.config.name();
    if (runs(ask_list(connection, false), name)) {
        say(context, name + " runs already");
        return;
    }
    const v1::Domain domain = ask_create(connection, description);
    say(context, name + " runs as domain " + std::to_string(domain.domid()));
}

ExitCode start(const Context& context, const GuestsOptions& options) {
    const std::vector<fs::path> files = descriptions(options.folder);
    Connection connection(context.socket);
    size_t failed = 0;
    ErrorCode first = ErrorCode::kOk;
    for (const fs::path& file : files) {
        try {
            start_one(context, connection, file);
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kRpc) throw;  // the daemon is gone: nor would the others start
            complain(file.string() + ": " + failure.what());
            if (failed++ == 0) first = failure.code();
        }
    }
    if (failed == 0) return ExitCode::kSuccess;
    throw Failure(first, std::to_string(failed) + " of the " + std::to_string(files.size()) + " guests of " +
                             options.folder +
                             " could not be started; the others run. Mend those, then: torii guests start");
}

// Names by the files' order; those that can't be read now have no say in the order.
std::vector<std::string> order_of_start(const std::string& folder) {
    std::vector<std::string> names;
    try {
        for (const fs::path& file : descriptions(folder)) {
            try {
                names.push_back(description_of(file).config.name());
            } catch (const Failure&) {
            }
        }
    } catch (const Failure&) {
    }
    return names;
}

// First those that were started by hand, newest first; then those of the folder, the last file's first.
std::vector<v1::Domain> order_of_stop(const v1::DomainList& list, const std::string& folder) {
    const std::vector<std::string> names = order_of_start(folder);
    const auto place = [&](const v1::Domain& domain) {
        return names.end() - std::find(names.begin(), names.end(), domain.name());
    };
    std::vector<v1::Domain> domains;
    for (const v1::Domain& domain : list.domains()) {
        const bool own = domain.active() && domain.domid() == 0;
        if (!own && (domain.active() || domain.building())) domains.push_back(domain);
    }
    std::stable_sort(domains.begin(), domains.end(), [&](const v1::Domain& a, const v1::Domain& b) {
        if (place(a) != place(b)) return place(a) < place(b);
        return std::pair(a.created_unix(), a.domid()) > std::pair(b.created_unix(), b.domid());
    });
    return domains;
}

void destroy(Connection& connection, const v1::Domain& domain) {
    v1::Request request;
    request.mutable_destroy()->set_domain(domain.uuid());
    connection.call(request);
}

// Whether the guest was told before the time is up. One that boots does not listen yet.
bool ask_to_shut_down(Connection& connection, const v1::Domain& domain, Clock::time_point deadline) {
    v1::Request request;
    if (domain.state() == v1::PAUSED) {
        request.mutable_unpause()->set_domain(domain.uuid());
        connection.call(request);
    }
    request.mutable_shutdown()->set_domain(domain.uuid());
    request.mutable_shutdown()->set_for_good(true);
    while (true) {
        try {
            connection.call(request);
            return true;
        } catch (const Failure& failure) {
            if (failure.code() != ErrorCode::kOperationInvalid) throw;
        }
        if (Clock::now() >= deadline) return false;
        std::this_thread::sleep_for(kAskAgainAfter);
    }
}

// Whether it ended by itself.
bool stop_one(const Context& context, Connection& connection, const v1::Domain& domain,
              Clock::duration share) {
    const bool ended = domain.state() == v1::SHUTOFF || domain.state() == v1::CRASHED;
    if (domain.building() || domain.dying() || ended) {
        if (!domain.dying()) destroy(connection, domain);
        say(context, domain.name() + " did not run and is gone");
        return true;
    }
    const auto deadline = Clock::now() + share;
    std::string why = "did not listen";
    if (ask_to_shut_down(connection, domain, std::min(deadline, Clock::now() + kPatienceWithDeaf))) {
        const auto left = std::max(deadline - Clock::now(), Clock::duration(0));
        if (wait_for_end(connection, domain, std::chrono::duration_cast<std::chrono::milliseconds>(left))) {
            say(context, domain.name() + " has shut down");
            return true;
        }
        why = "did not shut down within " +
              std::to_string(std::chrono::ceil<std::chrono::seconds>(share).count()) + " s";
    }
    destroy(connection, domain);
    complain(domain.name() + " " + why + " and was destroyed");
    return false;
}

// What one does not use of its share is left for those that follow.
ExitCode stop(const Context& context, const GuestsOptions& options) {
    Connection connection(context.socket);
    const std::vector<v1::Domain> domains = order_of_stop(ask_list(connection, false), options.folder);
    const auto deadline = Clock::now() + std::chrono::seconds(options.limit);
    size_t left = domains.size();
    size_t forced = 0;
    size_t failed = 0;
    for (const v1::Domain& domain : domains) {
        const auto share = std::max(deadline - Clock::now(), Clock::duration(0)) / left--;
        try {
            if (!stop_one(context, connection, domain, share)) forced++;
        } catch (const Failure& failure) {
            if (failure.code() == ErrorCode::kRpc) throw;
            if (failure.code() == ErrorCode::kNoDomain && domain.managed()) continue;  // it was quicker
            complain(failure.what());
            failed++;
        }
    }
    if (failed != 0) {
        throw Failure(ErrorCode::kOperationFailed,
                      std::to_string(failed) + " guests could not be stopped: see `torii list`");
    }
    if (forced == 0) return ExitCode::kSuccess;
    throw Failure(ErrorCode::kTimeout, std::to_string(forced) + " of " + std::to_string(domains.size()) +
                                           " guests had to be destroyed; --limit gives them more time");
}

CLI::App* add_verb(CLI::App& guests, const char* name, const char* description, const char* examples,
                   const std::shared_ptr<GuestsOptions>& options) {
    CLI::App* command = guests.add_subcommand(name, description);
    command->footer(std::string("Examples:\n") + examples);
    command->add_option("--folder", options->folder, "Where the descriptions lie, as NAME.toml")
        ->capture_default_str();
    return command;
}

}  // namespace

void add_guests_commands(CLI::App& app, Context& context) {
    CLI::App* guests = app.add_subcommand("guests", "Start and stop guests together");
    guests->footer(
        "Examples:\n  torii guests start\n  torii guests stop --limit 60\n"
        "systemd does the first when the machine has booted (torii-auto.service), and the second when it "
        "shuts down\n(torii-guests.service).\n");
    guests->require_subcommand(1);
    auto starting = std::make_shared<GuestsOptions>();
    add_verb(*guests, "start", "Create the guests that are described in a folder, in the order of its files",
             "  torii guests start\n  torii guests start --folder ./lab\n", starting)
        ->callback([starting, &context] {
            context.action = [starting, &context] { return start(context, *starting); };
        });
    auto stopping = std::make_shared<GuestsOptions>();
    CLI::App* command =
        add_verb(*guests, "stop",
                 "Shut all guests down, one after the other: those that were started by hand first, newest "
                 "first, then those of the folder, the last file's first",
                 "  torii guests stop\n  torii guests stop --limit 60\n", stopping);
    command
        ->add_option(
            "--limit", stopping->limit,
            "Seconds for all of them; who does not use its share leaves it to those that follow, who "
            "uses it up is destroyed")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{1}, int64_t{86400}));
    command->callback(
        [stopping, &context] { context.action = [stopping, &context] { return stop(context, *stopping); }; });
}

}  // namespace torii::cli
