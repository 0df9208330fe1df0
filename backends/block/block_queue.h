#pragma once
// One ring of a block device: takes requests, has the engine carry them out, answers. On the device's thread.
//
// A turn takes as many requests as its budget allows, copies what they need from the guest in one call, and
// hands them to the engine; what has ended since the last turn is copied to the guest in one call and shown
// to it with one index and at most one event. A guest with much to do takes its turns between others.

#include <memory>
#include <string>
#include <vector>

#include "block/block_engine.h"
#include "block/block_request.h"
#include "block/block_statistics.h"
#include "block/bounce_memory.h"
#include "block/persistent_grants.h"
#include "common/durable_ring.h"
#include "common/event_channels.h"
#include "common/guest_memory.h"
#include "common/rate_limit.h"

namespace torii::backend {

using BlockRing = DurableRing<abi::BlockRequest, abi::BlockResponse>;

// What the rings of one device have in common. Outlives them.
struct BlockShared {
    DomId guest;
    IoLoop& loop;
    EventChannels& channels;
    GuestMemory& memory;
    BlockEngine& engine;
    BlockGeometry geometry;
    BlockRules rules;
    bool persistent = false;  // the frontend reuses its grants
    BlockCounters& counters;
    TokenBucket& requests;
    TokenBucket& bytes;
    FailPointHook hook;
    std::function<void(int error)> io_failed;  // the engine ended an operation with this errno
};

struct BlockRingParameters {
    std::vector<GrantRef> pages;
    Port port;  // the guest's
};

class BlockQueue {
public:
    // Maps the ring and binds the port. `record`: BlockRing::record_bytes() of memory that outlives the
    // process, with what an earlier one left when `resume`. Throws Failure: nothing was changed then.
    // `broken`: the guest broke the protocol, a sentence; nothing more is taken. Called from the loop.
    BlockQueue(BlockShared& shared, const BlockRingParameters& parameters, std::span<std::byte> record,
               bool resume, std::function<void(const std::string&)> broken);
    ~BlockQueue();
    BlockQueue(const BlockQueue&) = delete;
    BlockQueue& operator=(const BlockQueue&) = delete;

    // Carries on what an earlier process took, looks into the ring, and signals the guest, for signals of the
    // time before are lost.
    void begin();

    // Takes nothing more, ends what is under way, and answers it. Then calls `stopped`, from the loop.
    void stop(std::function<void()> stopped);

    // What held requests back may be over.
    void wake() { schedule(); }

    size_t mapped_pages() const { return persistent_.mapped(); }

    // The most pages of requests in one turn, a request itself counting as one.
    static constexpr unsigned kBudget = 512;
    // Data on its way, of one ring.
    static constexpr size_t kBounceLimit = size_t{4} << 20;
    static constexpr size_t kPersistentPages = 2048;

private:
    struct Work;
    struct Timer final : Completion {
        explicit Timer(BlockQueue& queue) : queue_(queue) {}
        void done(int32_t) override;
        bool armed = false;

    private:
        BlockQueue& queue_;
    };
    using Works = std::vector<Work*>;

    // A turn, and its parts.
    void schedule();
    void turn();
    void finish();
    void take();
    bool held_back();
    unsigned begin_work(uint32_t slot);
    void run_batch();
    void publish();

    // block_transfer.cpp: descriptors and data between the guest's pages and memory that the engine is given.
    void read_descriptors(Works& works);
    bool read_mapped(Work& work, std::span<abi::BlockSegment> segments);
    void ask_descriptors(Work& work, std::span<abi::BlockSegment> segments);
    bool give_memory(Work& work);
    void map_pages(Work& work);
    void copy_mapped(Work& work, bool to_guest);
    // Between the guest and bounce memory; answers the works whose grants refuse, and leaves the others.
    void copy_granted(Works& works, bool to_guest);

    void start(Works& works);
    void submit(Work& work);
    void io_ended(Work& work, int error);
    void barrier_step_ended(Work& work);
    void answer(Work& work, abi::BlockStatus status);
    void refuse(Work& work, abi::BlockStatus status);
    void count(const Work& work);
    void release(Work& work);
    void broke(const std::string& sentence);
    void check_stopped();
    Work& new_work();

    BlockShared& shared_;
    std::unique_ptr<GrantMapping> ring_memory_;
    std::optional<BlockRing> ring_;
    BoundPort port_;
    BounceMemory bounce_;
    PersistentGrants persistent_;
    std::function<void(const std::string&)> broken_;
    std::function<void()> stopped_;
    Timer timer_{*this};

    std::vector<std::unique_ptr<Work>> works_;
    Works idle_;
    Works batch_;              // taken, not begun
    Works waiting_;            // for bounce memory, in order
    Works ended_;              // reads whose data is still to be copied to the guest
    Work* barrier_ = nullptr;  // taken; nothing is taken behind it
    bool barrier_runs_ = false;
    size_t active_ = 0;  // taken, not answered
    bool scheduled_ = false;
    bool in_turn_ = false;
    bool again_ = false;  // something came up in a turn that the next one must look at
    bool stopping_ = false;
    bool is_broken_ = false;
    std::vector<GrantCopySegment> copies_;
    std::vector<abi::BlockSegment> descriptors_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace torii::backend
