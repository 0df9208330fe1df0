#include "devices/helper_processes.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <thread>

#include "log/log.h"

extern char** environ;

namespace torii::dom0 {
namespace {

// When a process began, in the kernel's ticks: with its number, it names one process of this boot (proc(5),
// stat, field 22).
std::optional<uint64_t> start_time(int process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    // The second field is a name that may hold anything; the last parenthesis ends it, and is followed by
    // field 3.
    size_t position = line.rfind(')');
    for (int field = 2; field < 22 && position != std::string::npos; field++)
        position = line.find(' ', position + 1);
    if (position == std::string::npos) return std::nullopt;
    return std::strtoull(line.c_str() + position + 1, nullptr, 10);
}

// A shell between, which is waited for, and which leaves the program to the system: so the daemon has no
// child that it would have to bury, and the program no parent that takes it along. The program's arguments
// are the shell's own, never part of a script.
constexpr const char* kLeave = R"(record=$1; shift; setsid "$@" </dev/null & echo $! >"$record")";
// The unit's main process tells its number itself; it is that of the program after exec.
constexpr const char* kInUnit = R"(record=$1; shift; echo $$ >"$record"; exec "$@")";

constexpr int kPatience = 2000;  // milliseconds

int run(const std::vector<std::string>& arguments) {
    std::vector<char*> raw;
    for (const std::string& argument : arguments)
        raw.push_back(const_cast<char*>(argument.c_str()));
    raw.push_back(nullptr);
    pid_t child = 0;
    // None of the daemon's files: a socket that it listened at would take connections that nobody answers.
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    const int problem = ::posix_spawnp(&child, raw[0], &actions, nullptr, raw.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (problem != 0) {
        throw Failure(ErrorCode::kSystem,
                      fmt::format("cannot start {}: {}", arguments[0], std::strerror(problem)));
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

}  // namespace

HelperProcesses::HelperProcesses(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
}

std::filesystem::path HelperProcesses::record(const std::string& name) const {
    return folder_ / (name + ".process");
}

int HelperProcesses::process(const std::string& name) const {
    std::ifstream file(record(name));
    int number = 0;
    uint64_t began = 0;
    if (!(file >> number) || number <= 1) return 0;
    const auto found = start_time(number);
    if (!found) return 0;
    // Written behind the number once it was seen to run.
    if (file >> began && began != *found) return 0;
    return number;
}

bool HelperProcesses::runs(const std::string& name) const {
    return process(name) != 0;
}

void HelperProcesses::start(const std::string& name, const std::vector<std::string>& arguments) {
    if (runs(name)) return;
    if (::access(arguments[0].c_str(), X_OK) != 0) {
        throw Failure(ErrorCode::kSystem, fmt::format("cannot start {}: {}. Is its package installed?",
                                                      arguments[0], std::strerror(errno)));
    }
    const std::string place = record(name).string();
    std::filesystem::remove(place);
    const bool units = ::sd_booted() > 0;
    std::vector<std::string> words;
    if (units)
        words = {"systemd-run", "--quiet", "--collect", "--unit=torii-" + name, "--service-type=exec", "--"};
    words.insert(words.end(), {"/bin/sh", "-c", units ? kInUnit : kLeave, "torii-helper", place});
    words.insert(words.end(), arguments.begin(), arguments.end());
    const int status = run(words);
    // A unit's shell may not have come to telling its number yet.
    for (int i = 0; status == 0 && process(name) == 0 && i < kPatience; i++)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const int number = status == 0 ? process(name) : 0;
    const auto began = number != 0 ? start_time(number) : std::nullopt;
    if (!began) {
        throw Failure(ErrorCode::kSystem,
                      fmt::format("{} did not start{}", arguments[0],
                                  units ? ": `journalctl -u torii-" + name + "` says more" : ""));
    }
    std::ofstream(place, std::ios::app) << *began << "\n";
    log_info("started {} as process {}", name, number);
}

void HelperProcesses::stop(const std::string& name) noexcept {
    const int number = process(name);
    if (number != 0) ::kill(number, SIGTERM);
    std::error_code ignored;
    std::filesystem::remove(record(name), ignored);
}

}  // namespace torii::dom0
