#pragma once
// What a guest's driver writes to the store to connect its interface (public io/netif.h): read and checked.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "net/net_interface.h"

namespace torii::backend::net {

// The decimal number in a node of the frontend's directory, at most `most`; nothing for anything else.
using FrontendNumber = std::function<std::optional<uint64_t>(std::string_view name, uint64_t most)>;

// What can be connected, or in `problem` a sentence why not.
std::optional<Connection> read_connection(const FrontendNumber& number, uint32_t max_queues,
                                          std::string& problem);

// Groups as one node's text, for a successor: "01:00:5e:00:00:01 ...". What is no address is passed over.
std::string to_text(const std::set<MacAddress>& groups);
std::set<MacAddress> parse_groups(std::string_view text);

}  // namespace torii::backend::net
