#include "net/port.h"

namespace torii::backend::net {

void FramePort::change_forward(const PortForward& forward, bool,
                               std::function<void(const std::string&)> done) {
    done("The port forward " + to_text(forward) + " needs an interface with the attachment `nat`.");
}

}  // namespace torii::backend::net
