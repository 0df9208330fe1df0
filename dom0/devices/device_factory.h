#pragma once
// Where the daemon's devices and their back ends meet: a device is one object, made by a factory. The real
// one is devices/backend_factory.h; tests put another in its place. All on the daemon's loop.

#include <torii/v1/control.pb.h>

#include <functional>
#include <memory>
#include <string>

#include "xen/ids.h"

namespace torii::dom0 {

struct DevicePlace {
    DomId domain;
    std::string domain_name;    // for sentences
    std::string device;         // as the guest calls it
    uint32_t number = 0;        // in xenstore's paths
    std::string backend_path;   // both exist with the nodes that the daemon writes
    std::string frontend_path;  //
};

class GuestDevice {
public:
    // Called from the loop, never from inside a call.
    struct Events {
        // It is detached, or could not be opened (a sentence): nothing follows.
        std::function<void(const std::string& problem)> closed;
    };

    // Leaves the guest and what outlives the daemon as they are, for the next daemon.
    virtual ~GuestDevice() = default;

    // Fills in state, size and counters, and what its guest did for which it is closed.
    virtual void describe(v1::Device& device) const = 0;
    // Without `force` the guest is asked, and has as long as it takes. Events::closed follows.
    virtual void close(bool force) = 0;
    // Tells the guest the size that its disk's image has now; `done` as of BlockDevice::resize. Throws
    // Failure for what has none.
    virtual void resize(std::function<void(const std::string& problem)> done) = 0;
};

class DeviceFactory {
public:
    virtual ~DeviceFactory() = default;

    // Throw Failure for what cannot be had: a file that is not there, a bridge that does not exist.
    virtual std::unique_ptr<GuestDevice> make_disk(const DevicePlace& place, const v1::Disk& disk,
                                                   GuestDevice::Events events) = 0;
    virtual std::unique_ptr<GuestDevice> make_net(const DevicePlace& place, const v1::Net& net,
                                                  GuestDevice::Events events) = 0;
    // What a device of that place may have left that outlives the daemon: after its end, or of a domain that
    // is gone.
    virtual void clean_up(const DevicePlace& place) = 0;
};

}  // namespace torii::dom0
