#include "net/net_device.h"

#include <torii/failure.h>

#include <utility>

#include "common/xenbus_peer.h"
#include "net/frontend_parameters.h"
#include "net/net_interface.h"

namespace torii::backend::net {

namespace {

// Nodes of our own in the backend's directory: what the guest set, for the next daemon.
constexpr const char* kHashNode = "torii-hash";
constexpr const char* kGroupsNode = "torii-groups";

void check(const NetConfig& config) {
    const auto refuse = [](const std::string& sentence) {
        throw Failure(ErrorCode::kInvalidArgument, sentence);
    };
    if (config.mac.multicast() || config.mac.zero()) {
        refuse("The MAC address " + to_text(config.mac) +
               " cannot be an interface's: it must not be zero, and its first byte must be even.");
    }
    if (config.mtu < 68 || config.mtu > 65521)
        refuse("The MTU " + std::to_string(config.mtu) + " is not between 68 and 65521.");
    if (config.max_queues == 0 || config.max_queues > kMaxQueues) {
        refuse("An interface has 1 to " + std::to_string(kMaxQueues) + " queues, not " +
               std::to_string(config.max_queues) + ".");
    }
}

}  // namespace

class NetDevice::Implementation : public std::enable_shared_from_this<Implementation> {
public:
    Implementation(NetConfig config, std::shared_ptr<DeviceThread> thread, DeviceStore& store,
                   std::function<void(std::function<void()>)> post, Events events)
        : config_(std::move(config)),
          thread_(std::move(thread)),
          store_(store),
          post_(std::move(post)),
          events_(std::move(events)),
          peer_(store, config_.backend_path, config_.frontend_path,
                {.connect = [this] { connect(); },
                 .disconnect = [this] { disconnect(); },
                 .gone = [this] { gone(); },
                 .changed = [this] { changed(); }}) {}

    void start() {
        // Both ends connected, and we have not yet: an earlier process has.
        std::optional<Connection> left;
        if (own_state() == abi::XenbusState::kConnected && frontend_uses_rings()) {
            std::string problem;
            left = parse(problem);
        }
        on_device([config = config_, thread = thread_, counters = counters_, left, wires = wires()](
                      Part& part, const Reply& reply) {
            try {
                part.interface = std::make_unique<NetInterface>(thread, config, counters, wires);
            } catch (const Failure& failure) {
                return reply(
                    [problem = std::string(failure.what())](Implementation& self) { self.over(problem); });
            }
            bool taken = false;
            try {
                if (left) part.interface->connect(*left);
                taken = left.has_value();
            } catch (const Failure&) {
                // The guest has taken its rings away meanwhile: it begins anew.
            }
            reply([taken](Implementation& self) { self.opened(taken); });
        });
    }

    // The object of the daemon goes, and all stays as it is for the next.
    void leave() {
        left_ = true;
        on_device([](Part& part, const Reply&) { part.interface.reset(); });
    }

    NetState state() const { return state_; }
    std::string problem() const { return peer_.problem().empty() ? port_problem_ : peer_.problem(); }
    NetStatistics statistics() const { return counters_->get(); }

    void close(bool force) {
        closing_ = true;
        if (over_) return;
        if (state_ != NetState::kOpening) return peer_.close(force);
        forced_ = force;
    }

    void set_link(bool up) {
        config_.link_up = up;
        on_interface([up](NetInterface& interface) { interface.set_link(up); });
    }

    void set_limits(const TrafficLimit& from_guest, const TrafficLimit& to_guest) {
        on_interface([=](NetInterface& interface) { interface.set_limits(from_guest, to_guest); });
    }

    void change_forward(const PortForward& forward, bool add, Done done) {
        // The answer comes on the device's thread, or from there when its port goes.
        auto answer = [post = post_, done = std::move(done)](const std::string& problem) {
            post([done, problem] { done(problem); });
        };
        on_device([forward, add, answer](Part& part, const Reply&) {
            if (part.interface == nullptr) return answer("The interface is being closed.");
            part.interface->port().change_forward(forward, add, answer);
        });
    }

private:
    // What the device's thread has of this interface.
    struct Part {
        std::unique_ptr<NetInterface> interface;
    };
    using Reply = std::function<void(std::function<void(Implementation&)>)>;

