#pragma once
// The half of an interface that lives on the device thread: the queues of a connected guest, and the port
// where its frames go. Everything is called on that thread, and calls back on it.

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/device_thread.h"
#include "common/fail_point.h"
#include "net/control_ring.h"
#include "net/filter.h"
#include "net/net_queue.h"
#include "net/port.h"
#include "net/waiter.h"

namespace torii::backend::net {

// What the guest's driver wrote to the store, parsed.
struct QueuePlace {
    GrantRef tx_ring;
    GrantRef rx_ring;
    Port tx_port;
    std::optional<Port> rx_port;  // of its own
};
struct Connection {
    std::vector<QueuePlace> queues;  // at least one
    QueueFeatures features;
    bool multicast_control = false;
    std::optional<GrantRef> control_ring;
    Port control_port;
    // Set by the guest earlier, and kept in the store for a successor.
    HashSettings hash;
    std::set<MacAddress> groups;
};

class NetInterface final : private PortUser, private QueueOwner {
public:
    struct Events {
        std::function<void(const std::string& problem)> broken;  // by the guest: nothing more comes of it
        std::function<void(bool up)> link_changed;
        std::function<void(const std::string& sentence)> trouble;
        std::function<void()> nat_helper_wanted;
        // The guest's settings, for the store.
        std::function<void(const HashSettings&, const std::set<MacAddress>&)> settings_changed;
    };

    // Makes the port. Throws Failure.
    NetInterface(std::shared_ptr<DeviceThread> thread, const NetConfig& config,
                 std::shared_ptr<NetCounters> counters, Events events);
    ~NetInterface() override;

    // Maps rings, binds ports, and goes on where an earlier process stopped. Throws Failure, and is then as
    // before.
    void connect(const Connection& connection);
    void disconnect();
    bool connected() const { return !queues_.empty(); }

    void set_multicast_control(bool on) { multicast_control_ = on; }
    void set_link(bool up);
    void set_limits(const TrafficLimit& from_guest, const TrafficLimit& to_guest);
    FramePort& port() { return *port_; }

private:
    struct Limiter {
        TokenBucket bytes;
        TokenBucket frames;
        std::chrono::nanoseconds wait(std::chrono::nanoseconds now) {
            return std::max(bytes.wait(now), frames.wait(now));
        }
        void take(size_t size, size_t count) {
            bytes.take(size);
            frames.take(count);
        }
    };

    std::unique_ptr<FramePort> make_port(const NetConfig& config);
    void bind_ports(NetQueue& queue, const QueuePlace& place, size_t index);

    // PortUser
    void receive(FramePtr frame) override;
    void burst_ended() override;
    void port_ready() override { resume(); }
    void link_changed(bool up) override;
    void trouble(const std::string& sentence) override { events_.trouble(sentence); }

    // QueueOwner
    bool may_transmit() override;
    void charge_transmit(size_t bytes) override { from_guest_.take(bytes, 1); }
    bool transmit(FramePtr frame) override;
    bool change_multicast(const MacAddress& group, bool add) override;
    void queue_broken(const char* problem) override;
    NetCounters& counters() override { return *counters_; }
    bool stepping() const override { return static_cast<bool>(fail_point_); }
    void step(std::string_view name) override { reach(fail_point_, name); }

    bool prepare(Frame& frame);
    bool wanted_by_guest(const Frame& frame) const;
    void serve_transmit(size_t queue);
    void serve_control();
    void wake_up(size_t queue);
    void resume();
    void call_later(void (NetInterface::*what)());
    void settings_changed();

    std::shared_ptr<DeviceThread> thread_;
    const DomId domid_;
    const Filter filter_;
    std::shared_ptr<NetCounters> counters_;
    const Events events_;
    const FailPointHook fail_point_;
    bool link_up_;
    Limiter from_guest_;
    Limiter to_guest_;

    std::unique_ptr<FramePort> port_;

    std::unique_ptr<GuestMemory> memory_;
    std::vector<std::unique_ptr<NetQueue>> queues_;
    std::vector<bool> turn_due_;  // by queue: a turn was posted
    std::unique_ptr<ControlRing> control_;
    QueueFeatures features_;
    Takes guest_takes_;
    HashSettings hash_;
    bool multicast_control_ = false;
    std::set<MacAddress> groups_;
    bool broken_ = false;

    std::vector<FramePtr> shaped_;
    std::vector<bool> touched_;  // by queue: has frames of this burst
    Waiter limit_over_;
    Waiter settings_due_;
    // What was posted to the loop and comes when the interface is gone finds this empty.
    std::shared_ptr<NetInterface*> self_;
};

}  // namespace torii::backend::net
