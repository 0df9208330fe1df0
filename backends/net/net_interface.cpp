#include "net/net_interface.h"

#include <algorithm>

#include "net/nat_port.h"
#include "net/switch.h"
#include "net/tap_port.h"

namespace torii::backend::net {

namespace {

// Groups that a guest can ask for.
constexpr size_t kMostGroups = 64;

// A port that takes nothing.
class NoPort final : public FramePort {
public:
    Takes takes() const override { return {true, true, true, true}; }
    bool ready() const override { return true; }
    bool send(FramePtr) override { return false; }
    bool link() const override { return false; }
};

template <typename... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

NetInterface::NetInterface(std::shared_ptr<DeviceThread> thread, const NetConfig& config,
                           std::shared_ptr<NetCounters> counters, Events events)
    : thread_(std::move(thread)),
      domid_(config.domid),
      filter_(config.filter, config.mac),
      counters_(std::move(counters)),
      events_(std::move(events)),
      fail_point_(config.fail_point),
      link_up_(config.link_up),
      limit_over_(thread_->loop()),
      settings_due_(thread_->loop()),
      self_(std::make_shared<NetInterface*>(this)) {
    set_limits(config.from_guest, config.to_guest);
    port_ = make_port(config);
}

NetInterface::~NetInterface() {
    *self_ = nullptr;
    disconnect();
}

std::unique_ptr<FramePort> NetInterface::make_port(const NetConfig& config) {
    PortUser& user = *this;
    return std::visit(
        Overloaded{
            [](const NoAttachment&) -> std::unique_ptr<FramePort> { return std::make_unique<NoPort>(); },
            [&](const NatAttachment& nat) -> std::unique_ptr<FramePort> {
                return std::make_unique<NatPort>(thread_->loop(), nat, config.mtu, user,
                                                 events_.nat_helper_wanted);
            },
            [&](const BridgeAttachment& bridge) -> std::unique_ptr<FramePort> {
                return std::make_unique<TapPort>(thread_->loop(), bridge, config.mtu, user);
            },
            [&](const SwitchAttachment& to) -> std::unique_ptr<FramePort> {
                const MacAddress* const fixed = config.filter.own_mac_only ? &config.mac : nullptr;
                return to.network->add_port(thread_->loop(), user, fixed);
            },
        },
        config.attachment);
}

void NetInterface::connect(const Connection& connection) {
    disconnect();
    broken_ = false;
    features_ = connection.features;
    const bool segments = features_.scatter_gather;
    guest_takes_ = {
        .partial_checksum_v4 = features_.partial_checksum_v4,
        .partial_checksum_v6 = features_.partial_checksum_v6,
        .segmentation_v4 = segments && features_.segmentation_v4 && features_.partial_checksum_v4,
        .segmentation_v6 = segments && features_.segmentation_v6 && features_.partial_checksum_v6};
    multicast_control_ = connection.multicast_control;
    hash_ = connection.hash;
    groups_ = connection.groups;
    QueueOwner& owner = *this;
    try {
        memory_ = thread_->open_memory(domid_);
        turn_due_.assign(connection.queues.size(), false);
        touched_.assign(connection.queues.size(), false);
        for (const QueuePlace& place : connection.queues) {
            const size_t index = queues_.size();
            auto tx = memory_->map({&place.tx_ring, 1}, true);
            auto rx = memory_->map({&place.rx_ring, 1}, true);
            queues_.push_back(
                std::make_unique<NetQueue>(owner, *memory_, std::move(tx), std::move(rx), features_));
            bind_ports(*queues_.back(), place, index);
        }
        if (connection.control_ring) {
            const auto count = static_cast<uint32_t>(queues_.size());
            control_ =
                std::make_unique<ControlRing>(*memory_, memory_->map({&*connection.control_ring, 1}, true),
                                              count, hash_, [this] { settings_changed(); });
            EventChannels& channels = thread_->event_channels();
            control_->set_port({channels, channels.bind_interdomain(domid_, connection.control_port,
                                                                    [this] { serve_control(); })});
        }
    } catch (...) {
        disconnect();
        throw;
    }
    for (size_t index = 0; index < queues_.size() && !broken_; ++index) {
        queues_[index]->take_over();
        wake_up(index);
    }
    if (control_ == nullptr) return;
    control_->notify();
    call_later(&NetInterface::serve_control);
}

void NetInterface::bind_ports(NetQueue& queue, const QueuePlace& place, size_t index) {
    EventChannels& channels = thread_->event_channels();
    const auto serve = [this, index] {
        if (index >= queues_.size() || broken_) return;
        queues_[index]->serve_receive();
        serve_transmit(index);
    };
    BoundPort transmit(channels, channels.bind_interdomain(domid_, place.tx_port, serve));
    BoundPort receive;
    if (place.rx_port) receive = {channels, channels.bind_interdomain(domid_, *place.rx_port, serve)};
    queue.set_ports(std::move(transmit), std::move(receive));
}

void NetInterface::disconnect() {
    control_.reset();
    queues_.clear();
    memory_.reset();
    limit_over_.stop();
    settings_due_.stop();
}

void NetInterface::set_link(bool up) {
    link_up_ = up;
    events_.link_changed(link_up_ && port_->link());
}

void NetInterface::set_limits(const TrafficLimit& from_guest, const TrafficLimit& to_guest) {
    from_guest_.bytes.set(from_guest.bytes);
    from_guest_.frames.set(from_guest.frames);
    to_guest_.bytes.set(to_guest.bytes);
    to_guest_.frames.set(to_guest.frames);
}

void NetInterface::link_changed(bool up) {
    events_.link_changed(link_up_ && up);
}

// --- turns

// Does something soon, if the interface is still there, and never from inside what is going on.
void NetInterface::call_later(void (NetInterface::*what)()) {
    thread_->loop().post([self = self_, what] {
        if (*self != nullptr) ((*self)->*what)();
    });
}

void NetInterface::serve_transmit(size_t queue) {
    if (broken_) return;
    const bool more = queues_[queue]->serve_transmit();
    port_->flush();
    if (more && !broken_) wake_up(queue);
}

// Others have their turn before.
void NetInterface::wake_up(size_t queue) {
    if (turn_due_[queue]) return;
    turn_due_[queue] = true;
    thread_->loop().post([self = self_, queue] {
        NetInterface* const interface = *self;
        if (interface == nullptr || queue >= interface->queues_.size() || !interface->turn_due_[queue])
            return;
        interface->turn_due_[queue] = false;
        interface->serve_transmit(queue);
    });
}

void NetInterface::resume() {
    for (size_t queue = 0; queue < queues_.size(); ++queue)
        wake_up(queue);
}

void NetInterface::serve_control() {
    if (control_ != nullptr && !broken_ && !control_->serve()) queue_broken("its control ring is not one");
}

void NetInterface::queue_broken(const char* problem) {
    if (broken_) return;
    broken_ = true;
    events_.broken(problem);
    call_later(&NetInterface::disconnect);
}

// A guest may change them without end: the store hears of it at most ten times a second.
void NetInterface::settings_changed() {
    if (settings_due_.waiting()) return;
    settings_due_.after(std::chrono::milliseconds(100), [this] { events_.settings_changed(hash_, groups_); });
}

// --- from the guest

bool NetInterface::may_transmit() {
    if (broken_ || !port_->ready()) return false;
    const std::chrono::nanoseconds wait = from_guest_.wait(thread_->loop().now());
    if (wait.count() == 0) return true;
    if (!limit_over_.waiting()) limit_over_.after(wait, [this] { resume(); });
    return false;
}

bool NetInterface::transmit(FramePtr frame) {
    TrafficCounters& counters = counters_->from_guest;
    const auto drop = [&counters](Drop reason) {
        counters.dropped(reason);
        return false;
    };
    if (!link_up_ || !port_->link()) return drop(Drop::kLinkDown);
    if (!prepare(*frame)) return drop(Drop::kOffload);
    if (!filter_.passes(frame->bytes())) return drop(Drop::kFilter);
    const size_t size = frame->size();
    shaped_.clear();
    shape(std::move(frame), port_->takes(), shaped_);
    bool taken = true;
    for (FramePtr& piece : shaped_)
        taken = port_->send(std::move(piece)) && taken;
    if (!taken) return drop(Drop::kAttachment);
    counters.passed(size);
    return true;
}

// Finds out what the guest left to be done, and whether it can be.
bool NetInterface::prepare(Frame& frame) {
    if (frame.info.checksum == Checksum::kPartial && !prepare_checksum(frame)) return false;
    return frame.info.gso == Gso::kNone || prepare_gso(frame);
}

bool NetInterface::change_multicast(const MacAddress& group, bool add) {
    if (add && (!group.multicast() || (groups_.size() >= kMostGroups && !groups_.contains(group))))
        return false;
    const bool changed = add ? groups_.insert(group).second : groups_.erase(group) != 0;
    if (changed) settings_changed();
    return true;
}

// --- to the guest

bool NetInterface::wanted_by_guest(const Frame& frame) const {
    const auto destination = read_address<MacAddress>(frame.data());
    if (!destination.multicast() || destination.broadcast()) return true;
    return !multicast_control_ || groups_.contains(destination);
}

void NetInterface::receive(FramePtr frame) {
    TrafficCounters& counters = counters_->to_guest;
    if (queues_.empty() || broken_ || !link_up_) return counters.dropped(Drop::kLinkDown);
    if (!wanted_by_guest(*frame)) return counters.dropped(Drop::kMulticast);
    // There is no place for them to wait in: a sender that goes by what arrives slows down.
    if (to_guest_.wait(thread_->loop().now()).count() != 0) return counters.dropped(Drop::kBacklog);
    const FlowHash hash = hash_flow(hash_, frame->bytes());
    const uint32_t queue = choose_queue(hash_, hash, frame->bytes(), static_cast<uint32_t>(queues_.size()));
    const size_t size = frame->size();
    shaped_.clear();
    shape(std::move(frame), guest_takes_, shaped_);
    to_guest_.take(size, shaped_.size());
    bool taken = true;
    for (FramePtr& piece : shaped_) {
        piece->info.hash = hash;
        taken = queues_[queue]->enqueue(std::move(piece)) && taken;
    }
    touched_[queue] = true;
    if (taken) counters.passed(size);
}

void NetInterface::burst_ended() {
    for (size_t queue = 0; queue < queues_.size() && !broken_; ++queue) {
        if (!touched_[queue]) continue;
        touched_[queue] = false;
        queues_[queue]->serve_receive();
    }
}

}  // namespace torii::backend::net