    // Actions reach the thread in order. Their replies come only while this object is in use.
    void on_device(std::function<void(Part&, const Reply&)> action) {
        thread_->loop().post(
            [part = part_, reply = reply(), action = std::move(action)] { action(*part, reply); });
    }
    void on_interface(std::function<void(NetInterface&)> action) {
        on_device([action = std::move(action)](Part& part, const Reply&) {
            if (part.interface != nullptr) action(*part.interface);
        });
    }
    Reply reply() {
        return [post = post_, self = weak_from_this()](std::function<void(Implementation&)> action) {
            post([self, action = std::move(action)] {
                if (const auto alive = self.lock(); alive != nullptr && !alive->left_) action(*alive);
            });
        };
    }

    NetInterface::Events wires() {
        return {
            .broken =
                [reply = reply()](const std::string& problem) {
                    reply([problem](Implementation& self) { self.broken(problem); });
                },
            .link_changed =
                [reply = reply()](bool up) {
                    reply([up](Implementation& self) {
                        if (up) self.port_problem_.clear();
                        self.show_link(up);
                    });
                },
            .trouble =
                [reply = reply()](const std::string& sentence) {
                    reply([sentence](Implementation& self) {
                        self.port_problem_ += (self.port_problem_.empty() ? "" : " ") + sentence;
                        self.events_.trouble(sentence);
                    });
                },
            .nat_helper_wanted =
                [reply = reply()] {
                    reply([](Implementation& self) {
                        if (self.events_.nat_helper_wanted && !self.over_) self.events_.nat_helper_wanted();
                    });
                },
            .settings_changed =
                [reply = reply()](const HashSettings& hash, const std::set<MacAddress>& groups) {
                    reply([hash = to_text(hash), groups = to_text(groups)](Implementation& self) {
                        self.write({{kHashNode, hash}, {kGroupsNode, groups}});
                    });
                },
        };
    }

    void opened(bool taken) {
        const XenbusPeer::Nodes properties = {{"carrier", carrier()}};
        if (taken) {
            watch_multicast();
            peer_.take_over(features(), properties);
        } else {
            write({{kHashNode, to_text(HashSettings{})}, {kGroupsNode, ""}, {"carrier", carrier()}});
            peer_.offer(features());
        }
        changed();
        if (closing_) peer_.close(forced_);
    }

    XenbusPeer::Nodes features() const {
        return {{"feature-sg", "1"},
                {"feature-gso-tcpv4", "1"},
                {"feature-gso-tcpv6", "1"},
                {"feature-ipv6-csum-offload", "1"},
                {"feature-rx-copy", "1"},
                {"feature-rx-flip", "0"},
                {"feature-multicast-control", "1"},
                {"feature-dynamic-multicast-control", "1"},
                {"feature-split-event-channels", "1"},
                {"feature-ctrl-ring", "1"},
                {"multi-queue-max-queues", std::to_string(config_.max_queues)}};
    }

    // A link that is only about to come (a NAT helper that starts) counts as up: no driver likes it to flap.
    std::string carrier() const {
        return config_.link_up && !std::holds_alternative<NoAttachment>(config_.attachment) ? "1" : "0";
    }
    void show_link(bool up) { write({{"carrier", up ? "1" : "0"}}); }

    void write(const XenbusPeer::Nodes& nodes) {
        if (over_) return;
        std::vector<std::pair<std::string, std::string>> values;
        for (const auto& [name, value] : nodes)
            values.emplace_back(config_.backend_path + "/" + name, value);
        try {
            store_.write(values);
        } catch (const Failure& failure) {
            events_.trouble(failure.what());
        }
    }

    std::optional<abi::XenbusState> stored_state(const std::string& folder) const {
        const auto number = parse_number(store_.read(folder + "/state").value_or(""), 8);
        if (!number) return std::nullopt;
        return static_cast<abi::XenbusState>(*number);
    }
    std::optional<abi::XenbusState> own_state() const { return stored_state(config_.backend_path); }
    bool frontend_uses_rings() const {
        const auto state = stored_state(config_.frontend_path);
        return state == abi::XenbusState::kConnected || state == abi::XenbusState::kClosing;
    }

    std::optional<Connection> parse(std::string& problem) {
        auto connection = read_connection(
            [this](std::string_view name, uint64_t most) { return peer_.frontend_number(name, most); },
            config_.max_queues, problem);
        if (!connection) return std::nullopt;
        connection->hash =
            parse_hash_settings(store_.read(config_.backend_path + "/" + kHashNode).value_or(""));
        connection->groups = parse_groups(store_.read(config_.backend_path + "/" + kGroupsNode).value_or(""));
        return connection;
    }

    // --- what the other end does

