#include "devices/backend_factory.h"

#include <torii/failure.h>

#include <boost/asio/post.hpp>

#include "block/block_device.h"
#include "block/engine_file.h"
#include "block/engine_nbd.h"
#include "devices/device_config.h"
#include "devices/limited_log.h"
#include "devices/net_rules.h"
#include "log/log.h"
#include "net/net_device.h"

namespace torii::dom0 {
namespace {

using backend::BlockConfig;
using backend::BlockDevice;
using backend::BlockState;
using backend::BlockStatistics;
using backend::LatencyHistogram;
namespace net = backend::net;

const char* word(BlockState state) {
    switch (state) {
        case BlockState::kOpening:
            return "opening";
        case BlockState::kWaiting:
            return "waiting";
        case BlockState::kConnected:
            return "connected";
        case BlockState::kClosing:
            return "closing";
        default:
            return "closed";
    }
}

const char* word(net::NetState state) {
    switch (state) {
        case net::NetState::kOpening:
            return "opening";
        case net::NetState::kWaiting:
            return "waiting";
        case net::NetState::kConnected:
            return "connected";
        case net::NetState::kClosing:
            return "closing";
        default:
            return "closed";
    }
}

void describe(v1::Latencies& latencies, const LatencyHistogram::Snapshot& snapshot) {
    const auto microseconds = [&](double part) {
        return static_cast<uint64_t>(snapshot.quantile(part) / std::chrono::microseconds(1));
    };
    latencies.set_count(snapshot.total);
    latencies.set_median_us(microseconds(0.5));
    latencies.set_most_us(microseconds(0.99));
}

class DiskDevice final : public GuestDevice {
public:
    template <typename... Arguments>
    explicit DiskDevice(Arguments&&... arguments) : device_(std::forward<Arguments>(arguments)...) {}

    void describe(v1::Device& device) const override {
        device.set_state(word(device_.state()));
        device.set_problem(device_.problem());
        if (const auto geometry = device_.geometry()) device.set_size_bytes(geometry->bytes);
        const BlockStatistics statistics = device_.statistics();
        v1::DiskCounters& counters = *device.mutable_disk_counters();
        counters.set_reads(statistics.reads);
        counters.set_writes(statistics.writes);
        counters.set_flushes(statistics.flushes);
        counters.set_discards(statistics.discards);
        counters.set_bytes_read(statistics.bytes_read);
        counters.set_bytes_written(statistics.bytes_written);
        counters.set_errors(statistics.errors);
        dom0::describe(*counters.mutable_read_latency(), statistics.read_latency);
        dom0::describe(*counters.mutable_write_latency(), statistics.write_latency);
    }
    void close(bool force) override { device_.close(force); }
    void resize(std::function<void(const std::string&)> done) override { device_.resize(std::move(done)); }

private:
    BlockDevice device_;
};

class NetInterface final : public GuestDevice {
public:
    template <typename... Arguments>
    explicit NetInterface(Arguments&&... arguments) : device_(std::forward<Arguments>(arguments)...) {}

