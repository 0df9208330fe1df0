#include "net/net_request.h"

#include <cstring>

#include "common/guest_memory.h"

namespace torii::backend::net {

namespace {

class Parser {
public:
    Parser(TxEntries& from, TxPacket& packet, const char*& problem)
        : from_(from), packet_(packet), problem_(problem) {}

    TxOutcome run() {
        const auto first = from_.next();
        if (!first) return TxOutcome::kNothing;
        add_entry(first->id, false);
        packet_.checksum_blank = (first->flags & abi::kTxChecksumBlank) != 0;
        packet_.data_validated = (first->flags & abi::kTxDataValidated) != 0;
        packet_.size = first->size;
        if ((first->flags & abi::kTxExtraInfo) != 0 && !take_extras()) return TxOutcome::kBroken;
        if (packet_.multicast_request() && (first->flags & abi::kTxMoreData) != 0)
            bad_ = "a multicast request with fragments";
        if (!take_fragments(*first)) return TxOutcome::kBroken;
        if (bad_ == nullptr && packet_.size < kEthernetHeader && !packet_.multicast_request())
            bad_ = "a packet shorter than an Ethernet header";
        problem_ = bad_;
        return bad_ != nullptr ? TxOutcome::kBad : TxOutcome::kPacket;
    }

private:
    bool fail(const char* problem) {
        problem_ = problem;
        return false;
    }

    void add_entry(uint16_t id, bool extra) { packet_.entries[packet_.entry_count++] = {id, extra}; }

    bool take_extras() {
        for (size_t count = 0;; ++count) {
            if (count == kMostTxExtras) return fail("too many extras");
            const auto entry = from_.next();
            if (!entry) return fail("an extra that is not there");
            abi::NetExtraInfo extra;
            std::memcpy(&extra, &*entry, sizeof(extra));
            add_entry(id_of_extra(extra), true);
            if (!take_extra(extra)) return false;
            if ((extra.flags & abi::kNetExtraMore) == 0) return true;
        }
    }

    bool take_extra(const abi::NetExtraInfo& extra) {
        switch (extra.type) {
            case abi::NetExtraType::kGso:
                take_gso(extra.u.gso);
                return true;
            case abi::NetExtraType::kMulticastAdd:
                packet_.multicast_add = read_address<MacAddress>(extra.u.mcast.addr);
                return true;
            case abi::NetExtraType::kMulticastDelete:
                packet_.multicast_delete = read_address<MacAddress>(extra.u.mcast.addr);
                return true;
            case abi::NetExtraType::kHash:
                // A hint of the frontend's; steering is by our own look at the frame.
                return true;
            default:
                return fail("an extra of an unknown type");
        }
    }

    void take_gso(const abi::NetExtraGso& gso) {
        if (gso.type == abi::NetGsoType::kTcpV4) packet_.gso = Gso::kTcpV4;
        if (gso.type == abi::NetGsoType::kTcpV6) packet_.gso = Gso::kTcpV6;
        packet_.gso_size = gso.size;
        if (packet_.gso == Gso::kNone && gso.type != abi::NetGsoType::kNone)
            bad_ = "segments of an unknown protocol";
        if (packet_.gso != Gso::kNone && gso.size == 0) bad_ = "segments of no length";
    }

    bool take_fragments(const abi::TxRequest& first) {
        packet_.fragment_count = 1;  // the first one's size is what the others leave
        uint32_t left = first.size;
        uint16_t flags = first.flags;
        while ((flags & abi::kTxMoreData) != 0) {
            if (packet_.fragment_count == kMostTxSlots) return fail("a packet of far too many fragments");
            const auto entry = from_.next();
            if (!entry) return fail("a fragment that is not there");
            add_entry(entry->id, false);
            flags = entry->flags;
            if (entry->size > left) bad_ = "fragments larger than their packet";
            left -= entry->size > left ? left : entry->size;
            add_fragment(packet_.fragment_count++, *entry, entry->size);
        }
        if (packet_.fragment_count > abi::kNetMinimumSlots) bad_ = "a packet of too many fragments";
        // A first fragment without bytes would be no header; others may be empty.
        if (left == 0 && first.size != 0) bad_ = "fragments larger than their packet";
        add_fragment(0, first, static_cast<uint16_t>(left));
        return true;
    }

    void add_fragment(uint32_t index, const abi::TxRequest& entry, uint16_t size) {
        if (uint32_t{entry.offset} + size > kGuestPageSize && !packet_.multicast_request())
            bad_ = "a fragment that goes beyond its page";
        packet_.fragments[index] = {GrantRef(entry.gref), entry.offset, size};
    }

    TxEntries& from_;
    TxPacket& packet_;
    const char*& problem_;
    const char* bad_ = nullptr;
};

}  // namespace

TxOutcome parse_tx_packet(TxEntries& from, TxPacket& packet, const char*& problem) {
    packet.entry_count = 0;
    packet.fragment_count = 0;
    packet.gso = Gso::kNone;
    packet.gso_size = 0;
    packet.multicast_add.reset();
    packet.multicast_delete.reset();
    problem = nullptr;
    return Parser(from, packet, problem).run();
}

}  // namespace torii::backend::net
