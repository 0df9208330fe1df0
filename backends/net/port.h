#pragma once
// The far end of an interface: where a guest's frames go and where those for it come from. On the thread of
// the interface.

#include <functional>
#include <string>

#include "net/frame.h"
#include "net/net_config.h"
#include "net/offload.h"

namespace torii::backend::net {

// The guest's side of a port.
class PortUser {
public:
    virtual ~PortUser() = default;

    // A frame for the guest. Frames of one burst are followed by burst_ended().
    virtual void receive(FramePtr frame) = 0;
    virtual void burst_ended() = 0;
    // The port takes frames again after ready() was false.
    virtual void port_ready() = 0;
    virtual void link_changed(bool up) = 0;
    // A sentence for the log.
    virtual void trouble(const std::string& sentence) = 0;
};

class FramePort {
public:
    virtual ~FramePort() = default;

    // Frames are made so before they are sent.
    virtual Takes takes() const = 0;

    // False: frames are better left in the guest's ring until port_ready().
    virtual bool ready() const = 0;
    // A frame of the guest's, at most kMaxFrame bytes. False when it could not be taken and was dropped.
    virtual bool send(FramePtr frame) = 0;
    // Ends a burst of send().
    virtual void flush() {}

    virtual bool link() const = 0;

    // Of a NAT: `done` gets an empty sentence or why not. The base class says that there is none.
    virtual void change_forward(const PortForward& forward, bool add,
                                std::function<void(const std::string&)> done);
    // The interface goes for good: what outlives the daemon otherwise is ended.
    virtual void end() {}
};

}  // namespace torii::backend::net
