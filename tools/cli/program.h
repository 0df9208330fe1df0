#pragma once
// All of torii but the process: the verbs, what they answer, and with which status.

namespace torii::cli {

// As main() gets them. Writes to standard output and standard error, and returns the exit status.
int run_program(int argument_count, char** arguments);

}  // namespace torii::cli
