#pragma once
// What a description says of a network interface, as the network backend understands it.

#include <torii/v1/control.pb.h>

#include <string>

#include "net/net_config.h"

namespace torii::dom0 {

// Fills in what is left open, from the domain's UUID. Throws Failure (kInvalidArgument).
void check_net(const std::string& uuid, v1::Net& net);

// Of an attachment "KIND=NAME" or "KIND".
struct AttachmentWords {
    std::string kind;
    std::string name;
};
AttachmentWords attachment_words(const v1::Net& net);

// Everything but the paths, the domain and the attachment. `net` was checked.
backend::net::NetConfig net_config(const v1::Net& net);
std::vector<backend::net::PortForward> port_forwards(const v1::Net& net);

}  // namespace torii::dom0
