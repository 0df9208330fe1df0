#include <torii/failure.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "ask_domains.h"
#include "commands.h"
#include "config_file.h"
#include "progress_line.h"
#include "render.h"
#include "sizes.h"

namespace torii::cli {
namespace {

constexpr const char* kFooter =
    "The file is TOML; flags win over it. Keys: name, kernel, ramdisk, command-line, memory, max-memory,\n"
    "vcpus, max-vcpus, weight, cap, cpus, cpus-soft, pool, on-poweroff, on-reboot, on-crash, tsc, paused,\n"
    "uuid, and the sections [[disk]] and [[net]]: torii-guest(5). Paths in it are relative to the file.\n"
    "\n"
    "    name = \"web1\"\n"
    "    kernel = \"/boot/vmlinuz-6.1.0-56-amd64\"\n"
    "    ramdisk = \"web1.cpio\"\n"
    "    command-line = \"console=hvc0\"\n"
    "    memory = \"256M\"\n"
    "    [[disk]]\n"
    "    source = \"web1.raw\"\n"
    "    [[net]]\n"
    "    attachment = \"nat\"\n"
    "\n"
    "Examples:\n"
    "  torii create web1.toml\n"
    "  torii create web1.toml --name web2 --memory 512M\n"
    "  torii create --name t --kernel ./vmlinuz --ramdisk ./initrd --memory 256M --cmdline console=hvc0\n";

struct CreateOptions {
    std::string file;
    std::string name;
    std::string uuid;
    std::string kernel;
    std::string ramdisk;
    std::string command_line;
    std::string memory;
    std::string max_memory;
    int64_t vcpus = 1;
    int64_t max_vcpus = 0;
    int64_t weight = 0;
    int64_t cap = 0;
    std::string cpus;
    std::string soft_cpus;
    std::string pool;
    std::string on_poweroff;
    std::string on_reboot;
    std::string on_crash;
    std::string tsc;
    bool paused = false;
    bool console = false;
};

std::string absolute_path(const std::string& path) {
    return std::filesystem::absolute(path).lexically_normal().string();
}

[[noreturn]] void refuse(const std::string& sentence) {
    throw Failure(ErrorCode::kInvalidArgument, sentence);
}

uint32_t count_of(const char* flag, int64_t number) {
    if (number < 0 || number > INT32_MAX) refuse(std::string(flag) + " cannot be " + std::to_string(number));
    return static_cast<uint32_t>(number);
}

Description describe(const CLI::App& command, const CreateOptions& options) {
    Description description = options.file.empty() ? default_description() : read_description(options.file);
    v1::DomainConfig& config = description.config;
    const auto given = [&](const char* flag) { return command.count(flag) != 0; };
    if (given("--name")) config.set_name(options.name);
    if (given("--uuid")) config.set_uuid(options.uuid);
    if (given("--kernel")) config.set_kernel(absolute_path(options.kernel));
    if (given("--ramdisk")) config.set_ramdisk(options.ramdisk.empty() ? "" : absolute_path(options.ramdisk));
    if (given("--cmdline")) config.set_command_line(options.command_line);
    if (given("--memory")) config.set_memory_kib(parse_memory_kib(options.memory));
    if (given("--max-memory")) config.set_max_memory_kib(parse_memory_kib(options.max_memory));
    if (given("--vcpus")) config.set_vcpus(count_of("--vcpus", options.vcpus));
    if (given("--max-vcpus")) config.set_max_vcpus(count_of("--max-vcpus", options.max_vcpus));
    if (given("--weight")) config.set_weight(parse_weight(options.weight));
    if (given("--cap")) config.set_cap_percent(parse_cap(options.cap));
    if (given("--cpus")) config.set_cpus(parse_cpus(options.cpus));
    if (given("--cpus-soft")) config.set_soft_cpus(parse_cpus(options.soft_cpus));
    if (given("--pool")) config.set_pool(options.pool);
    if (given("--on-poweroff")) config.set_on_poweroff(parse_end_action(options.on_poweroff));
    if (given("--on-reboot")) config.set_on_reboot(parse_end_action(options.on_reboot));
    if (given("--on-crash")) config.set_on_crash(parse_end_action(options.on_crash));
    if (given("--tsc")) config.set_tsc_mode(parse_tsc_mode(options.tsc));
    if (options.paused) description.paused = true;
    check_complete(description);
    return description;
}

ExitCode create(const Context& context, const Description& description) {
    Connection connection(context.socket);
    v1::Domain domain;
    {
        ProgressLine line(!context.quiet && !context.json);
        domain = ask_create(connection, description, [&](const v1::Progress& progress) {
            line.show(progress.percent(), progress.step());
        });
    }
    if (context.json) {
        print(render_domain_json(domain));
    } else if (!context.quiet) {
        print(domain.name() + " runs as domain " + std::to_string(domain.domid()) +
              (description.paused ? " (paused)\n" : "\n"));
    }
    return ExitCode::kSuccess;
}

void add_placement_options(CLI::App& command, CreateOptions& options) {
    command.add_option("--weight", options.weight, "Its part of the CPUs, 1 to 65535 (default 256)");
    command.add_option("--cap", options.cap, "The most CPU it may use, in percent of one CPU; 0: no limit");
    command.add_option("--cpus", options.cpus, "The CPUs it may run on: 0-3,^2 (default: all)");
    command.add_option("--cpus-soft", options.soft_cpus, "The CPUs it had better run on");
    command.add_option("--pool", options.pool, "The CPU pool it runs in (default: the first)");
}

}  // namespace

void add_create_command(CLI::App& app, Context& context) {
    auto options = std::make_shared<CreateOptions>();
    CLI::App* command = app.add_subcommand("create", "Build and start a domain");
    command->footer(kFooter);
    command->add_option("FILE", options->file, "Description of the domain (TOML)");
    command->add_option("--name,-n", options->name, "Its name: letters, digits, - _ . +");
    command->add_option("--kernel,-k", options->kernel, "Linux boot image (bzImage) or ELF kernel");
    command->add_option("--ramdisk,-r", options->ramdisk, "Initial ramdisk");
    command->add_option("--cmdline,-c", options->command_line, "The kernel's command line");
    command->add_option("--memory,-m", options->memory, "Memory: 256M, 2G; a plain number is MiB");
    command->add_option("--max-memory", options->max_memory, "The most that mem-set may give it");
    command->add_option("--vcpus", options->vcpus, "Virtual CPUs that are online at its start (default 1)");
    command->add_option("--max-vcpus", options->max_vcpus, "The most that vcpu-set may give it");
    add_placement_options(*command, *options);
    command->add_option("--on-poweroff", options->on_poweroff, "destroy (default), restart or preserve");
    command->add_option("--on-reboot", options->on_reboot, "restart (default), destroy or preserve");
    command->add_option("--on-crash", options->on_crash, "destroy (default), restart or preserve");
    command->add_option("--tsc", options->tsc, "native (default), default or emulate: how rdtsc behaves");
    command->add_option("--uuid", options->uuid, "Its UUID (default: a new one)");
    command->add_flag("--paused,-p", options->paused, "Leave it paused; `torii unpause` starts it");
    command->callback([command, options, &context] {
        context.action = [command, options, &context] {
            return create(context, describe(*command, *options));
        };
    });
}

}  // namespace torii::cli
