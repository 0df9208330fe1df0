#pragma once
// `torii console`: a guest's console on this terminal, or driven by a script.

#include <chrono>
#include <optional>
#include <string>

#include "connection.h"
#include "exit_codes.h"

namespace torii::cli {

struct ConsoleOptions {
    std::string domain;
    uint64_t history_bytes = 4096;
    bool read_only = false;
    std::optional<std::string> send;    // typed for the user, escapes already replaced
    std::optional<std::string> expect;  // leave when the guest has written this
    std::chrono::seconds timeout{30};   // for expect
};

// Runs until Ctrl-], the end of the domain or of standard input, or what `expect` asks for.
ExitCode run_console(Connection& connection, const ConsoleOptions& options);

// Replaces \n \r \t \\ \xHH and \e. Throws Failure (kInvalidArgument).
std::string replace_escapes(const std::string& text);

// Finds a text in a stream that arrives in pieces.
class StreamMatcher {
public:
    explicit StreamMatcher(std::string wanted) : wanted_(std::move(wanted)) {}
    // Whether the text has been seen by the end of this piece.
    bool feed(const std::string& piece);

private:
    std::string wanted_;
    std::string tail_;
    bool seen_ = false;
};

}  // namespace torii::cli
