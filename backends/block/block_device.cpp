#include "block/block_device.h"

#include <torii/failure.h>

#include <utility>

#include "block/block_negotiation.h"
#include "block/block_service.h"
#include "common/xenbus_peer.h"

namespace torii::backend {
namespace {

using namespace std::chrono_literals;

// For what an earlier owner of the image may still have under way.
constexpr std::chrono::nanoseconds kPatience = 5s;

std::string text(uint64_t number) {
    return std::to_string(number);
}

void check(const BlockConfig& config) {
    const auto require = [](bool condition, const std::string& sentence) {
        if (!condition) throw Failure(ErrorCode::kInvalidArgument, sentence);
    };
    require(config.sector_size == 512 || config.sector_size == 4096,
            "a sector size of " + text(config.sector_size) + " was asked for: it may be 512 or 4096");
    require(config.queues >= 1 && config.queues <= kMaxBlockQueues,
            text(config.queues) + " queues were asked for: it may be 1 to " + text(kMaxBlockQueues));
    require(config.ring_page_order <= kMaxBlockRingOrder, "rings of 2^" + text(config.ring_page_order) +
                                                              " pages were asked for: at most 2^" +
                                                              text(kMaxBlockRingOrder) + " are possible");
}

}  // namespace

class BlockDevice::Implementation : public std::enable_shared_from_this<Implementation> {
public:
    Implementation(BlockConfig config, std::shared_ptr<DeviceThread> thread, DeviceStore& store,
                   std::function<void(std::function<void()>)> post, Events events);

    void start(std::unique_ptr<BlockEngine> engine);
    void let_go();
    void resize(std::function<void(const std::string&)> done);
    void close(bool force);

    BlockState state() const;
    std::string problem() const { return peer_.problem(); }
    const std::optional<BlockGeometry>& geometry() const { return geometry_; }
    BlockStatistics statistics() const { return service_ ? service_->statistics() : last_statistics_; }
    void set_limits(const BlockLimits& limits) {
        if (service_) on_thread([limits](BlockService& service) { service.set_limits(limits); });
    }

private:
    // Runs on the device's thread, which keeps the service for it.
    void on_thread(std::function<void(BlockService&)> action) {
        thread_->loop().post([service = service_, action = std::move(action)] { action(*service); });
    }
    // What a callback on the device's thread does to come back here.
    template <typename... Arguments>
    auto back(void (Implementation::*method)(Arguments...)) {
        return [weak = weak_from_this(), post = post_, method](auto... arguments) {
            post([weak, method, arguments...] {
                const auto self = weak.lock();
                if (self && !self->let_go_) (self.get()->*method)(arguments...);
            });
        };
    }

    // An event for the owner: later, and not once the device has been destroyed.
    void tell(std::function<void(const Events&)> event) {
        post_([weak = weak_from_this(), event = std::move(event)] {
            if (const auto self = weak.lock()) event(self->events_);
        });
    }

    XenbusPeer::Actions actions();
    void opened(BlockEngine::Opened result);
    void taken_over(std::string problem);
    void connect();
    void connect_ended(std::string problem);
    void disconnect();
    void disconnected();
    void refused();
    void broken(std::string sentence);
    void trouble(std::string sentence) {
        tell([sentence](const Events& events) {
            if (events.trouble) events.trouble(sentence);
        });
    }
    void measured(std::optional<uint64_t> bytes);
    std::string take_size(std::optional<uint64_t> bytes);
    void tell_resized(const std::string& problem);
    void gone(const std::string& problem);
    void changed();

