#pragma once
// A block device's part on its thread: the image, the guest's memory, the rings. Made anywhere; everything
// else is called on the thread's loop, and calls back there.

#include <bitset>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "block/block_device.h"
#include "block/block_engine.h"
#include "block/block_queue.h"
#include "block/block_record.h"
#include "common/device_thread.h"

namespace torii::backend {

class BlockService : public std::enable_shared_from_this<BlockService> {
public:
    struct Reports {
        std::function<void(const std::string&)> broken;   // the guest broke the protocol; disconnect
        std::function<void(const std::string&)> trouble;  // for the log
    };

    BlockService(const BlockConfig& config, std::shared_ptr<DeviceThread> thread,
                 std::unique_ptr<BlockEngine> engine, std::unique_ptr<BlockRecord> record, Reports reports);
    ~BlockService();

    // See BlockEngine::open().
    void open(std::optional<std::chrono::nanoseconds> patience,
              std::function<void(BlockEngine::Opened)> opened);

    // Serves the rings; with `resume` they are what the record says is connected. `done` gets an empty
    // sentence, or why it could not be: nothing is held then.
    void connect(const BlockConnection& connection, bool resume,
                 std::function<void(const std::string& problem)> done);

    // Ends what is under way, lets go of everything of the guest's, then calls `done`. Also when not
    // connected.
    void disconnect(std::function<void()> done) { stop(true, std::move(done)); }

    // The same, and lets go of the image. `keep_record`: for the next process, which then finds the rings
    // connected. `done` holds the last reference.
    void end(bool keep_record, std::function<void()> done);

    void set_limits(const BlockLimits& limits);
    // What the image's size is now; requests are held against it from here on.
    void measure(std::function<void(std::optional<uint64_t>)> measured);

    // From any thread.
    BlockStatistics statistics() const { return BlockStatistics::of(counters_); }

private:
    void make_rings(const BlockConnection& connection, bool resume);
    void stop(bool forget, std::function<void()> done);
    void set_size(uint64_t bytes);
    void io_failed(int error);
    void let_go();

    const BlockConfig config_;
    const std::shared_ptr<DeviceThread> thread_;
    std::unique_ptr<BlockEngine> engine_;
    std::unique_ptr<BlockRecord> record_;
    Reports reports_;
    BlockCounters counters_;
    TokenBucket requests_;
    TokenBucket bytes_;
    BlockGeometry geometry_;
    std::unique_ptr<GuestMemory> memory_;
    std::optional<BlockShared> shared_;
    std::vector<std::unique_ptr<BlockQueue>> queues_;
    size_t stopping_ = 0;
    std::bitset<256> reported_;
};

}  // namespace torii::backend
