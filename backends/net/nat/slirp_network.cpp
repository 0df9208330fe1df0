#include "net/nat/slirp_network.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

namespace torii::backend::net {

namespace {

constexpr size_t kGuestMtuLimit = 65521;
constexpr unsigned kMostErrorLines = 20;

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}
int64_t now_ms() {
    return now_ns() / 1'000'000;
}

in_addr to_in_addr(const Ipv4Address& address) {
    in_addr result;
    std::memcpy(&result, address.bytes.data(), sizeof(result));
    return result;
}

in_addr network_address(uint8_t host) {
    return to_in_addr({{10, 0, 2, host}});
}

in6_addr network_address_v6(uint8_t host) {
    in6_addr address{};
    address.s6_addr[0] = 0xFE;
    address.s6_addr[1] = 0xC0;
    address.s6_addr[15] = host;
    return address;
}

short to_poll(int slirp_events) {
    short events = 0;
    if ((slirp_events & SLIRP_POLL_IN) != 0) events |= POLLIN;
    if ((slirp_events & SLIRP_POLL_OUT) != 0) events |= POLLOUT;
    if ((slirp_events & SLIRP_POLL_PRI) != 0) events |= POLLPRI;
    return events;
}

int from_poll(short events) {
    int slirp_events = 0;
    if ((events & POLLIN) != 0) slirp_events |= SLIRP_POLL_IN;
    if ((events & POLLOUT) != 0) slirp_events |= SLIRP_POLL_OUT;
    if ((events & POLLPRI) != 0) slirp_events |= SLIRP_POLL_PRI;
    if ((events & POLLERR) != 0) slirp_events |= SLIRP_POLL_ERR;
    if ((events & POLLHUP) != 0) slirp_events |= SLIRP_POLL_HUP;
    return slirp_events;
}

// What a guest can cause without end must not fill the host's log.
void guest_error(const char* message, void*) {
    static unsigned left = kMostErrorLines;
    if (left == 0 || --left == 0) return;
    std::fprintf(stderr, "the guest's network traffic: %s\n", message);
}

}  // namespace

SlirpCb SlirpNetwork::callbacks() {
    SlirpCb result{};
    result.send_packet = [](const void* bytes, size_t size, void* self) -> ssize_t {
        static_cast<SlirpNetwork*>(self)->to_guest_({static_cast<const uint8_t*>(bytes), size});
        return static_cast<ssize_t>(size);
    };
    result.guest_error = guest_error;
    result.clock_get_ns = [](void*) { return now_ns(); };
    result.timer_new = [](SlirpTimerCb callback, void* argument, void* self) -> void* {
        auto& timers = static_cast<SlirpNetwork*>(self)->timers_;
        return &timers.emplace_back(Timer{callback, argument});
    };
    result.timer_free = [](void* timer, void* self) {
        static_cast<SlirpNetwork*>(self)->timers_.remove_if(
            [timer](const Timer& entry) { return &entry == timer; });
    };
    result.timer_mod = [](void* timer, int64_t due, void*) { static_cast<Timer*>(timer)->due = due; };
    // All files are asked for anew before each wait, and everything is on one thread.
    result.register_poll_fd = [](int, void*) {};
    result.unregister_poll_fd = [](int, void*) {};
    result.notify = [](void*) {};
    return result;
}

SlirpNetwork::SlirpNetwork(const NatSettings& settings,
                           std::function<void(std::span<const uint8_t>)> to_guest)
    : to_guest_(std::move(to_guest)) {
    SlirpConfig config{};
    config.version = 3;
    config.in_enabled = true;
    config.vnetwork = network_address(0);
    config.vnetmask = to_in_addr({{255, 255, 255, 0}});
    config.vhost = network_address(2);
    config.vnameserver = network_address(3);
    config.vdhcp_start = network_address(15);
    config.in6_enabled = true;
    config.vprefix_addr6 = network_address_v6(0);
    config.vprefix_len = 64;
    config.vhost6 = network_address_v6(2);
    config.vnameserver6 = network_address_v6(3);
    // Towards the guest its own MTU; from it whatever comes: large segments come whole.
    config.if_mtu = std::clamp<size_t>(settings.mtu, 576, kGuestMtuLimit);
    config.if_mru = kGuestMtuLimit;
    config.disable_host_loopback = settings.host_loopback == 0;
    // libslirp keeps the pointer.
    static const SlirpCb kCallbacks = callbacks();
    slirp_ = slirp_new(&config, &kCallbacks, this);
}