    const BlockConfig config_;
    const std::shared_ptr<DeviceThread> thread_;
    const std::function<void(std::function<void()>)> post_;
    const Events events_;
    XenbusPeer peer_;
    std::shared_ptr<BlockService> service_;
    std::optional<BlockGeometry> geometry_;
    std::optional<BlockConnection> connection_;                      // found, agreed on or being tried
    std::vector<std::function<void(const std::string&)>> resizing_;  // who waits for the new size
    BlockStatistics last_statistics_;
    BlockState told_ = BlockState::kOpening;
    bool let_go_ = false;
    bool closing_ = false;  // close() was called before the image was open
    bool forced_ = false;
};

BlockDevice::Implementation::Implementation(BlockConfig config, std::shared_ptr<DeviceThread> thread,
                                            DeviceStore& store,
                                            std::function<void(std::function<void()>)> post, Events events)
    : config_(std::move(config)),
      thread_(std::move(thread)),
      post_(std::move(post)),
      events_(std::move(events)),
      peer_(store, config_.backend_path, config_.frontend_path, actions()) {}

XenbusPeer::Actions BlockDevice::Implementation::actions() {
    XenbusPeer::Actions actions;
    actions.connect = [this] { connect(); };
    actions.disconnect = [this] { disconnect(); };
    actions.gone = [this] { gone({}); };
    actions.changed = [this] { changed(); };
    return actions;
}

// --- opening

void BlockDevice::Implementation::start(std::unique_ptr<BlockEngine> engine) {
    auto record = std::make_unique<BlockRecord>(config_.state_file);
    connection_ = record->connected();
    BlockService::Reports reports;
    reports.broken = back(&Implementation::broken);
    reports.trouble = back(&Implementation::trouble);
    service_ = std::make_shared<BlockService>(config_, thread_, std::move(engine), std::move(record),
                                              std::move(reports));
    // Behind rings that are connected a guest waits: no patience is too long.
    const auto patience = connection_ ? std::nullopt : std::optional(kPatience);
    on_thread([patience, opened = back(&Implementation::opened)](BlockService& service) {
        service.open(patience, opened);
    });
}

void BlockDevice::Implementation::opened(BlockEngine::Opened result) {
    if (!result.geometry) return gone(result.problem);
    if (closing_ && !connection_) return gone({});
    geometry_ = result.geometry;
    const uint32_t needed = geometry_->block_size;
    if (needed > config_.sector_size) {
        return gone("its image takes blocks of " + text(needed) + " bytes, which sectors of " +
                    text(config_.sector_size) + " do not fill: attach it with a sector size of " +
                    text(needed));
    }
    if (!connection_) {
        peer_.offer(block_features(config_, *geometry_));
        return changed();
    }
    on_thread([connection = *connection_, done = back(&Implementation::taken_over)](BlockService& service) {
        service.connect(connection, true, done);
    });
}

void BlockDevice::Implementation::taken_over(std::string problem) {
    if (problem.empty()) {
        peer_.take_over(block_features(config_, *geometry_),
                        block_properties(config_, *geometry_, *connection_));
        if (closing_) peer_.close(forced_);
        return changed();
    }
    trouble("its rings could not be taken over: " + problem);
    connection_.reset();
    // Makes the record say that nothing is connected; then the frontend sees the device close.
    on_thread([done = back(&Implementation::refused)](BlockService& service) { service.disconnect(done); });
}

void BlockDevice::Implementation::refused() {
    peer_.offer(block_features(config_, *geometry_));
    if (closing_) peer_.close(forced_);
    changed();
}

// --- connecting, as the frontend wants it

void BlockDevice::Implementation::connect() {
    try {
        connection_ = read_block_connection(config_, peer_);
    } catch (const Failure& problem) {
        return connect_ended(problem.what());
    }
    on_thread([connection = *connection_, done = back(&Implementation::connect_ended)](
                  BlockService& service) { service.connect(connection, false, done); });
}

void BlockDevice::Implementation::connect_ended(std::string problem) {
    if (problem.empty()) return peer_.connected(block_properties(config_, *geometry_, *connection_));
    connection_.reset();
    const std::string sentence = "The guest's disk driver cannot be connected: " + problem + ".";
    trouble(sentence);
    peer_.failed(sentence);
}

void BlockDevice::Implementation::disconnect() {
    on_thread(
        [done = back(&Implementation::disconnected)](BlockService& service) { service.disconnect(done); });
}

void BlockDevice::Implementation::disconnected() {
    connection_.reset();
    peer_.disconnected();
}

void BlockDevice::Implementation::broken(std::string sentence) {
    const std::string told = "The guest's disk driver broke the protocol: " + sentence +
                             ". The disk is closed until the driver connects again.";
    trouble(told);
    peer_.failed(told);
}

// --- what an administrator wants

void BlockDevice::Implementation::resize(std::function<void(const std::string&)> done) {
    resizing_.push_back(std::move(done));
    if (!service_ || !geometry_) return tell_resized("It is not open: look at `torii devices`.");
    on_thread([done = back(&Implementation::measured)](BlockService& service) { service.measure(done); });
}

void BlockDevice::Implementation::measured(std::optional<uint64_t> bytes) {
    tell_resized(take_size(bytes));
}

// An empty sentence, or why the disk stays as it is.
std::string BlockDevice::Implementation::take_size(std::optional<uint64_t> bytes) {
    if (!bytes)
        return "The new size of its image cannot be told while it is attached: detach it and attach it "
               "again.";
    if (*bytes < geometry_->bytes) {
        return "Its image has " + std::to_string(*bytes) + " bytes now, the guest's disk " +
               std::to_string(geometry_->bytes) +
               ": what lies behind would be lost to the guest. Enlarge the image, or detach the disk first.";
    }
    if (*bytes == geometry_->bytes) return {};
    geometry_->bytes = *bytes;
    if (connection_) peer_.update(block_properties(config_, *geometry_, *connection_));
    return {};
}

void BlockDevice::Implementation::tell_resized(const std::string& problem) {
    post_([waiting = std::exchange(resizing_, {}), problem] {
        for (const auto& done : waiting)
            done(problem);
    });
}

void BlockDevice::Implementation::close(bool force) {
    closing_ = true;
    forced_ = forced_ || force;
    // While the image is being opened, or its rings taken over, that comes first.
    if (geometry_ && peer_.phase() != XenbusPeer::Phase::kIdle) peer_.close(force);
}

// --- ending

// The device is gone for the guest. The last of it goes on its thread, and the image's lock with it.
void BlockDevice::Implementation::gone(const std::string& problem) {
    if (std::exchange(let_go_, true)) return;
    tell_resized("It was detached meanwhile.");
    last_statistics_ = service_->statistics();
    thread_->loop().post([service = std::exchange(service_, nullptr), weak = weak_from_this(), post = post_,
                          file = config_.state_file, problem] {
        service->end(false, [weak, post, file, problem] {
            SharedRecord::remove(file);
            post([weak, problem] {
                const auto self = weak.lock();
                if (self && self->events_.closed) self->events_.closed(problem);
            });
        });
    });
}

void BlockDevice::Implementation::let_go() {
    if (std::exchange(let_go_, true)) return;
    thread_->loop().post([service = std::exchange(service_, nullptr)] { service->end(true, [] {}); });
}

BlockState BlockDevice::Implementation::state() const {
    if (let_go_) return BlockState::kClosed;
    switch (peer_.phase()) {
        case XenbusPeer::Phase::kIdle:
            return BlockState::kOpening;
        case XenbusPeer::Phase::kOffered:
        case XenbusPeer::Phase::kConnecting:
            return BlockState::kWaiting;
        case XenbusPeer::Phase::kConnected:
            return BlockState::kConnected;
        case XenbusPeer::Phase::kDisconnecting:
            return BlockState::kClosing;
        default:
            return BlockState::kClosed;
    }
}

void BlockDevice::Implementation::changed() {
    const BlockState now = state();
    if (std::exchange(told_, now) == now) return;
    tell([now](const Events& events) {
        if (events.state_changed) events.state_changed(now);
    });
}

// --- the public face

BlockDevice::BlockDevice(BlockConfig config, std::shared_ptr<DeviceThread> thread,
                         std::unique_ptr<BlockEngine> engine, DeviceStore& store,
                         std::function<void(std::function<void()>)> post, Events events) {
    check(config);
    implementation_ = std::make_shared<Implementation>(std::move(config), std::move(thread), store,
                                                       std::move(post), std::move(events));
    implementation_->start(std::move(engine));
}

BlockDevice::~BlockDevice() {
    if (implementation_) implementation_->let_go();
}

BlockState BlockDevice::state() const {
    return implementation_->state();
}
std::string BlockDevice::problem() const {
    return implementation_->problem();
}
std::optional<BlockGeometry> BlockDevice::geometry() const {
    return implementation_->geometry();
}
void BlockDevice::resize(std::function<void(const std::string&)> done) {
    implementation_->resize(std::move(done));
}
void BlockDevice::set_limits(const BlockLimits& limits) {
    implementation_->set_limits(limits);
}
BlockStatistics BlockDevice::statistics() const {
    return implementation_->statistics();
}
void BlockDevice::close(bool force) {
    implementation_->close(force);
}

}  // namespace torii::backend
