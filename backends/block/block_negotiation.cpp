#include "block/block_negotiation.h"

#include <torii/failure.h>

#include <algorithm>
#include <bit>

namespace torii::backend {
namespace {

using Nodes = XenbusPeer::Nodes;

std::string text(uint64_t number) {
    return std::to_string(number);
}

[[noreturn]] void wrong(const std::string& name, const std::string& expected) {
    throw Failure(ErrorCode::kOperationFailed, "the frontend's node \"" + name + "\" is not " + expected);
}

// A number that must be there.
uint64_t number_of(const XenbusPeer& peer, const std::string& name, uint64_t most) {
    const auto number = peer.frontend_number(name, most);
    if (!number) wrong(name, "a number up to " + text(most));
    return *number;
}

// A number that may be missing, and then is `otherwise`.
uint64_t number_or(const XenbusPeer& peer, const std::string& name, uint64_t most, uint64_t otherwise) {
    return peer.frontend_has(name) ? number_of(peer, name, most) : otherwise;
}

unsigned ring_order(const BlockConfig& config, const XenbusPeer& peer) {
    if (peer.frontend_has("ring-page-order") || !peer.frontend_has("num-ring-pages")) {
        return static_cast<unsigned>(number_or(peer, "ring-page-order", config.ring_page_order, 0));
    }
    const uint64_t pages = number_of(peer, "num-ring-pages", uint64_t{1} << config.ring_page_order);
    if (!std::has_single_bit(pages)) wrong("num-ring-pages", "a power of two");
    return static_cast<unsigned>(std::countr_zero(pages));
}

BlockRingParameters read_ring(const XenbusPeer& peer, const std::string& prefix, unsigned order) {
    BlockRingParameters ring;
    ring.port = Port(static_cast<uint32_t>(number_of(peer, prefix + "event-channel", UINT32_MAX)));
    const bool numbered = order != 0 || !peer.frontend_has(prefix + "ring-ref");
    for (unsigned page = 0; page < 1u << order; ++page) {
        const std::string name = prefix + "ring-ref" + (numbered ? text(page) : "");
        ring.pages.push_back(GrantRef(static_cast<uint32_t>(number_of(peer, name, UINT32_MAX))));
    }
    return ring;
}

}  // namespace

uint64_t block_device_bytes(const BlockConfig& config, const BlockGeometry& geometry) {
    return geometry.bytes / config.sector_size * config.sector_size;
}

Nodes block_features(const BlockConfig& config, const BlockGeometry& geometry) {
    const bool discard = config.discard && geometry.can_discard && !config.read_only && !geometry.read_only;
    // A request that its disk must cut would be given to the kernel's workers, and looked up twice.
    const uint64_t of_piece = geometry.piece == 0 ? kMaxIndirectSegments : geometry.piece / kGuestPageSize;
    const uint64_t segments = std::clamp<uint64_t>(of_piece, abi::kBlockMaxSegments, kMaxIndirectSegments);
    Nodes nodes = {{"feature-flush-cache", "1"},
                   {"feature-barrier", "1"},
                   {"feature-discard", discard ? "1" : "0"},
                   {"feature-persistent", config.persistent_grants ? "1" : "0"},
                   {"feature-max-indirect-segments", text(segments)},
                   {"max-ring-page-order", text(config.ring_page_order)},
                   {"max-ring-pages", text(uint64_t{1} << config.ring_page_order)},
                   {"multi-queue-max-queues", text(config.queues)}};
    if (discard) {
        const uint32_t granularity = std::max(geometry.discard_granularity, config.sector_size);
        nodes.push_back({"discard-granularity", text(granularity)});
        nodes.push_back({"discard-alignment", "0"});
        nodes.push_back({"discard-secure", "0"});
    }
    return nodes;
}

Nodes block_properties(const BlockConfig& config, const BlockGeometry& geometry,
                       const BlockConnection& connection) {
    const uint64_t bytes = block_device_bytes(config, geometry);
    const bool read_only = config.read_only || geometry.read_only;
    const uint32_t info = (config.cdrom ? abi::kBlockInfoCdrom : 0) |
                          (config.removable ? abi::kBlockInfoRemovable : 0) |
                          (read_only ? abi::kBlockInfoReadonly : 0);
    // The size must be a multiple of it.
    uint32_t physical = std::max(geometry.physical_block_size, config.sector_size);
    if (bytes % physical != 0) physical = config.sector_size;
    return {{"sectors", text(bytes >> connection.unit_shift)},
            {"info", text(info)},
            {"sector-size", text(config.sector_size)},
            {"physical-sector-size", text(physical)}};
}

BlockConnection read_block_connection(const BlockConfig& config, const XenbusPeer& peer) {
    if (peer.frontend_has("protocol") && peer.frontend_text("protocol", 32) != abi::kBlockProtocol64) {
        wrong("protocol", std::string("\"") + abi::kBlockProtocol64 + "\", the only layout served here");
    }
    BlockConnection connection;
    connection.persistent =
        config.persistent_grants && number_or(peer, "feature-persistent", UINT32_MAX, 0) != 0;
    const bool large_units = number_or(peer, "feature-large-sector-size", UINT32_MAX, 0) != 0;
    connection.unit_shift = large_units ? static_cast<unsigned>(std::countr_zero(config.sector_size)) : 9;
    const unsigned order = ring_order(config, peer);
    const uint64_t queues = number_or(peer, "multi-queue-num-queues", config.queues, 1);
    if (queues == 0) wrong("multi-queue-num-queues", "a number of queues");
    if (queues == 1) {
        connection.rings.push_back(read_ring(peer, "", order));
        return connection;
    }
    for (uint64_t i = 0; i < queues; ++i)
        connection.rings.push_back(read_ring(peer, "queue-" + text(i) + "/", order));
    return connection;
}

}  // namespace torii::backend