SlirpNetwork::~SlirpNetwork() {
    if (slirp_ != nullptr) slirp_cleanup(slirp_);
}

void SlirpNetwork::from_guest(std::span<const uint8_t> frame) {
    slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
}

void SlirpNetwork::prepare_poll(std::vector<pollfd>& files, int& timeout) {
    uint32_t wait = timeout < 0 ? UINT32_MAX : static_cast<uint32_t>(timeout);
    files_ = &files;
    slirp_pollfds_fill(
        slirp_, &wait,
        [](int file, int events, void* self) {
            std::vector<pollfd>& list = *static_cast<SlirpNetwork*>(self)->files_;
            list.push_back({.fd = file, .events = to_poll(events), .revents = 0});
            return static_cast<int>(list.size() - 1);
        },
        this);
    files_ = nullptr;
    for (const Timer& timer : timers_) {
        if (timer.due < 0) continue;
        const int64_t left = std::max<int64_t>(timer.due - now_ms(), 0);
        wait = static_cast<uint32_t>(std::min<int64_t>(wait, left));
    }
    timeout = wait > INT32_MAX ? -1 : static_cast<int>(wait);
}

void SlirpNetwork::dispatch(const std::vector<pollfd>& files, int result) {
    std::vector<pollfd> ready = files;
    files_ = &ready;
    slirp_pollfds_poll(
        slirp_, result < 0 ? 1 : 0,
        [](int index, void* self) {
            return from_poll((*static_cast<SlirpNetwork*>(self)->files_)[static_cast<size_t>(index)].revents);
        },
        this);
    files_ = nullptr;
    const int64_t now = now_ms();
    for (Timer& timer : timers_) {
        if (timer.due < 0 || timer.due > now) continue;
        timer.due = -1;
        timer.callback(timer.argument);
    }
}

// libslirp has one connection wait to be accepted; of several that come at once, the others' beginnings would
// be dropped by the kernel and sent again seconds later. It tells its files only when asked what to wait for:
// so not between a prepare_poll() and the dispatch() of its list.
void SlirpNetwork::let_connections_wait() {
    std::vector<pollfd> files;
    int timeout = 0;
    prepare_poll(files, timeout);
    for (const pollfd& file : files) {
        int listening = 0;
        socklen_t length = sizeof(listening);
        if (::getsockopt(file.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0)
            ::listen(file.fd, SOMAXCONN);
    }
}

std::string SlirpNetwork::add_forward(const PortForward& forward) {
    if (std::find(forwards_.begin(), forwards_.end(), forward) != forwards_.end()) return {};
    const int result = slirp_add_hostfwd(slirp_, forward.udp ? 1 : 0, to_in_addr(forward.host),
                                         forward.host_port, to_in_addr(forward.guest), forward.guest_port);
    if (result != 0) {
        const std::string why = std::strerror(errno);
        const bool privileged = errno == EACCES;
        return "The host's port of " + to_text(forward) + " cannot be listened on (" + why + "). " +
               (privileged ? "Choose one above 1023: the helper has no privileges."
                           : "See with `ss -lntup` who has it.");
    }
    forwards_.push_back(forward);
    if (!forward.udp) let_connections_wait();
    return {};
}

std::string SlirpNetwork::remove_forward(const PortForward& forward) {
    if (std::erase(forwards_, forward) == 0) return "There is no port forward " + to_text(forward) + ".";
    slirp_remove_hostfwd(slirp_, forward.udp ? 1 : 0, to_in_addr(forward.host), forward.host_port);
    return {};
}

}  // namespace torii::backend::net
