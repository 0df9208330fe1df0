#pragma once
// The verbs of the command line. Each registers itself on the application and leaves what is to be run in
// `action`.

#include <CLI/App.hpp>
#include <functional>
#include <string>

#include "connection.h"
#include "exit_codes.h"

namespace torii::cli {

struct Context {
    std::string socket = "/run/torii/control.sock";
    bool json = false;
    bool quiet = false;
    std::function<ExitCode()> action;  // of the chosen verb
};

void add_create_command(CLI::App& app, Context& context);      // commands_create.cpp
void add_domain_commands(CLI::App& app, Context& context);     // commands_domain.cpp
void add_guests_commands(CLI::App& app, Context& context);     // commands_guests.cpp
void add_console_commands(CLI::App& app, Context& context);    // commands_console.cpp
void add_machine_commands(CLI::App& app, Context& context);    // commands_machine.cpp
void add_vcpu_commands(CLI::App& app, Context& context);       // commands_vcpu.cpp
void add_sched_commands(CLI::App& app, Context& context);      // commands_sched.cpp
void add_device_commands(CLI::App& app, Context& context);     // commands_devices.cpp
void add_top_command(CLI::App& app, Context& context);         // commands_top.cpp
void add_image_commands(CLI::App& app, Context& context);      // commands_image.cpp
void add_ssh_command(CLI::App& app, Context& context);         // commands_image.cpp
void add_completion_command(CLI::App& app, Context& context);  // completion.cpp

// Writes to standard output; throws Failure (kSystem) when that fails, so that a full disk is not taken for
// success.
void print(const std::string& text);

}  // namespace torii::cli