    void connect() {
        write({{kHashNode, to_text(HashSettings{})}, {kGroupsNode, ""}});
        std::string problem;
        const auto connection = parse(problem);
        if (!connection) return refuse(problem);
        on_device([connection = *connection](Part& part, const Reply& reply) {
            try {
                part.interface->connect(connection);
            } catch (const Failure& failure) {
                return reply(
                    [problem = std::string(failure.what())](Implementation& self) { self.refuse(problem); });
            }
            reply([](Implementation& self) {
                self.watch_multicast();
                self.peer_.connected({});
            });
        });
    }

    void refuse(const std::string& problem) {
        const std::string sentence = "The guest's network driver cannot be connected: " + problem + ".";
        events_.trouble(sentence);
        peer_.failed(sentence);
    }

    void disconnect() {
        multicast_watch_.reset();
        on_device([](Part& part, const Reply& reply) {
            if (part.interface != nullptr) part.interface->disconnect();
            reply([](Implementation& self) { self.peer_.disconnected(); });
        });
    }

    void gone() {
        on_device([](Part& part, const Reply& reply) {
            if (part.interface != nullptr) part.interface->port().end();
            part.interface.reset();
            reply([](Implementation& self) { self.over(""); });
        });
    }

    void broken(const std::string& problem) {
        const std::string sentence = "The guest's network driver broke the protocol: " + problem +
                                     ". The interface is closed until the driver connects again.";
        events_.trouble(sentence);
        peer_.failed(sentence);
    }

    void watch_multicast() {
        multicast_watch_ = store_.watch(config_.frontend_path + "/request-multicast-control", [this] {
            const bool on = peer_.frontend_number("request-multicast-control", 1).value_or(0) != 0;
            on_interface([on](NetInterface& interface) { interface.set_multicast_control(on); });
        });
    }

    void over(const std::string& problem) {
        over_ = true;
        enter(NetState::kClosed);
        if (events_.closed) events_.closed(problem);
    }

    void changed() {
        switch (peer_.phase()) {
            case XenbusPeer::Phase::kIdle:
                return;
            case XenbusPeer::Phase::kOffered:
            case XenbusPeer::Phase::kConnecting:
                return enter(NetState::kWaiting);
            case XenbusPeer::Phase::kConnected:
                return enter(NetState::kConnected);
            case XenbusPeer::Phase::kDisconnecting:
                return enter(NetState::kClosing);
            case XenbusPeer::Phase::kLeft:
            case XenbusPeer::Phase::kGone:
                return enter(NetState::kClosed);
        }
    }

    // Tells of it from the loop: never from inside a call to the device.
    void enter(NetState state) {
        if (state_ == state) return;
        state_ = state;
        reply()([state](Implementation& self) {
            if (self.events_.state_changed) self.events_.state_changed(state);
        });
    }

    NetConfig config_;
    std::shared_ptr<DeviceThread> thread_;
    DeviceStore& store_;
    std::function<void(std::function<void()>)> post_;
    Events events_;
    std::shared_ptr<NetCounters> counters_ = std::make_shared<NetCounters>();
    std::shared_ptr<Part> part_ = std::make_shared<Part>();
    XenbusPeer peer_;
    std::string port_problem_;  // since the link last came up
    std::unique_ptr<DeviceStore::Watch> multicast_watch_;
    NetState state_ = NetState::kOpening;
    bool closing_ = false;
    bool forced_ = false;
    bool over_ = false;
    bool left_ = false;
};

NetDevice::NetDevice(NetConfig config, std::shared_ptr<DeviceThread> thread, DeviceStore& store,
                     std::function<void(std::function<void()>)> post, Events events) {
    check(config);
    implementation_ = std::make_shared<Implementation>(std::move(config), std::move(thread), store,
                                                       std::move(post), std::move(events));
    implementation_->start();
}

NetDevice::~NetDevice() {
    implementation_->leave();
}

NetState NetDevice::state() const {
    return implementation_->state();
}
std::string NetDevice::problem() const {
    return implementation_->problem();
}
NetStatistics NetDevice::statistics() const {
    return implementation_->statistics();
}
void NetDevice::set_link(bool up) {
    implementation_->set_link(up);
}
void NetDevice::set_limits(const TrafficLimit& from_guest, const TrafficLimit& to_guest) {
    implementation_->set_limits(from_guest, to_guest);
}
void NetDevice::add_forward(const PortForward& forward, Done done) {
    implementation_->change_forward(forward, true, std::move(done));
}
void NetDevice::remove_forward(const PortForward& forward, Done done) {
    implementation_->change_forward(forward, false, std::move(done));
}
void NetDevice::close(bool force) {
    implementation_->close(force);
}

}  // namespace torii::backend::net
