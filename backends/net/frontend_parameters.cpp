#include "net/frontend_parameters.h"

#include <limits>

namespace torii::backend::net {

namespace {

constexpr uint64_t kMostNumber = std::numeric_limits<uint32_t>::max();

class Reader {
public:
    Reader(const FrontendNumber& number, std::string& problem) : number_(number), problem_(problem) {}

    bool flag(std::string_view name, bool otherwise = false) const {
        return number_(name, 1).value_or(otherwise ? 1 : 0) != 0;
    }

    bool read(const std::string& name, uint32_t& value) const {
        const auto found = number_(name, kMostNumber);
        if (!found) problem_ = "its node \"" + name + "\" is missing or no number";
        value = static_cast<uint32_t>(found.value_or(0));
        return found.has_value();
    }

    std::optional<QueuePlace> queue(const std::string& folder) const {
        QueuePlace place;
        uint32_t tx_ring = 0;
        uint32_t rx_ring = 0;
        uint32_t port = 0;
        if (!read(folder + "tx-ring-ref", tx_ring) || !read(folder + "rx-ring-ref", rx_ring))
            return std::nullopt;
        place.tx_ring = GrantRef(tx_ring);
        place.rx_ring = GrantRef(rx_ring);
        if (number_(folder + "event-channel-tx", kMostNumber)) {
            uint32_t rx_port = 0;
            if (!read(folder + "event-channel-tx", port) || !read(folder + "event-channel-rx", rx_port))
                return std::nullopt;
            if (rx_port != port) place.rx_port = Port(rx_port);
        } else if (!read(folder + "event-channel", port)) {
            return std::nullopt;
        }
        place.tx_port = Port(port);
        return place;
    }

private:
    const FrontendNumber& number_;
    std::string& problem_;
};

}  // namespace

std::optional<Connection> read_connection(const FrontendNumber& number, uint32_t max_queues,
                                          std::string& problem) {
    const Reader reader(number, problem);
    if (!reader.flag("request-rx-copy")) {
        problem = "it wants received pages exchanged (no \"request-rx-copy\"), which is not offered";
        return std::nullopt;
    }
    Connection connection;
    const uint64_t count = number("multi-queue-num-queues", kMostNumber).value_or(1);
    if (count == 0 || count > max_queues) {
        problem = "it wants " + std::to_string(count) + " queues of 1 to " + std::to_string(max_queues) +
                  " offered";
        return std::nullopt;
    }
    for (uint64_t index = 0; index < count; ++index) {
        const auto place = reader.queue(count == 1 ? "" : "queue-" + std::to_string(index) + "/");
        if (!place) return std::nullopt;
        connection.queues.push_back(*place);
    }
    QueueFeatures& features = connection.features;
    features.scatter_gather = reader.flag("feature-sg");
    features.segmentation_v4 = reader.flag("feature-gso-tcpv4");
    features.segmentation_v6 = reader.flag("feature-gso-tcpv6");
    features.partial_checksum_v4 = !reader.flag("feature-no-csum-offload");
    features.partial_checksum_v6 = reader.flag("feature-ipv6-csum-offload");
    features.receive_notify = reader.flag("feature-rx-notify");
    connection.multicast_control = reader.flag("request-multicast-control");
    if (number("ctrl-ring-ref", kMostNumber)) {
        uint32_t gref = 0;
        uint32_t port = 0;
        if (!reader.read("ctrl-ring-ref", gref) || !reader.read("event-channel-ctrl", port))
            return std::nullopt;
        connection.control_ring = GrantRef(gref);
        connection.control_port = Port(port);
    }
    return connection;
}

std::string to_text(const std::set<MacAddress>& groups) {
    std::string text;
    for (const MacAddress& group : groups)
        text += (text.empty() ? "" : " ") + to_text(group);
    return text;
}

std::set<MacAddress> parse_groups(std::string_view text) {
    std::set<MacAddress> groups;
    while (!text.empty()) {
        const size_t end = text.find(' ');
        if (const auto group = parse_mac(text.substr(0, end))) groups.insert(*group);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
    return groups;
}

}  // namespace torii::backend::net
