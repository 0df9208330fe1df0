#include <torii/failure.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "commands.h"
#include "config_devices.h"
#include "render_devices.h"

namespace torii::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLook(100);

struct DeviceOptions {
    std::string domain;
    std::string device;
    std::string source;
    std::string bytes;
    int64_t requests = 0;
    double wait_seconds = 30;
    bool force = false;
    v1::Disk disk;
    v1::Net net;
};

ExitCode show_device(const Context& context, const v1::Request& request) {
    Connection connection(context.socket);
    const v1::Device device = connection.call(request).device();
    if (context.json) {
        JsonWriter json;
        write_device(json, device);
        print(json.take());
    } else if (!context.quiet) {
        print(describe_device(device) + "\n");
    }
    return ExitCode::kSuccess;
}

ExitCode attach_disk(const Context& context, const DeviceOptions& options) {
    v1::Request request;
    request.mutable_attach()->set_domain(options.domain);
    v1::Disk& disk = *request.mutable_attach()->mutable_disk();
    disk = options.disk;
    disk.set_source(disk_source(options.source, std::filesystem::current_path()));
    if (options.requests != 0)
        disk.mutable_requests()->set_per_second(static_cast<uint64_t>(options.requests));
    if (!options.bytes.empty()) disk.mutable_bytes()->set_per_second(parse_bytes(options.bytes));
    return show_device(context, request);
}

ExitCode attach_net(const Context& context, const DeviceOptions& options) {
    v1::Request request;
    request.mutable_attach()->set_domain(options.domain);
    *request.mutable_attach()->mutable_net() = options.net;
    return show_device(context, request);
}

// The guest has as long as it takes, whoever waits for it not.
ExitCode detach(const Context& context, const DeviceOptions& options) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_detach()->set_domain(options.domain);
    request.mutable_detach()->set_device(options.device);
    request.mutable_detach()->set_force(options.force);
    const uint64_t id = connection.send(request);
    const auto until = steady_clock::now() + milliseconds(static_cast<int64_t>(options.wait_seconds * 1000));
    while (steady_clock::now() < until) {
        const auto reply = connection.receive(kLook);
        if (!reply || reply->id() != id) continue;
        throw_failure(*reply);
        if (!context.quiet && !context.json)
            print(options.device + " of " + options.domain + " is detached\n");
        return ExitCode::kSuccess;
    }
    throw Failure(ErrorCode::kTimeout,
                  options.domain + " has not let go of " + options.device +
                      ": is it mounted, or up, in the guest? It goes as soon as the guest closes it; "
                      "--force takes it away at once, as if its cable were pulled");
}

ExitCode devices(const Context& context, const DeviceOptions& options) {
    Connection connection(context.socket);
    v1::Request request;
    request.mutable_devices()->set_domain(options.domain);
    const v1::DeviceReport report = connection.call(request).devices();
    print(context.json ? render_devices_json(report) : render_devices(report));
    return ExitCode::kSuccess;
}

template <typename Action>
void on_chosen(CLI::App* command, std::shared_ptr<DeviceOptions> options, Context& context, Action action) {
    command->callback([options, &context, action] {
        context.action = [options, &context, action] { return action(context, *options); };
    });
}

void add_attach_disk(CLI::App* attach, Context& context) {
    auto options = std::make_shared<DeviceOptions>();
    CLI::App* command = attach->add_subcommand("disk", "Give a running guest a disk");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("SOURCE", options->source, "A file, a block device, or an NBD URI")->required();
    v1::Disk& disk = options->disk;
    command->add_option_function<std::string>(
        "--device,-d", [&disk](const std::string& name) { disk.set_device(name); },
        "The guest's name for it (default: the first free of xvda to xvdz)");
    command->add_option_function<std::string>(
        "--format,-f", [&disk](const std::string& format) { disk.set_format(format); },
        "raw (default), qcow2, or another that QEMU reads");
    command->add_flag_callback(
        "--read-only,-r", [&disk] { disk.set_read_only(true); }, "The guest cannot write");
    command->add_flag_callback(
        "--cdrom", [&disk] { disk.set_cdrom(true); }, "It is a CD-ROM, and read only");
    command->add_option_function<uint32_t>(
        "--sector-size", [&disk](const uint32_t& size) { disk.set_sector_size(size); },
        "512 (default) or 4096");
    command->add_option("--iops", options->requests, "The most requests in a second")
        ->check(CLI::NonNegativeNumber);
    command->add_option("--bytes-per-second", options->bytes,
                        "The most that is read and written in a second: 50M");
    on_chosen(command, options, context, attach_disk);
}

