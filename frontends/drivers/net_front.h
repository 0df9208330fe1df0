#pragma once
// The front end of a network interface (<torii/abi/io/netif.h>): one queue, scatter-gather, large segments
// and checksums left to the other side, both ways. Allocates nothing: the pages are the caller's, the
// bookkeeping is in the object. Runs wherever its host can grant pages: in a guest, and in tests in one
// process with the back end.
//
// The back end is not trusted: it may write anything into the rings at any time. What makes no sense breaks
// the device, for good; whatever it does, nothing outside the device's own pages is read or written, and no
// buffer is handed out twice.

#include <torii/abi/io/netif.h>
#include <torii/ring/front_ring.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace torii::guest {

// A frame's checksum and segments, as netif.h has them.
struct NetFrameInfo {
    bool checksum_blank = false;
    bool data_validated = false;
    abi::NetGsoType gso = abi::NetGsoType::kNone;
    uint16_t gso_size = 0;
    bool hash_present = false;  // received frames only
    uint32_t hash = 0;
};

// What the driver asks of its domain.
class NetFrontHost {
public:
    // Grants a page to the back end's domain until end_grant(), which is false while it is in use there.
    virtual abi::RawGrantRef grant(void* page, bool read_only) = 0;
    virtual bool end_grant(abi::RawGrantRef gref) = 0;
    virtual void notify_transmit() = 0;
    virtual void notify_receive() = 0;
    // The bytes are valid during the call.
    virtual void received(std::span<const uint8_t> frame, const NetFrameInfo& info) = 0;

protected:
    ~NetFrontHost() = default;
};

class NetFront {
public:
    static constexpr size_t kPageSize = 4096;
    static constexpr size_t kRingEntries = 256;  // of either ring, of one page
    static constexpr size_t kMaxFrame = 65535;

    // Pages, aligned, that the driver has for itself while it lives; at most kRingEntries buffers each way.
    struct Pages {
        void* tx_ring;
        void* rx_ring;
        std::span<uint8_t> tx_buffers;  // whole pages, at least one
        std::span<uint8_t> rx_buffers;  // whole pages; for frames of n pages at least n + 2
        std::span<uint8_t> frame;       // where a received frame is put together; kMaxFrame bytes, or less
    };

    NetFront(NetFrontHost& host, const Pages& pages);
    NetFront(const NetFront&) = delete;
    NetFront& operator=(const NetFront&) = delete;

    // Grants everything and offers the receive buffers. Once.
    void start();
    // To be published in the store.
    abi::RawGrantRef tx_ring_ref() const { return tx_ring_ref_; }
    abi::RawGrantRef rx_ring_ref() const { return rx_ring_ref_; }

    // False when there is no room now (or ever: then the frame is empty or larger than kMaxFrame).
    bool send(std::span<const uint8_t> frame, const NetFrameInfo& info);
    // Asks that multicast frames of a group be sent here, or no more.
    bool change_multicast(const uint8_t (&address)[6], bool add);
    // Takes what the back end has answered and sent. For events, and whenever else.
    void poll();

    // The back end broke the protocol; nothing more happens.
    bool broken() const { return broken_; }
    size_t free_transmit_buffers() const { return free_tx_; }
    // Packets answered with an error, and received ones that came as one.
    uint64_t transmit_errors() const { return transmit_errors_; }
    uint64_t receive_errors() const { return receive_errors_; }

    // After the back end let go: ends all grants. Returns how many it still holds.
    size_t stop();

private:
    using TxRing = ring::FrontRing<abi::TxRequest, abi::TxResponse>;
    using RxRing = ring::FrontRing<abi::RxRequest, abi::RxResponse>;
    struct Buffer {
        abi::RawGrantRef gref = 0;
        bool in_use = false;  // by the back end
    };
    // A frame whose slots are being taken.
    struct Assembly {
        size_t length = 0;
        bool begun = false;
        bool failed = false;
        bool extras = false;  // next slots are extras
        bool more_fragments = false;
        NetFrameInfo info;
    };

    bool put_extra(const abi::NetExtraInfo& extra);
    uint16_t take_tx_buffer();
    void poll_transmit();
    void poll_receive();
    void take_slot(const abi::RxResponse& response, uint32_t slot);
    void take_extra(const abi::NetExtraInfo& extra);
    void take_fragment(const abi::RxResponse& response, uint32_t slot);
    void finish_frame();
    void offer_buffers();
    uint8_t* rx_page(size_t buffer) { return pages_.rx_buffers.data() + buffer * kPageSize; }

    NetFrontHost& host_;
    Pages pages_;
    TxRing tx_;
    RxRing rx_;
    abi::RawGrantRef tx_ring_ref_ = 0;
    abi::RawGrantRef rx_ring_ref_ = 0;

    std::array<Buffer, kRingEntries> tx_buffers_{};
    size_t tx_count_ = 0;
    std::array<uint16_t, kRingEntries> free_tx_list_{};
    size_t free_tx_ = 0;

    std::array<Buffer, kRingEntries> rx_buffers_{};
    size_t rx_count_ = 0;
    // Which buffer was offered in which slot: responses are told apart by the slot alone.
    std::array<uint16_t, kRingEntries> rx_slots_{};
    uint32_t rx_offered_ = 0;
    uint32_t rx_taken_ = 0;
    std::array<uint16_t, kRingEntries> free_rx_list_{};
    size_t free_rx_ = 0;

    Assembly assembly_;
    bool broken_ = false;
    uint64_t transmit_errors_ = 0;
    uint64_t receive_errors_ = 0;
};

}  // namespace torii::guest
