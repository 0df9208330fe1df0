// torii: the command line of a Torii machine. Speaks only the control protocol.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "exit_codes.h"
#include "program.h"

int main(int argument_count, char** arguments) {
    // Ctrl-C ends the program with the status that shells expect; the daemon undoes an unfinished creation.
    std::signal(SIGINT, [](int) { _exit(static_cast<int>(torii::cli::ExitCode::kInterrupted)); });
    try {
        return torii::cli::run_program(argument_count, arguments);
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "torii: unexpected: %s\n", problem.what());
        return static_cast<int>(torii::cli::ExitCode::kFailed);
    }
}
