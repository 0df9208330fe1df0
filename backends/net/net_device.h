#pragma once
// A network interface of a guest: what the daemon makes, one for each `vif`.
//
// Threads: everything here is called on the daemon's own loop (the control side), and so are all callbacks.
// The rings, the grants and the attachment belong to the thread of `Services::loop`; both sides talk by
// messages only. Devices may share that thread or have one each: nothing here relies on which.

#include <functional>
#include <memory>
#include <string>

#include "common/device_store.h"
#include "common/event_channels.h"
#include "common/guest_memory.h"
#include "common/io_loop.h"
#include "net/net_config.h"
#include "net/net_statistics.h"

namespace torii::backend::net {

// What an interface lives on. All of it outlives the interface.
struct Services {
    DeviceStore& store;       // control side
    IoLoop& loop;             // the device thread
    EventChannels& channels;  // of the device thread: handlers are called there
    // Called on the device thread; what it makes is used and destroyed there.
    std::function<std::unique_ptr<GuestMemory>(DomId)> guest_memory;
    // Runs an action on the daemon's own loop, soon. From any thread.
    std::function<void(std::function<void()>)> post_control;
};

enum class NetState {
    kWaiting,    // for the guest's driver
    kConnected,  // frames flow
    kClosed,     // by the guest's driver or by close(); may connect again in the first case
    kBroken,     // the guest broke the protocol or something of the host failed; `why` says what
};

struct NetCallbacks {
    // `why` is a sentence for the log, empty when nothing is wrong.
    std::function<void(NetState, const std::string& why)> state_changed;
    // The NAT helper does not answer at its socket, or has ended: (re)start it. Called again every few
    // seconds while that is so.
    std::function<void()> nat_helper_wanted;
    // After close(): all is unmapped, unbound, and may be destroyed.
    std::function<void()> closed;
};

class NetDevice;

class NetBackend {
public:
    // Writes the backend's nodes and goes on from the state that the store shows: a frontend that is
    // connected already (to a daemon that was killed) is taken over without its noticing. The nodes
    // "frontend", "frontend-id", "handle", "mac" and "online" of the backend's directory, and the frontend's
    // own, are the daemon's to write, before. Throws Failure (kInvalidArgument) for a config that cannot be.
    NetBackend(const Services& services, const NetConfig& config, NetCallbacks callbacks);
    // Without close() before: as close(true), only that nobody is told.
    ~NetBackend();
    NetBackend(const NetBackend&) = delete;
    NetBackend& operator=(const NetBackend&) = delete;

    // From any thread.
    NetStatistics statistics() const;

    // Takes the interface away: asks the guest's driver to close and waits for it; at once with `force`, or
    // when called again with it. Ends with callback `closed`. The NAT helper is told to end too.
    void close(bool force);

    void set_link(bool up);
    void set_limits(const TrafficLimit& from_guest, const TrafficLimit& to_guest);
    // Of a NAT attachment. `done` gets an empty sentence, or why not. Both throw Failure (kOperationInvalid)
    // for another attachment.
    void add_forward(const PortForward& forward, std::function<void(const std::string& error)> done);
    void remove_forward(const PortForward& forward, std::function<void(const std::string& error)> done);

    NetState state() const;

private:
    std::shared_ptr<NetDevice> device_;
};

}  // namespace torii::backend::net
