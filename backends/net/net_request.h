#pragma once
// A packet of a guest as its transmit ring describes it: taken apart and checked. Nothing here touches the
// ring or the guest's memory; the entries are copies.

#include <torii/abi/io/netif.h>

#include <array>
#include <cstdint>
#include <optional>

#include "common/ids.h"
#include "net/addresses.h"
#include "net/frame.h"

namespace torii::backend::net {

// One more than every frontend may use, so that a packet a little too large costs the packet only.
inline constexpr size_t kMostTxSlots = abi::kNetMinimumSlots + 2;
inline constexpr size_t kMostTxExtras = abi::kNetExtraTypeCount - 1;  // one of each type
inline constexpr size_t kMostTxEntries = kMostTxSlots + kMostTxExtras;

struct TxFragment {
    GrantRef gref;
    uint16_t offset = 0;
    uint16_t size = 0;  // offset + size: inside the page
};

struct TxPacket {
    // What answers each ring entry of the packet, in order.
    struct Entry {
        uint16_t id = 0;
        bool extra = false;
    };
    std::array<Entry, kMostTxEntries> entries;
    uint32_t entry_count = 0;

    std::array<TxFragment, kMostTxSlots> fragments;
    uint32_t fragment_count = 0;
    uint32_t size = 0;  // of all fragments

    bool checksum_blank = false;
    bool data_validated = false;
    Gso gso = Gso::kNone;
    uint16_t gso_size = 0;
    std::optional<MacAddress> multicast_add;  // with one of these there is no frame
    std::optional<MacAddress> multicast_delete;

    bool multicast_request() const { return multicast_add || multicast_delete; }
};

enum class TxOutcome : uint8_t {
    kNothing,  // no entry was there
    kPacket,   // to be sent
    kBad,      // to be answered with an error: the ring goes on
    kBroken,   // nobody knows what the entries behind it are: the ring is of no use any more
};

// Gives ring entries, in order, and nothing when there is none.
class TxEntries {
public:
    virtual std::optional<abi::TxRequest> next() = 0;

protected:
    ~TxEntries() = default;
};

// Takes one packet. With kBad, `packet` has the entries to be answered; with kBroken and kBad `problem` is a
// phrase for the log.
TxOutcome parse_tx_packet(TxEntries& from, TxPacket& packet, const char*& problem);

// The answer to an extra keeps the extra's first two bytes, its type and whether more follow: a successor of
// a killed back end must be able to tell the entries of a packet apart whose answers were not published yet.
inline uint16_t id_of_extra(const abi::NetExtraInfo& extra) {
    return static_cast<uint16_t>(static_cast<uint8_t>(extra.type) | extra.flags << 8);
}

}  // namespace torii::backend::net
