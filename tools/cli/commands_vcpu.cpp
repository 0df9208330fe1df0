#include <torii/cpu_set.h>
#include <torii/failure.h>
#include <unistd.h>

#include <charconv>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "ask_vcpus.h"
#include "commands.h"
#include "render_cpus.h"

namespace torii::cli {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookAgain(200);
constexpr std::chrono::seconds kSilent(1);  // a wait longer than that shows how it goes

struct VcpuOptions {
    std::string domain;
    std::string vcpu;
    std::string cpus;
    std::string soft;
    int64_t count = 0;
    int64_t wait_seconds = 30;
};

ExitCode list(const Context& context, const std::string& domain) {
    Connection connection(context.socket);
    const v1::VcpuReport report = ask_vcpus(connection, domain, false);
    print(context.json ? render_vcpus_json(report) : render_vcpus(report));
    return ExitCode::kSuccess;
}

// What the guest had to do and did not.
std::string why_not(const v1::DomainVcpus& now, uint32_t wanted) {
    const std::string& name = now.domain().name();
    if (!now.listens()) {
        return "its kernel has not asked to be told of such changes. Linux does so when it has booted "
               "(drivers/xen/cpu_hotplug.c, with CONFIG_HOTPLUG_CPU); it will read what is wanted then";
    }
    if (now.domain().online_vcpus() > wanted) {
        return "its kernel was told to take vCPUs offline and did not, or not yet. `dmesg` in it tells why "
               "(`torii console " +
               name + "`)";
    }
    uint32_t first = 0;
    while (first < static_cast<uint32_t>(now.vcpus_size()) &&
           now.vcpus(static_cast<int>(first)).state() != v1::VCPU_OFFLINE)
        first++;
    return "its kernel was told. Linux only makes a vCPU present; that it goes online is up to a udev rule "
           "in "
           "the guest, or to you: `echo 1 > /sys/devices/system/cpu/cpu" +
           std::to_string(first) + "/online` in it (`torii console " + name + "`)";
}

// A line on a terminal that is written over, once the wait has lasted.
class WaitingLine {
public:
    explicit WaitingLine(bool wanted)
        : wanted_(wanted && ::isatty(STDERR_FILENO) == 1), since_(steady_clock::now()) {}
    ~WaitingLine() {
        if (shown_) std::fputs("\r\x1B[K", stderr);
    }
    WaitingLine(const WaitingLine&) = delete;
    WaitingLine& operator=(const WaitingLine&) = delete;
    void show(const v1::Domain& domain, uint32_t wanted) {
        if (!wanted_ || steady_clock::now() - since_ < kSilent) return;
        std::fprintf(stderr, "\r\x1B[K%s: %u vCPUs online, going to %u", domain.name().c_str(),
                     domain.online_vcpus(), wanted);
        shown_ = true;
    }

private:
    bool wanted_;
    bool shown_ = false;
    steady_clock::time_point since_;
};

// Looks again until the guest has as many online as wanted, or time is up. Returns how it is then.
v1::DomainVcpus wait_for_vcpus(Connection& connection, v1::DomainVcpus now, uint32_t wanted,
                               const Context& context, std::chrono::seconds limit) {
    const std::string key = std::to_string(now.domain().domid());
    WaitingLine line(!context.quiet && !context.json);
    const auto deadline = steady_clock::now() + limit;
    while (now.domain().online_vcpus() != wanted && steady_clock::now() < deadline) {
        line.show(now.domain(), wanted);
        std::this_thread::sleep_for(kLookAgain);
        now = ask_vcpus(connection, key, false).domains(0);
    }
    return now;
}

void tell_outcome(const Context& context, const v1::DomainVcpus& now, uint32_t wanted,
                  const std::string& sentence) {
    if (context.json) {
        JsonWriter json;
        json.begin_object();
        json.field("name", now.domain().name());
        json.field("domid", now.domain().domid());
        json.field("wanted_vcpus", wanted);
        json.field("online_vcpus", now.domain().online_vcpus());
        json.field("max_vcpus", now.domain().vcpus());
        json.field("listens", now.listens());
        json.end_object();
        print(json.take());
    } else if (!context.quiet) {
        print(sentence + "\n");
    }
}

ExitCode set(const Context& context, const VcpuOptions& options) {
    Connection connection(context.socket);
    const auto wanted = static_cast<uint32_t>(options.count);
    v1::Request request;
    request.mutable_vcpu_set()->set_domain(options.domain);
    request.mutable_vcpu_set()->set_count(wanted);
    v1::DomainVcpus now = connection.call(request).vcpus().domains(0);
    const std::string name = now.domain().name();
    const std::string vcpus = std::to_string(wanted) + (wanted == 1 ? " vCPU" : " vCPUs");
    if (now.domain().state() == v1::PAUSED) {
        tell_outcome(context, now, wanted,
                     name + " is paused; it was told to have " + vcpus + " online when it goes on");
        return ExitCode::kSuccess;
    }
    if (options.wait_seconds == 0) {
        tell_outcome(context, now, wanted, name + " was asked to have " + vcpus + " online");
        return ExitCode::kSuccess;
    }
    now = wait_for_vcpus(connection, now, wanted, context, std::chrono::seconds(options.wait_seconds));
    if (now.domain().online_vcpus() != wanted) {
        throw Failure(ErrorCode::kTimeout, name + " was asked to have " + vcpus + " online and has " +
                                               std::to_string(now.domain().online_vcpus()) + " after " +
                                               std::to_string(options.wait_seconds) +
                                               " seconds: " + why_not(now, wanted));
    }
    tell_outcome(context, now, wanted, name + " has " + vcpus + " online");
    return ExitCode::kSuccess;
}

uint32_t vcpu_number(const std::string& text) {
    uint32_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error == std::errc() && stop == end) return number;
    throw Failure(ErrorCode::kInvalidArgument,
                  "\"" + text + "\" is not a vCPU: give its number, or the word all");
}

