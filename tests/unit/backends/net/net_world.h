#pragma once
// Guests with the kit's network driver, and a daemon that serves them and may be killed, in one process.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/xenbus_peer.h"
#include "drivers/net_front.h"
#include "net/net_device.h"
#include "net/switch.h"
#include "unit/backends/kit/fake_guest.h"
#include "unit/backends/kit/fake_io_loop.h"
#include "unit/backends/kit/fake_store.h"
#include "unit/backends/net/packets.h"

namespace torii::backend::net::test {

using backend::test::FakeEventChannels;
using backend::test::FakeGuest;
using backend::test::FakeGuestMemory;
using backend::test::FakeIoLoop;
using backend::test::FakeStore;

struct Killed {};

// What a driver writes to the store.
using FrontendNodes = std::vector<std::pair<std::string, std::string>>;
FrontendNodes all_features();

struct Arrived {
    Bytes bytes;
    guest::NetFrameInfo info;
};

// A guest with one interface.
class NetGuest final : private guest::NetFrontHost {
public:
    NetGuest(FakeStore& store, DomId id, size_t tx_pages = 64, size_t rx_pages = 200);

    DomId id() const { return guest_.id(); }
    FakeGuest& guest() { return guest_; }
    guest::NetFront& front() { return *front_; }
    std::string backend_path() const { return "/local/domain/0/backend/torii-vif/" + number() + "/0"; }
    std::string frontend_path() const { return "/local/domain/" + number() + "/device/vif/0"; }

    // The driver is loaded: a fresh ring, offered with these nodes besides those of the rings.
    void load(const FrontendNodes& nodes = all_features());
    // Follows the back end's state, as a driver does; looks at the rings.
    void run();
    void set_state(abi::XenbusState state);
    abi::XenbusState state() const;
    abi::XenbusState backend_state() const;
    std::string node(const std::string& name) { return store_.get(frontend_path() + "/" + name); }

    std::deque<Arrived> arrived;
    bool signals_asked_only = true;  // whether run() looks at the rings only when signalled

    Port tx_port() const { return tx_port_; }
    Port rx_port() const { return rx_port_; }

private:
    std::string number() const { return std::to_string(guest_.id().raw()); }

    abi::RawGrantRef grant(void* page, bool read_only) override;
    bool end_grant(abi::RawGrantRef gref) override;
    void notify_transmit() override { guest_.notify(tx_port_); }
    void notify_receive() override { guest_.notify(rx_port_); }
    void received(std::span<const uint8_t> frame, const guest::NetFrameInfo& info) override {
        arrived.push_back({Bytes(frame.begin(), frame.end()), info});
    }

    FakeStore& store_;
    FakeGuest guest_;
    Port tx_port_;
    Port rx_port_;
    size_t tx_pages_;
    size_t rx_pages_;
    size_t first_page_;
    std::vector<uint8_t> frame_;
    std::unique_ptr<guest::NetFront> front_;
};

// The process that serves them.
class NetDaemon {
public:
    NetDaemon(FakeStore& store, std::vector<NetGuest*> guests);
    ~NetDaemon();  // a kill

    NetDevice& add(NetGuest& guest, NetConfig config);
    static NetConfig config_for(const NetGuest& guest);
    static MacAddress mac_of(uint8_t guest) { return {{0x00, 0x16, 0x3E, 0, 0, guest}}; }

    // Until nothing is left to be done; time does not pass.
    void run();
    FakeIoLoop& loop() { return *loop_; }
    const std::shared_ptr<Switch>& network() const { return network_; }
    FakeEventChannels& channels() { return *channels_; }

    std::vector<std::unique_ptr<NetDevice>> devices;
    std::vector<std::string> troubles;
    std::vector<std::string> closed;
    size_t helper_wanted = 0;

    // The step at which the process dies: that many further on.
    std::optional<unsigned> steps_to_live;
    // While the memory of a guest is copied.
    std::function<void()> while_copying;

private:
    class Thread;

    FakeStore& store_;
    std::vector<NetGuest*> guests_;
    std::deque<std::function<void()>> control_;
    std::unique_ptr<FakeIoLoop> loop_ = std::make_unique<FakeIoLoop>();
    std::unique_ptr<FakeEventChannels> channels_;
    std::shared_ptr<Thread> thread_;
    std::shared_ptr<Switch> network_ = std::make_shared<Switch>("test");
};

// All of it running until nothing moves.
void settle(FakeStore& store, NetDaemon& daemon, std::initializer_list<NetGuest*> guests);

}  // namespace torii::backend::net::test
