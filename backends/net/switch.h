#pragma once
// A learning switch between guests, inside the daemon: frames go from one interface to others without the
// host's network. Any thread; each port belongs to that of its interface.
//
// What a guest can do to the others: nothing. An interface whose filter holds it to its own MAC has that
// address fixed in the table, and no other port can take it. Other ports learn at most kLearnedPerPort
// addresses each. Frames to a port that is slow wait in that port's inbox, up to a limit, and are dropped
// beyond. No frame comes back to the port it came from.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "common/io_loop.h"
#include "net/port.h"

namespace torii::backend::net {

class SwitchPort;

class Switch : public std::enable_shared_from_this<Switch> {
public:
    static constexpr size_t kLearnedPerPort = 256;
    static constexpr std::chrono::seconds kForgetAfter{300};

    explicit Switch(std::string name) : name_(std::move(name)) {}
    const std::string& name() const { return name_; }

    // Frames for the port are given to `user` on the loop's thread. `fixed` is the only address that the
    // port's guest can have; null when it may have any.
    std::unique_ptr<SwitchPort> add_port(IoLoop& loop, PortUser& user, const MacAddress* fixed);

    struct Entry {
        MacAddress address;
        uint32_t port;
        bool fixed;
    };
    std::vector<Entry> table() const;
    size_t port_count() const;

private:
    friend class SwitchPort;
    struct Inbox;
    struct Known {
        uint32_t port = 0;
        std::chrono::nanoseconds seen{0};
        bool fixed = false;
    };
    struct Member {
        std::shared_ptr<Inbox> inbox;
        size_t learned = 0;
    };

    // False when nobody took it.
    bool forward(uint32_t from, FramePtr frame, std::chrono::nanoseconds now);
    void learn(uint32_t port, const MacAddress& source, std::chrono::nanoseconds now);
    void forget_old(std::chrono::nanoseconds now);
    void remove_port(uint32_t port);

    const std::string name_;
    mutable std::mutex mutex_;
    uint32_t next_port_ = 1;
    std::map<uint32_t, Member> members_;
    std::unordered_map<uint64_t, Known> known_;  // by MacAddress::number()
    std::chrono::nanoseconds swept_at_{0};
};

class SwitchPort final : public FramePort {
public:
    ~SwitchPort() override;

    // The receiving interface does what its guest does not take.
    Takes takes() const override { return {true, true, true, true}; }
    bool ready() const override { return true; }
    bool send(FramePtr frame) override;
    bool link() const override { return true; }

private:
    friend class Switch;
    SwitchPort(std::shared_ptr<Switch> network, uint32_t number, IoLoop& loop)
        : network_(std::move(network)), number_(number), loop_(loop) {}

    std::shared_ptr<Switch> network_;
    uint32_t number_;
    IoLoop& loop_;
};

}  // namespace torii::backend::net
