#include "unit/backends/net/net_world.h"

#include <random>
#include <stdexcept>

namespace torii::backend::net::test {

namespace {

constexpr size_t kPage = kGuestPageSize;

}  // namespace

FrontendNodes all_features() {
    return {{"request-rx-copy", "1"},   {"feature-rx-notify", "1"}, {"feature-sg", "1"},
            {"feature-gso-tcpv4", "1"}, {"feature-gso-tcpv6", "1"}, {"feature-ipv6-csum-offload", "1"}};
}

NetGuest::NetGuest(FakeStore& store, DomId id, size_t tx_pages, size_t rx_pages)
    : store_(store), guest_(id, 1024), tx_pages_(tx_pages), rx_pages_(rx_pages), frame_(65535) {
    first_page_ = guest_.allocate_page();
    for (size_t count = 1; count < 2 + tx_pages + rx_pages; ++count) {
        if (guest_.allocate_page() != first_page_ + count) throw std::logic_error("pages are not in a row");
    }
}

void NetGuest::load(const FrontendNodes& nodes) {
    if (front_ != nullptr) {
        front_->stop();
        guest_.close(tx_port_);
        guest_.close(rx_port_);
    }
    auto* const pages = reinterpret_cast<uint8_t*>(guest_.page(first_page_));
    guest::NetFrontHost& host = *this;
    front_ = std::make_unique<guest::NetFront>(
        host, guest::NetFront::Pages{.tx_ring = pages,
                                     .rx_ring = pages + kPage,
                                     .tx_buffers = {pages + 2 * kPage, tx_pages_ * kPage},
                                     .rx_buffers = {pages + (2 + tx_pages_) * kPage, rx_pages_ * kPage},
                                     .frame = frame_});
    tx_port_ = guest_.allocate_unbound();
    rx_port_ = guest_.allocate_unbound();
    front_->start();
    FrontendNodes all = nodes;
    all.emplace_back("tx-ring-ref", std::to_string(front_->tx_ring_ref()));
    all.emplace_back("rx-ring-ref", std::to_string(front_->rx_ring_ref()));
    all.emplace_back("event-channel-tx", std::to_string(tx_port_.raw()));
    all.emplace_back("event-channel-rx", std::to_string(rx_port_.raw()));
    for (auto& [name, value] : all)
        name = frontend_path() + "/" + name;
    store_.write(all);
    set_state(abi::XenbusState::kInitialising);
}

void NetGuest::set_state(abi::XenbusState state) {
    store_.set(frontend_path() + "/state", std::to_string(static_cast<uint32_t>(state)));
}
abi::XenbusState NetGuest::state() const {
    return static_cast<abi::XenbusState>(parse_number(store_.get(frontend_path() + "/state"), 8).value_or(0));
}
abi::XenbusState NetGuest::backend_state() const {
    return static_cast<abi::XenbusState>(parse_number(store_.get(backend_path() + "/state"), 8).value_or(0));
}

void NetGuest::run() {
    const abi::XenbusState other = backend_state();
    if (other == abi::XenbusState::kInitWait && state() == abi::XenbusState::kInitialising)
        set_state(abi::XenbusState::kConnected);
    if (other == abi::XenbusState::kClosing && state() == abi::XenbusState::kConnected)
        set_state(abi::XenbusState::kClosed);
    const size_t signals = guest_.take_signals(tx_port_) + guest_.take_signals(rx_port_);
    if (front_ != nullptr && (signals != 0 || !signals_asked_only)) front_->poll();
}

abi::RawGrantRef NetGuest::grant(void* page, bool read_only) {
    const auto distance = static_cast<std::byte*>(page) - guest_.page(0);
    return guest_.grant(static_cast<size_t>(distance) / kPage, !read_only).raw();
}
bool NetGuest::end_grant(abi::RawGrantRef gref) {
    return guest_.end_grant(GrantRef(gref));
}

class NetDaemon::Thread final : public DeviceThread {
public:
    explicit Thread(NetDaemon& daemon) : daemon_(daemon) {}
    IoLoop& loop() override { return *daemon_.loop_; }
    EventChannels& event_channels() override { return *daemon_.channels_; }
    std::unique_ptr<GuestMemory> open_memory(DomId guest) override {
        for (NetGuest* const candidate : daemon_.guests_) {
            if (candidate->id() != guest) continue;
            auto memory = std::make_unique<FakeGuestMemory>(candidate->guest());
            memory->while_copying = [this] {
                if (daemon_.while_copying) daemon_.while_copying();
            };
            return memory;
        }
        throw std::logic_error("no such guest");
    }

private:
    NetDaemon& daemon_;
};

NetDaemon::NetDaemon(FakeStore& store, std::vector<NetGuest*> guests)
    : store_(store), guests_(std::move(guests)), thread_(std::make_shared<Thread>(*this)) {
    channels_ = std::make_unique<FakeEventChannels>(
        [this](std::function<void()> action) { loop_->post(std::move(action)); });
    for (NetGuest* const guest : guests_)
        channels_->add_guest(guest->guest());
}

NetDaemon::~NetDaemon() {
    std::mt19937 random(1);
    steps_to_live.reset();
    loop_->abandon(random);
    devices.clear();
    loop_->run();
    control_.clear();
}

NetConfig NetDaemon::config_for(const NetGuest& guest) {
    NetConfig config;
    config.backend_path = guest.backend_path();
    config.frontend_path = guest.frontend_path();
    config.domid = guest.id();
    config.mac = mac_of(static_cast<uint8_t>(guest.id().raw()));
    return config;
}

NetDevice& NetDaemon::add(NetGuest&, NetConfig config) {
    if (std::holds_alternative<NoAttachment>(config.attachment))
        config.attachment = SwitchAttachment{network_};
    config.fail_point = [this](std::string_view) {
        if (steps_to_live && (*steps_to_live)-- == 0) throw Killed();
    };
    devices.push_back(std::make_unique<NetDevice>(
        config, thread_, store_,
        [this](std::function<void()> action) { control_.push_back(std::move(action)); },
        NetDevice::Events{.state_changed = nullptr,
                          .closed = [this](const std::string& problem) { closed.push_back(problem); },
                          .trouble = [this](const std::string& sentence) { troubles.push_back(sentence); },
                          .nat_helper_wanted = [this] { ++helper_wanted; }}));
    return *devices.back();
}

void NetDaemon::run() {
    bool moved = true;
    while (moved) {
        moved = loop_->run();
        while (!control_.empty()) {
            const auto action = std::move(control_.front());
            control_.pop_front();
            action();
            moved = true;
        }
        moved = store_.run() || moved;
    }
}

void settle(FakeStore& store, NetDaemon& daemon, std::initializer_list<NetGuest*> guests) {
    for (int round = 0; round < 20; ++round) {
        daemon.run();
        for (NetGuest* const guest : guests)
            guest->run();
    }
    store.run();
}

}  // namespace torii::backend::net::test