    void describe(v1::Device& device) const override {
        device.set_state(word(device_.state()));
        device.set_problem(device_.problem());
        const net::NetStatistics statistics = device_.statistics();
        v1::NetCounters& counters = *device.mutable_net_counters();
        counters.set_frames_from_guest(statistics.from_guest.frames);
        counters.set_frames_to_guest(statistics.to_guest.frames);
        counters.set_bytes_from_guest(statistics.from_guest.bytes);
        counters.set_bytes_to_guest(statistics.to_guest.bytes);
        counters.set_dropped_from_guest(statistics.from_guest.dropped_in_all());
        counters.set_dropped_to_guest(statistics.to_guest.dropped_in_all());
    }
    void close(bool force) override { device_.close(force); }
    void resize(std::function<void(const std::string&)>) override {
        throw Failure(ErrorCode::kInvalidArgument, "a network interface has no size: name a disk, as xvda");
    }

private:
    net::NetDevice device_;
};

// For what a device has to tell, on the daemon's loop.
std::function<void(const std::string& sentence)> logged(const DevicePlace& place) {
    return [what = place.device + " of " + place.domain_name,
            log = std::make_shared<LimitedLog>()](const std::string& sentence) {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        if (const auto text = log->pass(sentence, now)) log_warning("{}: {}", what, *text);
    };
}

backend::RateLimit limit_of(const v1::Limit& limit) {
    return {limit.per_second(), limit.burst()};
}

}  // namespace

BackendFactory::BackendFactory(boost::asio::io_context& context, xenstore::LocalClient& store,
                               PrivilegedCalls& calls, BackendOptions options, FailPointHook fail_point)
    : context_(context),
      store_(store),
      calls_(calls),
      options_(std::move(options)),
      fail_point_(std::move(fail_point)),
      helpers_(options_.folder) {}

BackendFactory::~BackendFactory() {
    if (thread_) thread_->stop();
}

std::shared_ptr<ServiceThread> BackendFactory::thread() {
    if (!thread_) thread_ = std::make_shared<ServiceThread>(calls_);
    return thread_;
}

std::function<void(std::function<void()>)> BackendFactory::poster() {
    return [this](std::function<void()> action) { boost::asio::post(context_, std::move(action)); };
}

std::string BackendFactory::name_of(const DevicePlace& place) {
    const bool disk = place.backend_path.find("/torii-vbd/") != std::string::npos;
    return fmt::format("{}-{}-{}", disk ? "disk" : "net", place.domain.raw(), place.number);
}

std::string BackendFactory::socket_of(const DevicePlace& place) const {
    return (options_.folder / (name_of(place) + ".socket")).string();
}

void BackendFactory::start_disk_server(const DevicePlace& place, const v1::Disk& disk) {
    std::vector<std::string> arguments{
        options_.disk_server, "--socket=" + socket_of(place), "--persistent",
        "--shared=1",         "--format=" + disk.format(),    "--discard=unmap"};
    if (disk.read_only()) arguments.emplace_back("--read-only");
    arguments.insert(arguments.end(), {"--", disk.source()});
    helpers_.start(name_of(place), arguments);
}

std::unique_ptr<GuestDevice> BackendFactory::make_disk(const DevicePlace& place, const v1::Disk& disk,
                                                       GuestDevice::Events events) {
    BlockConfig config;
    config.guest = place.domain;
    config.backend_path = place.backend_path;
    config.frontend_path = place.frontend_path;
    config.state_file = (options_.folder / (name_of(place) + ".rings")).string();
    config.read_only = disk.read_only();
    config.cdrom = disk.cdrom();
    config.removable = disk.cdrom();
    config.sector_size = disk.sector_size();
    config.limits = {limit_of(disk.requests()), limit_of(disk.bytes())};
    config.fail_point = fail_point_;
    std::unique_ptr<backend::BlockEngine> engine;
    if (is_nbd_uri(disk.source())) {
        engine = std::make_unique<backend::NbdEngine>(thread()->loop(),
                                                      backend::NbdImage{disk.source(), disk.read_only()});
    } else if (disk.format() != "raw") {
        if (!std::filesystem::exists(disk.source())) {
            throw Failure(ErrorCode::kSystem,
                          fmt::format("there is no image {} for {}", disk.source(), place.device));
        }
        start_disk_server(place, disk);
        engine = std::make_unique<backend::NbdEngine>(
            thread()->loop(), backend::NbdImage{"nbd+unix:///?socket=" + socket_of(place), disk.read_only()});
    } else {
        engine = std::make_unique<backend::FileEngine>(
            thread()->loop(), backend::FileImage{disk.source(), disk.read_only(), true, disk.sector_size()});
    }
    BlockDevice::Events told;
    told.closed = std::move(events.closed);
    told.trouble = logged(place);
    return std::make_unique<DiskDevice>(std::move(config), thread(), std::move(engine), store_, poster(),
                                        std::move(told));
}

void BackendFactory::start_nat(const DevicePlace& place) {
    helpers_.start(name_of(place), {options_.nat_program, "--socket", socket_of(place)});
}

net::Attachment BackendFactory::attachment(const DevicePlace& place, const v1::Net& wanted) {
    const AttachmentWords words = attachment_words(wanted);
    if (words.kind == "none") return net::NoAttachment{};
    if (words.kind == "bridge")
        return net::BridgeAttachment{words.name, fmt::format("vif{}.{}", place.domain.raw(), place.number)};
    if (words.kind == "switch") {
        auto network = switches_[words.name].lock();
        if (!network) switches_[words.name] = network = std::make_shared<net::Switch>(words.name);
        return net::SwitchAttachment{network};
    }
    start_nat(place);
    net::NatAttachment nat;
    nat.socket_path = socket_of(place);
    nat.forwards = port_forwards(wanted);
    return nat;
}

std::unique_ptr<GuestDevice> BackendFactory::make_net(const DevicePlace& place, const v1::Net& wanted,
                                                      GuestDevice::Events events) {
    net::NetConfig config = net_config(wanted);
    config.domid = place.domain;
    config.backend_path = place.backend_path;
    config.frontend_path = place.frontend_path;
    config.attachment = attachment(place, wanted);
    net::NetDevice::Events told;
    told.closed = std::move(events.closed);
    const std::string what = place.device + " of " + place.domain_name;
    told.trouble = logged(place);
    told.nat_helper_wanted = [this, place, what] {
        try {
            start_nat(place);
        } catch (const Failure& failure) {
            log_error("{} has no network: {}", what, failure.what());
        }
    };
    return std::make_unique<NetInterface>(std::move(config), thread(), store_, poster(), std::move(told));
}

void BackendFactory::clean_up(const DevicePlace& place) {
    helpers_.stop(name_of(place));
    std::error_code ignored;
    std::filesystem::remove(socket_of(place), ignored);
    std::filesystem::remove(options_.folder / (name_of(place) + ".rings"), ignored);
}

}  // namespace torii::dom0
