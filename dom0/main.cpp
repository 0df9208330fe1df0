// toriid: xenstore, domain builder, consoles, lifecycle and the control socket of a Torii (or Xen 4.17)
// machine.

#include <torii/failure.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "daemon.h"
#include "log/log.h"
#include "xenstore/fail_points.h"

namespace {

using namespace torii::dom0;

constexpr const char* kFooter =
    "Examples:\n"
    "  toriid                                       serve this machine\n"
    "  toriid --log-level debug                     and say more\n"
    "  toriid --socket /tmp/t.sock --group staff    another socket, another group\n"
    "\n"
    "toriid runs in the foreground and logs to standard error; start it from dom0's init and let that "
    "restart it.\n"
    "Under systemd it takes the control socket that toriid.socket has opened.\n"
    "It may be killed at any time: guests go on, and the next toriid finds them again.\n"
    "Exit status: 0 after SIGTERM, 1 if it cannot work (the last line says why), 2 for wrong options.\n";

int list_fail_points() {
    for (const std::string_view name : kFailPoints)
        std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    for (const std::string_view name : xenstore::fail_point::kAll) {
        std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
    }
    return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
    DaemonOptions options;
    LogOptions log;
    bool builder = false;
    bool fail_points = false;
    CLI::App app{"toriid: the daemon of dom0"};
    app.footer(kFooter);
    app.set_version_flag("--version", "toriid " TORII_VERSION);
    app.add_option("--socket", options.socket, "Control socket")->capture_default_str();
    app.add_option("--group", options.group, "Group that may use the control socket")->capture_default_str();
    app.add_option("--state-dir", options.state_directory, "What survives a restart; on a tmpfs")
        ->capture_default_str();
    app.add_option("--xenstore-dir", options.xenstore_directory,
                   "Where stock xenstore clients look for sockets")
        ->capture_default_str();
    app.add_option("--log-dir", options.log_directory, "Console logs of guests")->capture_default_str();
    app.add_option("--console-log-size", options.console_log_bytes,
                   "Bytes of a guest's console log; an older file of that size is kept besides")
        ->capture_default_str()
        ->check(CLI::Range(uint64_t{4096}, uint64_t{1} << 40));
    app.add_option("--devices-dir", options.backends.folder,
                   "What guests' devices need to survive a restart; on a tmpfs")
        ->capture_default_str();
    app.add_option("--nat-program", options.backends.nat_program,
                   "The network of guests behind this machine's")
        ->capture_default_str();
    app.add_option("--disk-server", options.backends.disk_server, "What serves images that are not raw")
        ->capture_default_str();
    app.add_option("--log-file", log.file, "Also log to this file");
    const std::map<std::string, LogLevel> levels{{"debug", LogLevel::kDebug},
                                                 {"info", LogLevel::kInfo},
                                                 {"warning", LogLevel::kWarning},
                                                 {"error", LogLevel::kError}};
    app.add_option("--log-level", log.level, "debug, info, warning or error")
        ->transform(CLI::CheckedTransformer(levels, CLI::ignore_case));
    app.add_option("--lock-file", options.lock_file, "Kept locked while the daemon runs")
        ->capture_default_str();
    app.add_option("--fail-point", options.fail_point,
                   "For tests: kill the daemon at this step, NAME or NAME:COUNT")
        ->expected(0, 1);
    app.add_flag("--list-fail-points", fail_points, "Name the steps for --fail-point");
    app.add_flag("--builder", builder, "Used by toriid itself")->group("");
    try {
        app.parse(argument_count, arguments);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    if (fail_points) return list_fail_points();
    try {
        start_log(log);
        if (builder) return run_builder(make_fail_point_hook(options.fail_point, ::getppid()));
        Daemon daemon(options);
        daemon.run();
        return 0;
    } catch (const std::exception& problem) {
        log_error("{}", problem.what());
        return 1;
    }
}
