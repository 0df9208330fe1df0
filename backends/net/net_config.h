#pragma once
// What a network interface is to be: said by whoever attaches it.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/fail_point.h"
#include "common/ids.h"
#include "common/rate_limit.h"
#include "net/addresses.h"

namespace torii::backend::net {

class Switch;

// A port of the host that leads to one of the guest. TCP or UDP, IPv4.
struct PortForward {
    bool udp = false;
    Ipv4Address host;        // 0.0.0.0: all of the host's addresses
    uint16_t host_port = 0;  // 1024 or more: the helper has no privileges
    Ipv4Address guest;       // 0.0.0.0: the address that the guest gets by DHCP (10.0.2.15)
    uint16_t guest_port = 0;

    auto operator<=>(const PortForward&) const = default;
};
// "tcp:2222:22", "udp:127.0.0.1:5353:53", "tcp:127.0.0.1:8080:10.0.2.15:80". Throws Failure
// (kInvalidArgument) with what is wrong.
PortForward parse_port_forward(std::string_view text);
std::string to_text(const PortForward& forward);

// Carries frames nowhere; the link is down.
struct NoAttachment {};
// The network of one guest behind the host's own addresses, in a helper process (see nat/).
struct NatAttachment {
    // Where the helper listens. It need not run yet: the interface connects as soon as it does.
    std::string socket_path;
    std::vector<PortForward> forwards;
    bool host_loopback = false;  // whether 10.0.2.2 reaches what listens on the host's 127.0.0.1 only
};
// A tap interface of the host in a bridge of the host.
struct BridgeAttachment {
    std::string bridge;
    std::string tap;  // its name, 15 characters at most; made, and removed with the interface
};
struct SwitchAttachment {
    std::shared_ptr<Switch> network;
};
using Attachment = std::variant<NoAttachment, NatAttachment, BridgeAttachment, SwitchAttachment>;

// What a guest may send. With `addresses` it may send IPv4, ARP and IPv6 only, and as nobody else: see
// filter.h for the rules.
struct FilterConfig {
    bool own_mac_only = true;
    std::vector<Ipv4Address> ipv4;
    std::vector<Ipv6Address> ipv6;
    bool addresses() const { return !ipv4.empty() || !ipv6.empty(); }
};

// Of one direction; both hold.
struct TrafficLimit {
    RateLimit bytes;
    RateLimit frames;

    bool operator==(const TrafficLimit&) const = default;
};

struct NetConfig {
    std::string backend_path;   // absolute: ".../backend/torii-vif/DOMID/DEVID"
    std::string frontend_path;  // absolute: "/local/domain/DOMID/device/vif/DEVID"
    DomId domid;
    MacAddress mac;       // of the guest's interface; for the filter and the switch
    uint16_t mtu = 1500;  // 68 to 65521
    Attachment attachment;
    FilterConfig filter;
    TrafficLimit from_guest;
    TrafficLimit to_guest;
    uint32_t max_queues = 4;  // at most kMaxQueues
    bool link_up = true;
    FailPointHook fail_point;  // for tests; called on the device thread
};
inline constexpr uint32_t kMaxQueues = 8;

}  // namespace torii::backend::net
