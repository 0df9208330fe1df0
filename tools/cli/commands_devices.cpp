#include <torii/failure.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <thread>

#include "commands.h"
#include "config_devices.h"
#include "render_devices.h"

namespace torii::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLook(100);
// A server that does not answer is given up after this, and a bit, by the daemon.
constexpr milliseconds kOpening(12000);

struct DeviceOptions {
    std::string domain;
    std::string device;
    std::string source;
    std::string bytes;
    std::string send_limit;
    std::string receive_limit;
    int64_t requests = 0;
    double wait_seconds = 30;
    bool force = false;
    v1::Disk disk;
    v1::Net net;
};

ExitCode print_device(const Context& context, const v1::Device& device) {
    if (context.json) {
        JsonWriter json;
        write_device(json, device);
        print(json.take());
    } else if (!context.quiet) {
        print(describe_device(device) + "\n");
    }
    return ExitCode::kSuccess;
}

// The device as it is now.
v1::Device look_at(Connection& connection, const std::string& domain, const v1::Device& device) {
    v1::Request request;
    request.mutable_devices()->set_domain(domain);
    const v1::DeviceReport report = connection.call(request).devices();
    for (const auto& guest : report.domains()) {
        for (const v1::Device& each : guest.devices()) {
            if (device_name(each) == device_name(device)) return each;
        }
    }
    throw Failure(ErrorCode::kOperationFailed, device_name(device) + " was detached meanwhile");
}

// Waits until its image or what it is attached to is open; whether the guest takes it is the guest's matter.
ExitCode attach(const Context& context, const v1::Request& request) {
    Connection connection(context.socket);
    v1::Device device = connection.call(request).device();
    const auto until = steady_clock::now() + kOpening;
    while (device.state() == "opening" && steady_clock::now() < until) {
        std::this_thread::sleep_for(kLook);
        device = look_at(connection, request.attach().domain(), device);
    }
    if (device.state() != "failed") return print_device(context, device);
    throw Failure(ErrorCode::kOperationFailed,
                  device_name(device) + " could not be attached: " + device.problem() +
                      "\nIt stays in the list until `torii detach " + request.attach().domain() + " " +
                      device_name(device) + "`.");
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
    return attach(context, request);
}

ExitCode attach_net(const Context& context, const DeviceOptions& options) {
    v1::Request request;
    request.mutable_attach()->set_domain(options.domain);
    v1::Net& net = *request.mutable_attach()->mutable_net();
    net = options.net;
    if (!options.send_limit.empty())
        net.mutable_from_guest()->set_per_second(parse_bytes(options.send_limit));
    if (!options.receive_limit.empty())
        net.mutable_to_guest()->set_per_second(parse_bytes(options.receive_limit));
    return attach(context, request);
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
        "Its address (default: made from the guest's UUID and the device's number)");
    command->add_option_function<uint32_t>(
        "--mtu", [&net](const uint32_t& mtu) { net.set_mtu(mtu); },
        "The longest packet, in bytes (default 1500)");
    command->add_option_function<std::vector<std::string>>(
        "--forward",
        [&net](const std::vector<std::string>& forwards) {
            for (const std::string& forward : forwards)
                net.add_forwards(forward);
        },
        "With nat: a port of this machine that leads to one of the guest: tcp:2222:22, or "
        "udp:[HOST-ADDRESS:]PORT:[GUEST-ADDRESS:]PORT; the default is all of the host's addresses");
    command->add_option_function<std::vector<std::string>>(
        "--address",
        [&net](const std::vector<std::string>& addresses) {
            for (const std::string& address : addresses)
                net.add_addresses(address);
        },
        "The only IP addresses that it may send from (default: any)");
    command->add_option("--send-limit", options->send_limit, "The most bytes that it sends in a second: 10M");
    command->add_option("--receive-limit", options->receive_limit,
                        "The most bytes that it receives in a second");
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
    command->footer(
        "Examples:\n  torii detach web1 xvdb\n  torii detach web1 eth1 --force\nUnmount a disk in the guest "
        "first: Linux lets go of one in use at once, and what it had not written is lost.\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("DEVICE", options->device, "xvdb, eth1: `torii devices` shows them")->required();
    command->add_flag("--force,-f", options->force, "Do not ask the guest: as if a cable were pulled");
    command->add_option("--wait,-w", options->wait_seconds, "Seconds to wait for the guest (default 30)")
        ->check(CLI::NonNegativeNumber);
    on_chosen(command, options, context, detach);

    options = std::make_shared<DeviceOptions>();
    command = app.add_subcommand("resize", "Tell a guest that a disk's image has another size");
    command->footer(
        "Example:\n  truncate -s 8G /images/web1.raw && torii resize web1 xvda\nA smaller one is "
        "refused: what lies behind would be lost to the guest.\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID")->required();
    command->add_option("DEVICE", options->device, "xvda to xvdz")->required();
    on_chosen(command, options, context, [](const Context& where, const DeviceOptions& what) {
        v1::Request request;
        request.mutable_resize()->set_domain(what.domain);
        request.mutable_resize()->set_device(what.device);
        Connection connection(where.socket);
        return print_device(where, connection.call(request).device());
    });

    options = std::make_shared<DeviceOptions>();
    command = app.add_subcommand("devices", "Show guests' disks and networks, and what they did");
    command->footer(
        "Examples:\n  torii devices web1\n  torii --json devices\nStates: opening (the image, or what a card "
        "is attached to), waiting (for the guest's driver),\nconnected, closing (the guest is asked to let "
        "go), closed (by the guest), failed (the line says why).\n");
    command->add_option("DOMAIN", options->domain, "Its name, id or UUID (default: all)");
    on_chosen(command, options, context, devices);
}

}  // namespace torii::cli