ExitCode pin(const Context& context, const VcpuOptions& options) {
    v1::Request request;
    v1::VcpuPinRequest& wish = *request.mutable_vcpu_pin();
    wish.set_domain(options.domain);
    wish.set_all(options.vcpu == "all");
    if (!wish.all()) wish.set_vcpu(vcpu_number(options.vcpu));
    for (const std::string& cpus : {options.cpus, options.soft}) {
        if (!cpus.empty()) CpuList::parse(cpus);
    }
    wish.set_hard_cpus(options.cpus);
    wish.set_soft_cpus(options.soft);
    Connection connection(context.socket);
    v1::VcpuReport report = connection.call(request).vcpus();
    if (!wish.all()) {
        const v1::Vcpu changed = report.domains(0).vcpus(static_cast<int>(wish.vcpu()));
        report.mutable_domains(0)->clear_vcpus();
        *report.mutable_domains(0)->add_vcpus() = changed;
    }
    if (context.json) {
        print(render_vcpus_json(report));
    } else if (!context.quiet) {
        print(render_vcpus(report));
    }
    return ExitCode::kSuccess;
}

void add_list(CLI::App& app, Context& context) {
    auto options = std::make_shared<VcpuOptions>();
    CLI::App* command = app.add_subcommand("vcpu-list", "Virtual CPUs: where they are and may be");
    command->footer(
        "Examples:\n  torii vcpu-list\n  torii vcpu-list web1\n  torii --json vcpu-list Domain-0\n"
        "HARD is where a vCPU may run, SOFT where it runs for preference. CPU is where it runs or ran "
        "last.\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID (default: all)");
    command->callback([options, &context] {
        context.action = [options, &context] { return list(context, options->domain); };
    });
}

void add_set(CLI::App& app, Context& context) {
    auto options = std::make_shared<VcpuOptions>();
    CLI::App* command = app.add_subcommand("vcpu-set", "Set how many of a guest's vCPUs are online");
    command->footer(
        "Examples:\n  torii vcpu-set web1 2\n  torii vcpu-set web1 4 --wait 60\n  torii vcpu-set Domain-0 1\n"
        "The guest's kernel does it; this waits until it has. Ends with 10 when it has not in time, and says "
        "what to\nlook at. The most is max-vcpus of the guest's description.\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("COUNT", options->count, "How many, the lowest numbers first")
        ->required()
        ->check(CLI::Range(int64_t{1}, int64_t{kMaxCpus}));
    command->add_option("--wait,-w", options->wait_seconds, "Wait at most so many seconds; 0: not at all")
        ->capture_default_str()
        ->check(CLI::Range(int64_t{0}, int64_t{86400}));
    command->callback(
        [options, &context] { context.action = [options, &context] { return set(context, *options); }; });
}

void add_pin(CLI::App& app, Context& context) {
    auto options = std::make_shared<VcpuOptions>();
    CLI::App* command = app.add_subcommand("vcpu-pin", "Set on which CPUs a guest's vCPUs run");
    command->footer(
        "Examples:\n  torii vcpu-pin web1 0 2            its vCPU 0 runs on CPU 2 only\n"
        "  torii vcpu-pin web1 all 0-3,^2     all of them on the CPUs 0, 1 and 3\n"
        "  torii vcpu-pin web1 all all        anywhere again\n"
        "  torii vcpu-pin web1 1 --soft 4-7   rather there than elsewhere\n"
        "A guest that reboots keeps it.\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("VCPU", options->vcpu, "The vCPU's number, or all")->required();
    command->add_option("CPUS", options->cpus, "Where it may run: 0-3,^2 or all (default: as it is)");
    command->add_option("--soft,-s", options->soft, "Where it had better run (default: as it is)");
    command->callback(
        [options, &context] { context.action = [options, &context] { return pin(context, *options); }; });
}

}  // namespace

void add_vcpu_commands(CLI::App& app, Context& context) {
    add_list(app, context);
    add_set(app, context);
    add_pin(app, context);
}

}  // namespace torii::cli
