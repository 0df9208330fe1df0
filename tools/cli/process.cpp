#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string_view>

namespace torii::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kLinesInMessage = 12;
constexpr size_t kLongestLine = 500;
constexpr int kLookEveryMs = 100;  // how soon a signal counts that came between two looks
constexpr auto kPatienceWithKilled = std::chrono::seconds(10);
constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t interrupted = 0;

[[noreturn]] void fail(const std::string& what, int error) {
    throw Failure(ErrorCode::kSystem, what + ": " + std::strerror(error));
}

class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    ~Descriptor() { close(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    void close() {
        if (number_ >= 0) ::close(number_);
        number_ = -1;
    }
    void set(int number) {
        close();
        number_ = number;
    }
    int get() const { return number_; }
    bool is_open() const { return number_ >= 0; }

private:
    int number_;
};

void make_pipe(Descriptor& reading, Descriptor& writing) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("a pipe cannot be made", errno);
    reading.set(ends[0]);
    writing.set(ends[1]);
}

// Collects output, and cuts it into lines. A carriage return ends one too: that is how programs show
// progress.
class Lines {
public:
    explicit Lines(const OnLine& on_line) : on_line_(on_line) {}

    void add(std::string_view data) {
        whole_ += data;
        for (const char c : data) {
            if (c == '\n' || c == '\r') {
                end_line();
            } else if (line_.size() < kLongestLine) {
                line_ += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
            }
        }
    }
    void end_line() {
        if (line_.empty()) return;
        last_.push_back(line_);
        if (last_.size() > kLinesInMessage) last_.pop_front();
        if (on_line_) on_line_(line_);
        line_.clear();
    }
    std::string take_whole() { return std::move(whole_); }
    std::string end_for_message() const {
        if (last_.empty()) return " It said nothing.";
        std::string text = " The end of what it said:";
        for (const std::string& line : last_)
            text += "\n    " + line;
        return text;
    }

private:
    const OnLine& on_line_;
    std::string whole_;
    std::string line_;
    std::deque<std::string> last_;
};

class Child {
public:
    explicit Child(const Command& command) : command_(command) { spawn(); }
    ~Child() {
        if (id_ > 0) kill_all();
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    // Its wait status.
    int follow(Lines& lines) {
        while (output_.is_open()) {
            exchange(lines, kLookEveryMs);
            check_interrupted();
        }
        lines.end_line();
        return wait();
    }

private:
    void spawn() {
        Descriptor its_input, its_output;
        make_pipe(its_input, input_);
        make_pipe(output_, its_output);
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_adddup2(&actions, its_input.get(), STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDERR_FILENO);
        // A group of its own: Ctrl-C comes to us alone, and a kill reaches what it has started.
        posix_spawnattr_setpgroup(&attributes, 0);
        sigset_t usual;
        sigemptyset(&usual);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
            sigaddset(&usual, signal);
        posix_spawnattr_setsigdefault(&attributes, &usual);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
        const int error = spawn_with(actions, attributes);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        if (error != 0) fail("the program " + command_.words.front() + " cannot be started", error);
        ::fcntl(input_.get(), F_SETFL, O_NONBLOCK);
        if (command_.input.empty()) input_.close();
    }

    int spawn_with(const posix_spawn_file_actions_t& actions, const posix_spawnattr_t& attributes) {
        std::vector<char*> words, environment;
        for (const std::string& word : command_.words)
            words.push_back(const_cast<char*>(word.c_str()));  // the call changes nothing
        for (const std::string& variable : command_.environment)
            environment.push_back(const_cast<char*>(variable.c_str()));
        words.push_back(nullptr);
        environment.push_back(nullptr);
        // Not by our own PATH: that of a plain `su` has no /usr/sbin.
        const std::string program = program_path(command_.words.front());
        if (program.empty()) return ENOENT;
        return posix_spawn(&id_, program.c_str(), &actions, &attributes, words.data(), environment.data());
    }

    void exchange(Lines& lines, int timeout_ms) {
        std::array<pollfd, 2> waited{{{output_.get(), POLLIN, 0}, {input_.get(), POLLOUT, 0}}};
        if (::poll(waited.data(), waited.size(), timeout_ms) < 0)
            return;  // a signal: looked at by our caller
        if (waited[0].revents != 0) read_some(lines);
        if (input_.is_open() && waited[1].revents != 0) write_some();
    }

    void read_some(Lines& lines) {
        std::array<char, 65536> buffer;
        const ssize_t count = ::read(output_.get(), buffer.data(), buffer.size());
        if (count > 0) lines.add({buffer.data(), static_cast<size_t>(count)});
        if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) output_.close();
    }

