#pragma once
// One block device of one guest, seen from the daemon: xenstore, features, attaching and detaching. Its rings
// are served on the device's thread (block_service.h); this object lives on the daemon's loop, and the two
// exchange messages only.
//
// A device that an earlier daemon served is taken over by itself: the state file says that its rings are
// connected. Destroying this object leaves the guest, the store and the state file as they are, for the next
// daemon; close() detaches.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "block/block_engine.h"
#include "block/block_statistics.h"
#include "common/device_store.h"
#include "common/device_thread.h"
#include "common/fail_point.h"
#include "common/rate_limit.h"

namespace torii::backend {

struct BlockLimits {
    RateLimit requests;  // reads, writes, flushes and discards, together
    RateLimit bytes;     // read and written, together

    bool operator==(const BlockLimits&) const = default;
};

struct BlockConfig {
    DomId guest;
    std::string backend_path;   // /local/domain/0/backend/torii-vbd/DOMID/DEVID
    std::string frontend_path;  // /local/domain/DOMID/device/vbd/DEVID
    std::string state_file;     // on a tmpfs; one for each device
    bool read_only = false;
    bool cdrom = false;
    bool removable = false;
    uint32_t sector_size = 512;  // or 4096
    bool discard = true;         // offered where the image can
    bool persistent_grants = true;
    unsigned queues = 4;           // at most, 1 to kMaxBlockQueues
    unsigned ring_page_order = 4;  // at most, 0 to kMaxBlockRingOrder
    BlockLimits limits;
    FailPointHook fail_point;  // for tests; called on either loop
};

enum class BlockState {
    kOpening,    // the image; after a takeover also: an earlier process's requests are still under way
    kWaiting,    // for the frontend
    kConnected,  //
    kClosing,    //
    kClosed,     // by the frontend, which may come back; or for good, after close() or failed()
};

class BlockDevice {
public:
    // Called on the daemon's loop, never from inside a call to the device, nor after it was destroyed. The
    // device may be destroyed from inside.
    struct Events {
        std::function<void(BlockState)> state_changed;
        // The device is gone: after close(), or because its image could not be opened (a sentence).
        std::function<void(const std::string& problem)> closed;
        // The guest broke the protocol, or a request could not be served in a way that an administrator
        // should know of: a sentence for the log.
        std::function<void(const std::string& sentence)> trouble;
    };

    // `post` runs an action on the daemon's loop, from any thread. Starts at once. The store and the thread
    // must outlive the device. Throws Failure for a bad configuration or state file.
    BlockDevice(BlockConfig config, std::shared_ptr<DeviceThread> thread, std::unique_ptr<BlockEngine> engine,
                DeviceStore& store, std::function<void(std::function<void()>)> post, Events events);
    ~BlockDevice();
    BlockDevice(const BlockDevice&) = delete;
    BlockDevice& operator=(const BlockDevice&) = delete;

    BlockState state() const;
    // What the guest's driver did for which the device was closed, as a sentence; empty when it did not, or
    // came back.
    std::string problem() const;
    // Empty until the image is open. `bytes` follows resize().
    std::optional<BlockGeometry> geometry() const;

    // The image has another size: looks, and tells the guest. `done` later, without an argument, or with a
    // sentence that says why the guest's disk is as it was: a smaller one would lose what lies behind.
    void resize(std::function<void(const std::string& problem)> done);
    void set_limits(const BlockLimits& limits);
    BlockStatistics statistics() const;

    // Detaches. Asks the guest to let go and waits for it, for as long as it takes; with `force` it is not
    // asked. Requests under way end first in both cases. A second call with `force` hastens the first.
    // Events::closed follows; the nodes in the store stay for the caller to remove, the state file is gone.
    void close(bool force);

private:
    class Implementation;
    std::shared_ptr<Implementation> implementation_;
};

}  // namespace torii::backend
