#pragma once
// A guest's private network behind the host's addresses, by libslirp: 10.0.2.0/24, the host at 10.0.2.2, DNS
// at 10.0.2.3, addresses by DHCP from 10.0.2.15; fec0::/64 likewise.

#include <poll.h>
#include <slirp/libslirp.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "net/nat_protocol.h"

namespace torii::backend::net {

class SlirpNetwork {
public:
    // `to_guest` takes each frame, whose bytes are valid during the call.
    SlirpNetwork(const NatSettings& settings, std::function<void(std::span<const uint8_t>)> to_guest);
    ~SlirpNetwork();
    SlirpNetwork(const SlirpNetwork&) = delete;
    SlirpNetwork& operator=(const SlirpNetwork&) = delete;

    void from_guest(std::span<const uint8_t> frame);

    // Appends what must be waited for; lowers `timeout` (in milliseconds; negative: for ever).
    void prepare_poll(std::vector<pollfd>& files, int& timeout);
    // With the same list after poll(2), which returned `result`.
    void dispatch(const std::vector<pollfd>& files, int result);

    // An empty sentence, or why not.
    std::string add_forward(const PortForward& forward);
    std::string remove_forward(const PortForward& forward);

private:
    struct Timer {
        SlirpTimerCb callback;
        void* argument;
        int64_t due = -1;  // milliseconds; negative: not set
    };
    static SlirpCb callbacks();
    void let_connections_wait();

    std::function<void(std::span<const uint8_t>)> to_guest_;
    std::list<Timer> timers_;
    std::vector<PortForward> forwards_;
    std::vector<pollfd>* files_ = nullptr;  // while libslirp is asked for them
    Slirp* slirp_ = nullptr;
};

}  // namespace torii::backend::net