    // A program that does not read all of its input has its reasons: its status tells.
    void write_some() {
        const std::string& input = command_.input;
        const ssize_t count = ::write(input_.get(), input.data() + written_, input.size() - written_);
        if (count > 0) written_ += static_cast<size_t>(count);
        if (written_ == input.size() || (count < 0 && errno == EPIPE)) input_.close();
    }

    int wait() {
        int status = 0;
        while (::waitpid(id_, &status, 0) < 0) {
            if (errno != EINTR) fail("a program's end cannot be learnt", errno);
            if (interrupted != 0) check_interrupted();
        }
        id_ = -1;
        return status;
    }

    // Waits until its output is closed: only then the last process that it has started is gone.
    void kill_all() {
        ::kill(-id_, SIGKILL);
        while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
        }
        const OnLine nobody;
        Lines ignored(nobody);
        const auto deadline = Clock::now() + kPatienceWithKilled;
        while (output_.is_open() && Clock::now() < deadline)
            exchange(ignored, kLookEveryMs);
    }

    const Command& command_;
    pid_t id_ = -1;
    Descriptor input_, output_;
    size_t written_ = 0;
};

std::string how_it_ended(int status) {
    if (WIFSIGNALED(status)) {
        return std::string("was ended by a signal (") + strsignal(WTERMSIG(status)) + ")";
    }
    return "ended with code " + std::to_string(WEXITSTATUS(status));
}

std::string joined(const std::vector<std::string>& words) {
    std::string line;
    for (const std::string& word : words)
        line += (line.empty() ? "" : " ") + word;
    return line;
}

// SIGPIPE would end us when a program does not read its input.
class IgnoredBrokenPipe {
public:
    IgnoredBrokenPipe() : before_(std::signal(SIGPIPE, SIG_IGN)) {}
    ~IgnoredBrokenPipe() { std::signal(SIGPIPE, before_); }
    IgnoredBrokenPipe(const IgnoredBrokenPipe&) = delete;
    IgnoredBrokenPipe& operator=(const IgnoredBrokenPipe&) = delete;

private:
    void (*before_)(int);
};

}  // namespace

std::string run(const Command& command, const OnLine& on_line) {
    check_interrupted();
    const IgnoredBrokenPipe ignored;
    Lines lines(on_line);
    Child child(command);
    const int status = child.follow(lines);
    if (status == 0) return lines.take_whole();
    throw Failure(ErrorCode::kOperationFailed,
                  "\"" + (command.told_as.empty() ? joined(command.words) : command.told_as) + "\" " +
                      how_it_ended(status) + "." + (command.hint.empty() ? "" : " " + command.hint) +
                      lines.end_for_message());
}

std::vector<std::string> contained(const std::vector<std::string>& words, const std::string& root) {
    // setpriv: when this program is killed, so is unshare; with it goes the namespace's first process, and
    // all others.
    std::vector<std::string> all{"setpriv", "--pdeathsig", "KILL",         "unshare",       "--mount",
                                 "--pid",   "--fork",      "--kill-child", "--propagation", "private"};
    if (root.empty()) {
        all.push_back("--mount-proc");
    } else {
        all.insert(all.end(), {"--root", root, "--mount-proc=/proc"});
    }
    all.push_back("--");
    all.insert(all.end(), words.begin(), words.end());
    return all;
}

std::vector<std::string> plain_environment() {
    std::vector<std::string> environment{std::string("PATH=") + kPath, "HOME=/root", "LC_ALL=C.UTF-8",
                                         "TERM=dumb", "DEBIAN_FRONTEND=noninteractive"};
    for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY"}) {
        if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);
    }
    return environment;
}

std::string program_path(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    const std::string_view path = kPath;
    for (size_t start = 0; start < path.size();) {
        const size_t end = std::min(path.find(':', start), path.size());
        const std::string file = std::string(path.substr(start, end - start)) + "/" + name;
        if (::access(file.c_str(), X_OK) == 0) return file;
        start = end + 1;
    }
    return "";
}

InterruptGuard::InterruptGuard() {
    interrupted = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    for (size_t i = 0; i < kSignals.size(); i++)
        ::sigaction(kSignals[i], &action, &before_[i]);
}

InterruptGuard::~InterruptGuard() {
    for (size_t i = 0; i < kSignals.size(); i++)
        ::sigaction(kSignals[i], &before_[i], nullptr);
    interrupted = 0;
}

void check_interrupted() {
    if (interrupted != 0) throw Failure(ErrorCode::kAborted, "interrupted");
}

}  // namespace torii::cli
