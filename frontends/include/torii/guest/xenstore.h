#pragma once
// A xenstore client over the domain's ring: one request at a time, replies awaited with a time limit.

#include <torii/abi/xenstore_wire.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace torii::guest {

// False for a domain without a xenstore ring (a control domain before its daemon runs).
bool xenstore_available();

struct StoreReply {
    abi::XenstoreMessage type =
        abi::XenstoreMessage::kInvalid;  // kInvalid: no answer in time, or a broken ring
    std::string_view payload;            // valid until the next request

    bool ok() const { return type != abi::XenstoreMessage::kInvalid && type != abi::XenstoreMessage::kError; }
    bool error_is(std::string_view name) const {
        return type == abi::XenstoreMessage::kError && payload.starts_with(name);
    }
};

// Sends `parts` as one message, each followed by a zero byte except the last of a kWrite.
StoreReply store_request(abi::XenstoreMessage type, std::span<const std::string_view> parts,
                         uint32_t transaction = 0);

StoreReply store_read(std::string_view path, uint32_t transaction = 0);
StoreReply store_write(std::string_view path, std::string_view value, uint32_t transaction = 0);
StoreReply store_remove(std::string_view path, uint32_t transaction = 0);
StoreReply store_directory(std::string_view path, uint32_t transaction = 0);
StoreReply store_watch(std::string_view path, std::string_view token);

// The next watch event ("path\0token\0"), waiting up to `timeout_ns`.
StoreReply store_next_event(uint64_t timeout_ns);

}  // namespace torii::guest
