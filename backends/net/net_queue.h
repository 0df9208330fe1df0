#pragma once
// One queue of an interface: a transmit and a receive ring of the guest. On the device thread.
//
// Transmit: packets are taken off the ring up to a budget, all their fragments copied by one call, and handed
// to the owner; then all are answered and published at once. Receive: as many waiting frames as the guest's
// buffers hold are copied by one call, answered and published. Nothing of a packet is looked at before it was
// copied, and nothing of the ring is read twice.
//
// A successor of a killed process goes on at the last published response: BackRing says which slots may be
// overwritten beyond it. Their packets count as lost; every other packet that was not answered is served
// again. A packet's responses are published together, so that the front end never sees half of one.

#include <torii/abi/io/netif.h>
#include <torii/ring/back_ring.h>

#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "common/event_channels.h"
#include "common/guest_memory.h"
#include "net/net_request.h"
#include "net/net_statistics.h"

namespace torii::backend::net {

// What the guest's driver said it takes.
struct QueueFeatures {
    bool scatter_gather = false;   // frames of several slots
    bool segmentation_v4 = false;  // needs scatter_gather
    bool segmentation_v6 = false;
    bool partial_checksum_v4 = true;
    bool partial_checksum_v6 = false;
    bool receive_notify = false;  // signals when it offers buffers
};

// What the queues of an interface share.
class QueueOwner {
public:
    // Whether another packet of the guest may be taken now. If not, resume() of all queues follows later.
    virtual bool may_transmit() = 0;
    // One of that size was taken: counts for the limits, whatever becomes of it.
    virtual void charge_transmit(size_t bytes) = 0;
    // A frame as the guest described it, not looked into yet. False when it was dropped.
    virtual bool transmit(FramePtr frame) = 0;
    virtual bool change_multicast(const MacAddress& group, bool add) = 0;
    // The guest broke the ring; nothing more comes from the queue. The queue must not be destroyed in here.
    virtual void queue_broken(const char* problem) = 0;
    virtual NetCounters& counters() = 0;
    // For tests: steps at which the process may be killed; step() is called only of an owner that is
    // stepping, which it is always or never.
    virtual bool stepping() const { return false; }
    virtual void step(std::string_view) {}

protected:
    ~QueueOwner() = default;
};

class NetQueue {
public:
    using TxRing = ring::BackRing<abi::TxRequest, abi::TxResponse>;
    using RxRing = ring::BackRing<abi::RxRequest, abi::RxResponse>;

    // Joins the rings, served before or not.
    NetQueue(QueueOwner& owner, GuestMemory& memory, std::unique_ptr<GrantMapping> tx,
             std::unique_ptr<GrantMapping> rx, const QueueFeatures& features);

    // The ports to signal; the same one twice where the guest has one for both.
    void set_ports(BoundPort transmit, BoundPort receive);
    // Once after set_ports(): answers what a killed predecessor left in doubt, and signals, whatever the
    // rings say, since signals may have been lost.
    void take_over();

    // Takes packets up to the budget of one turn. True when there are more: call again, after others had
    // their turn.
    bool serve_transmit();
    // Frames for the guest: of a shape that it takes (shape() of offload.h). False: dropped.
    bool enqueue(FramePtr frame);
    // Moves what waits as far as the guest has buffers.
    void serve_receive();

    bool receive_waiting() const { return !backlog_.empty(); }

private:
    struct Job {
        TxPacket packet;
        TxOutcome outcome = TxOutcome::kPacket;
        FramePtr frame;
        size_t first_segment = 0;
    };
    struct Answer {
        abi::RxResponse response;
        bool extra;  // all others tell of the next of the copies
    };
    class RingEntries;

    Job& next_job();
    bool take_packet(Job& job, size_t& bytes);
    void add_segments(Job& job);
    abi::NetResponse finish_job(Job& job);
    void answer_transmit();
    void lose_uncertain_transmit();
    void lose_uncertain_receive();

    uint32_t slots_for(const Frame& frame) const;
    void plan_receive(const Frame& frame);
    void plan_pages(std::span<const uint8_t> bytes, uint16_t flags, bool more);
    void plan_extra(const abi::NetExtraInfo& extra, bool more);
    void answer_receive();
    void drop_backlog();
    void step(std::string_view name) {
        if (stepping_) owner_.step(name);
    }

    QueueOwner& owner_;
    GuestMemory& memory_;
    std::unique_ptr<GrantMapping> tx_memory_;
    std::unique_ptr<GrantMapping> rx_memory_;
    TxRing tx_;
    RxRing rx_;
    QueueFeatures features_;
    const bool stepping_;
    BoundPort tx_port_;
    BoundPort rx_port_;  // unbound where the guest has one port for both

    // Kept between turns so that nothing is allocated in one.
    std::vector<std::unique_ptr<Job>> jobs_;
    size_t job_count_ = 0;
    std::vector<abi::NetResponse> outcomes_;
    std::vector<GrantCopySegment> segments_;
    std::vector<GrantCopySegment> receive_copies_;
    std::vector<Answer> answers_;
    // How many of the last two are of the frames to be copied next.
    struct {
        size_t copies = 0;
        size_t answers = 0;
    } planned_;

    std::deque<FramePtr> backlog_;
    size_t backlog_memory_ = 0;
};

}  // namespace torii::backend::net