void add_attach_net(CLI::App* attach, Context& context) {
    auto options = std::make_shared<DeviceOptions>();
    CLI::App* command = attach->add_subcommand("net", "Give a running guest a network interface");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    v1::Net& net = options->net;
    command->add_option_function<std::string>(
        "--attachment,-a", [&net](const std::string& text) { net.set_attachment(text); },
        "nat (default), bridge=NAME, switch=NAME or none");
    command->add_option_function<std::string>(
        "--device,-d", [&net](const std::string& name) { net.set_device(name); },
        "Its number, as eth1 (default: the first that is free)");
    command->add_option_function<std::string>(
        "--mac", [&net](const std::string& mac) { net.set_mac(mac); },
        "Its address (default: always the same, made from the guest's UUID)");
    command->add_option_function<uint32_t>(
        "--mtu", [&net](const uint32_t& mtu) { net.set_mtu(mtu); },
        "The longest packet, in bytes (default 1500)");
    command->add_option_function<std::vector<std::string>>(
        "--forward",
        [&net](const std::vector<std::string>& forwards) {
            for (const std::string& forward : forwards)
                net.add_forwards(forward);
        },
        "With nat: a port of this machine that leads to one of the guest: tcp:2222:22");
    command->add_option_function<std::vector<std::string>>(
        "--address",
        [&net](const std::vector<std::string>& addresses) {
            for (const std::string& address : addresses)
                net.add_addresses(address);
        },
        "The only IP addresses that it may send from (default: any)");
    on_chosen(command, options, context, attach_net);
}

}  // namespace

void add_device_commands(CLI::App& app, Context& context) {
    CLI::App* attach = app.add_subcommand("attach", "Give a running guest a disk or a network interface");
    attach->require_subcommand(1);
    attach->footer(
        "Examples:\n  torii attach disk web1 /images/data.raw\n  torii attach disk web1 /images/cd.iso "
        "--cdrom\n"
        "  torii attach disk web1 nbd://storage/vol7 --device xvdd\n  torii attach net web1 --forward "
        "tcp:8080:80\n"
        "  torii attach net web1 --attachment switch=inner\nA guest that reboots keeps what was attached.\n");
    add_attach_disk(attach, context);
    add_attach_net(attach, context);

    auto options = std::make_shared<DeviceOptions>();
    CLI::App* command = app.add_subcommand("detach", "Take a device from a running guest");
    command->footer("Examples:\n  torii detach web1 xvdb\n  torii detach web1 eth1 --force\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("DEVICE", options->device, "xvdb, eth1: `torii devices` shows them")->required();
    command->add_flag("--force,-f", options->force, "Do not ask the guest: as if a cable were pulled");
    command->add_option("--wait,-w", options->wait_seconds, "Seconds to wait for the guest (default 30)")
        ->check(CLI::NonNegativeNumber);
    on_chosen(command, options, context, detach);

    options = std::make_shared<DeviceOptions>();
    command = app.add_subcommand("resize", "Tell a guest that a disk's image has another size");
    command->footer("Example:\n  truncate -s 8G /images/web1.raw && torii resize web1 xvda\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("DEVICE", options->device, "xvda to xvdz")->required();
    on_chosen(command, options, context, [](const Context& where, const DeviceOptions& what) {
        v1::Request request;
        request.mutable_resize()->set_domain(what.domain);
        request.mutable_resize()->set_device(what.device);
        return show_device(where, request);
    });

    options = std::make_shared<DeviceOptions>();
    command = app.add_subcommand("devices", "Show guests' disks and networks, and what they did");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID (default: all)");
    on_chosen(command, options, context, devices);
}

}  // namespace torii::cli
