#include "net/net_config.h"

#include <torii/failure.h>

#include <charconv>

namespace torii::backend::net {

namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
    throw Failure(
        ErrorCode::kInvalidArgument,
        "The port forward \"" + std::string(text) + "\" " + why +
            ". Write PROTOCOL:[HOST-ADDRESS:]HOST-PORT:[GUEST-ADDRESS:]GUEST-PORT, for example tcp:2222:22.");
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    while (true) {
        const size_t colon = text.find(':');
        parts.push_back(text.substr(0, colon));
        if (colon == std::string_view::npos) return parts;
        text.remove_prefix(colon + 1);
    }
}

bool parse_port(std::string_view text, uint16_t& port) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc() && end == text.data() + text.size() && port != 0;
}

}  // namespace

PortForward parse_port_forward(std::string_view text) {
    const std::vector<std::string_view> parts = split(text);
    PortForward forward;
    if (parts[0] != "tcp" && parts[0] != "udp") refuse(text, "does not begin with tcp: or udp:");
    forward.udp = parts[0] == "udp";
    size_t next = 1;
    const auto take = [&](Ipv4Address& address, uint16_t& port, const char* whose) {
        if (next < parts.size()) {
            if (const auto given = parse_ipv4(parts[next])) {
                address = *given;
                ++next;
            }
        }
        if (next == parts.size() || !parse_port(parts[next], port))
            refuse(text, std::string("has no port of the ") + whose + " between 1 and 65535");
        ++next;
    };
    take(forward.host, forward.host_port, "host");
    take(forward.guest, forward.guest_port, "guest");
    if (next != parts.size()) refuse(text, "has more parts than a port forward has");
    return forward;
}

std::string to_text(const PortForward& forward) {
    const auto end = [](const Ipv4Address& address, uint16_t port) {
        return (address == Ipv4Address{} ? "" : to_text(address) + ":") + std::to_string(port);
    };
    return std::string(forward.udp ? "udp:" : "tcp:") + end(forward.host, forward.host_port) + ":" +
           end(forward.guest, forward.guest_port);
}

}  // namespace torii::backend::net
