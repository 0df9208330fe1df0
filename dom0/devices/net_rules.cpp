#include "devices/net_rules.h"

#include <torii/failure.h>

#include "devices/device_config.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

using backend::net::FilterConfig;
using backend::net::NetConfig;
using backend::net::PortForward;

constexpr uint32_t kShortestMtu = 68;  // RFC 791
constexpr uint32_t kLongestMtu = 65521;
constexpr size_t kLongestName = 15;  // of an interface of Linux

[[noreturn]] void refuse(const std::string& sentence) {
    throw Failure(ErrorCode::kInvalidArgument, sentence);
}

void check_attachment(const v1::Net& net) {
    const AttachmentWords words = attachment_words(net);
    const bool named = words.kind == "bridge" || words.kind == "switch";
    if (!named && words.kind != "nat" && words.kind != "none") {
        refuse(fmt::format(
            "{} cannot be attached to \"{}\": nat, bridge=NAME, switch=NAME and none are possible",
            net.device(), net.attachment()));
    }
    if (named && (words.name.empty() || words.name.size() > kLongestName ||
                  words.name.find('/') != std::string::npos)) {
        refuse(fmt::format("{}: write {}=NAME, with a name of 1 to {} characters", net.device(), words.kind,
                           kLongestName));
    }
    if (!named && net.attachment() != words.kind) {
        refuse(fmt::format("{}: {} has no name: write just {}", net.device(), words.kind, words.kind));
    }
    if (net.forwards_size() != 0 && words.kind != "nat") {
        refuse(net.device() + " has port forwards, which only a nat can have");
    }
}

FilterConfig filter_of(const v1::Net& net) {
    FilterConfig filter;
    for (const std::string& text : net.addresses()) {
        if (const auto ipv4 = backend::net::parse_ipv4(text)) {
            filter.ipv4.push_back(*ipv4);
        } else if (const auto ipv6 = backend::net::parse_ipv6(text)) {
            filter.ipv6.push_back(*ipv6);
        } else {
            refuse(fmt::format("{}: \"{}\" is no IP address", net.device(), text));
        }
    }
    return filter;
}

}  // namespace

AttachmentWords attachment_words(const v1::Net& net) {
    const std::string& text = net.attachment();
    const size_t sign = text.find('=');
    return {text.substr(0, sign), sign == std::string::npos ? "" : text.substr(sign + 1)};
}

void check_net(const std::string& uuid, v1::Net& net) {
    if (net.attachment().empty()) net.set_attachment("nat");
    check_attachment(net);
    if (net.mac().empty()) net.set_mac(to_text(backend::net::generate_mac(uuid, net_number(net.device()))));
    const auto mac = backend::net::parse_mac(net.mac());
    if (!mac || mac->multicast() || mac->zero()) {
        refuse(fmt::format(
            "{}: \"{}\" is no MAC address of an interface: six pairs of hexadecimal digits with colons "
            "between, the first even",
            net.device(), net.mac()));
    }
    net.set_mac(to_text(*mac));
    if (net.mtu() == 0) net.set_mtu(1500);
    if (net.mtu() < kShortestMtu || net.mtu() > kLongestMtu) {
        refuse(fmt::format("{}: an MTU of {} is not possible: {} to {} bytes", net.device(), net.mtu(),
                           kShortestMtu, kLongestMtu));
    }
    (void)port_forwards(net);
    (void)filter_of(net);
    for (const v1::Limit* limit : {&net.from_guest(), &net.to_guest()}) {
        if (limit->burst() != 0 && limit->per_second() == 0)
            refuse(net.device() + " has a burst without a limit");
    }
}

std::vector<PortForward> port_forwards(const v1::Net& net) {
    std::vector<PortForward> forwards;
    for (const std::string& text : net.forwards())
        forwards.push_back(backend::net::parse_port_forward(text));
    return forwards;
}

NetConfig net_config(const v1::Net& net) {
    NetConfig config;
    config.mac = *backend::net::parse_mac(net.mac());
    config.mtu = static_cast<uint16_t>(net.mtu());
    config.filter = filter_of(net);
    config.from_guest.bytes = {net.from_guest().per_second(), net.from_guest().burst()};
    config.to_guest.bytes = {net.to_guest().per_second(), net.to_guest().burst()};
    return config;
}

}  // namespace torii::dom0
