#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/start.h>
#include <torii/guest/xenstore.h>
#include <torii/ring/byte_ring.h>

namespace torii::guest {

namespace {

constexpr uint64_t kReplyTimeoutNs = 10'000'000'000;

abi::XenstoreRing& store_ring() {
    return *static_cast<abi::XenstoreRing*>(pointer_of_pfn(pfn_of_mfn(start_info().store_mfn)));
}

uint32_t g_next_request = 1;

struct Message {
    abi::XenstoreHeader header;
    uint8_t payload[abi::kXenstorePayloadMax];
};
Message g_reply;
Message g_event;
bool g_event_waiting;

// Moves all of `bytes`, sleeping while the ring is full or empty; false after the time limit or for a broken
// ring.
template <typename End, typename Bytes, typename Move>
bool transfer(End& end, Bytes bytes, Move move, uint64_t deadline) {
    while (!bytes.empty()) {
        const uint32_t count = move(end, bytes);
        bytes = bytes.subspan(count);
        if (count != 0) send_event(start_info().store_evtchn);
        if (bytes.empty()) break;
        if (end.broken() || system_time() > deadline) return false;
        if (count == 0) {
            // The port need not be unmasked for this.
            RawPort port = start_info().store_evtchn;
            abi::SchedPoll poll{{virtual_address(&port)}, 1, 0, system_time() + 10'000'000};
            sched_op(abi::SchedOp::kPoll, poll);
            std::atomic_ref<uint64_t>(shared_info().evtchn_pending[port / 64])
                .fetch_and(~(uint64_t{1} << (port % 64)));
        }
    }
    return true;
}

bool send_bytes(std::span<const uint8_t> bytes, uint64_t deadline) {
    abi::XenstoreRing& ring = store_ring();
    ring::ByteRingWriter writer({ring.req, abi::kXenstoreRingSize, &ring.req_cons, &ring.req_prod});
    return transfer(
        writer, bytes, [](auto& end, auto part) { return end.write(part); }, deadline);
}

bool receive_bytes(std::span<uint8_t> bytes, uint64_t deadline) {
    abi::XenstoreRing& ring = store_ring();
    ring::ByteRingReader reader({ring.rsp, abi::kXenstoreRingSize, &ring.rsp_cons, &ring.rsp_prod});
    return transfer(
        reader, bytes, [](auto& end, auto part) { return end.read(part); }, deadline);
}

bool receive(Message& message, uint64_t deadline) {
    if (!receive_bytes({reinterpret_cast<uint8_t*>(&message.header), sizeof(message.header)}, deadline))
        return false;
    if (message.header.len > sizeof(message.payload)) return false;
    return receive_bytes({message.payload, message.header.len}, deadline);
}

StoreReply as_reply(const Message& message) {
    return {static_cast<abi::XenstoreMessage>(message.header.type),
            {reinterpret_cast<const char*>(message.payload), message.header.len}};
}

}  // namespace

abi::RawDomId own_domain() {
    if (is_control_domain()) return 0;
    static abi::RawDomId known = abi::kDomIdInvalid;
    if (known == abi::kDomIdInvalid && xenstore_available()) {
        const StoreReply reply = store_read("domid");
        if (reply.ok() && !reply.payload.empty()) {
            unsigned number = 0;
            for (const char digit : reply.payload) {
                number = number * 10 + static_cast<unsigned>(digit - '0');
            }
            known = static_cast<abi::RawDomId>(number);
        }
    }
    return known;
}

bool xenstore_available() {
    return start_info().store_mfn != 0 && start_info().store_evtchn != 0;
}

StoreReply store_request(abi::XenstoreMessage type, std::span<const std::string_view> parts,
                         uint32_t transaction) {
    static Message request;
    size_t length = 0;
    for (size_t index = 0; index < parts.size(); ++index) {
        const bool terminated = type != abi::XenstoreMessage::kWrite || index + 1 < parts.size();
        if (length + parts[index].size() + 1 > sizeof(request.payload)) return {};
        __builtin_memcpy(request.payload + length, parts[index].data(), parts[index].size());
        length += parts[index].size();
        if (terminated) request.payload[length++] = 0;
    }
    request.header = {static_cast<uint32_t>(type), g_next_request++, transaction,
                      static_cast<uint32_t>(length)};
    const uint64_t deadline = system_time() + kReplyTimeoutNs;
    if (!send_bytes({reinterpret_cast<const uint8_t*>(&request), sizeof(request.header) + length}, deadline))
        return {};
    while (receive(g_reply, deadline)) {
        if (g_reply.header.type == static_cast<uint32_t>(abi::XenstoreMessage::kWatchEvent)) {
            g_event = g_reply;
            g_event_waiting = true;
        } else if (g_reply.header.req_id == request.header.req_id) {
            return as_reply(g_reply);
        }
    }
    return {};
}

StoreReply store_read(std::string_view path, uint32_t transaction) {
    return store_request(abi::XenstoreMessage::kRead, std::span(&path, 1), transaction);
}

StoreReply store_write(std::string_view path, std::string_view value, uint32_t transaction) {
    const std::string_view parts[] = {path, value};
    return store_request(abi::XenstoreMessage::kWrite, parts, transaction);
}

StoreReply store_remove(std::string_view path, uint32_t transaction) {
    return store_request(abi::XenstoreMessage::kRm, std::span(&path, 1), transaction);
}

StoreReply store_directory(std::string_view path, uint32_t transaction) {
    return store_request(abi::XenstoreMessage::kDirectory, std::span(&path, 1), transaction);
}

StoreReply store_watch(std::string_view path, std::string_view token) {
    const std::string_view parts[] = {path, token};
    return store_request(abi::XenstoreMessage::kWatch, parts, 0);
}

StoreReply store_next_event(uint64_t timeout_ns) {
    if (!g_event_waiting && !receive(g_event, system_time() + timeout_ns)) return {};
    g_event_waiting = false;
    return as_reply(g_event);
}

}  // namespace torii::guest
