#pragma once
// One network interface of one guest, seen from the daemon: xenstore, features, attaching and detaching. Its
// rings and its attachment are served on the device's thread (net_interface.h); this object lives on the
// daemon's loop, and the two exchange messages only. Devices may share that thread or have one each.
//
// An interface that an earlier daemon served is taken over by itself: both ends are connected in the store.
// Destroying this object leaves the guest, the store and the NAT helper as they are, for the next daemon;
// close() detaches.

#include <functional>
#include <memory>
#include <string>

#include "common/device_store.h"
#include "common/device_thread.h"
#include "net/net_config.h"
#include "net/net_statistics.h"

namespace torii::backend::net {

enum class NetState {
    kOpening,    // the attachment; after a takeover also the rings
    kWaiting,    // for the frontend
    kConnected,  //
    kClosing,    //
    kClosed,     // by the frontend, which may come back; or for good, after Events::closed
};

class NetDevice {
public:
    // Called on the daemon's loop, never from inside a call to the device.
    struct Events {
        std::function<void(NetState)> state_changed;
        // The device is gone: after close(), or because its attachment could not be made (a sentence).
        std::function<void(const std::string& problem)> closed;
        // The guest broke the protocol, or a port forward could not be made: a sentence for the log.
        std::function<void(const std::string& sentence)> trouble;
        // No NAT helper answers at the attachment's socket: start it. Again every five seconds while that is
        // so; not needed where the socket starts the helper by itself.
        std::function<void()> nat_helper_wanted;
    };

    // `post` runs an action on the daemon's loop, from any thread. Starts at once. The store and the thread
    // must outlive the device. The nodes of the toolstack in both directories (frontend, backend,
    // frontend-id, handle, mac, mtu, online, ...) are the caller's, before. Throws Failure (kInvalidArgument)
    // for a bad configuration.
    NetDevice(NetConfig config, std::shared_ptr<DeviceThread> thread, DeviceStore& store,
              std::function<void(std::function<void()>)> post, Events events);
    ~NetDevice();
    NetDevice(const NetDevice&) = delete;
    NetDevice& operator=(const NetDevice&) = delete;

    NetState state() const;
    // What is wrong, in sentences: what the guest's driver did for which the interface was closed, until it
    // comes back; or what failed at the other side (a port forward, a tap that was removed), until the link
    // comes up again. Empty: nothing.
    std::string problem() const;
    // From any thread.
    NetStatistics statistics() const;

    // The cable: the guest sees it where its driver looks (node "carrier"); frames do not pass while it is
    // out.
    void set_link(bool up);
    void set_limits(const TrafficLimit& from_guest, const TrafficLimit& to_guest);
    // `done` gets an empty sentence, or why not: also for another attachment than NAT.
    using Done = std::function<void(const std::string& problem)>;
    void add_forward(const PortForward& forward, Done done);
    void remove_forward(const PortForward& forward, Done done);

    // Detaches. Asks the guest to let go and waits for it, for as long as it takes; with `force` it is not
    // asked. A second call with `force` hastens the first. The NAT helper is told to end. Events::closed
    // follows; the nodes in the store stay for the caller to remove.
    void close(bool force);

private:
    class Implementation;
    std::shared_ptr<Implementation> implementation_;
};

}  // namespace torii::backend::net
