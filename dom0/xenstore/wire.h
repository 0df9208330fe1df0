#pragma once
// Messages as they travel (public io/xs_wire.h): a header and up to 4096 bytes.

#include <torii/abi/xenstore_wire.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "xenstore/types.h"

namespace torii::dom0::xenstore {

struct Message {
    abi::XenstoreHeader header{};
    std::string payload;
};

// "WRITE", for logs; "type 77" for what has no name.
[[nodiscard]] std::string message_name(std::uint32_t type);

// Header and payload in one string. Precondition: the payload fits.
[[nodiscard]] std::string encode_message(abi::XenstoreMessage type, std::uint32_t request,
                                         std::uint32_t transaction, std::string_view payload);
[[nodiscard]] std::string encode_watch_event(std::string_view path, std::string_view token);

// Puts messages together from a byte stream.
class MessageAssembler {
public:
    // How many more bytes the message needs before anything can be said of it: up to the end of its header,
    // then up to the end of its payload. Zero if it is complete or broken.
    [[nodiscard]] std::size_t wanted() const;
    // Precondition: at most wanted() bytes.
    void add(std::string_view bytes);
    [[nodiscard]] bool complete() const;
    // The header announces more than a message may hold. The stream cannot go on after that.
    [[nodiscard]] bool broken() const;
    // What is there of a message so far.
    [[nodiscard]] std::string_view partial() const { return bytes_; }
    // Precondition: complete(). The next message begins.
    Message take();
    void clear() { bytes_.clear(); }

private:
    [[nodiscard]] abi::XenstoreHeader header() const;
    std::string bytes_;
};

// Takes the next zero-terminated string off the front of a payload; nothing if no zero byte is left.
[[nodiscard]] std::optional<std::string_view> take_string(std::string_view& payload);
// All of a payload as strings that each end with a zero byte; nothing if the last one doesn't.
[[nodiscard]] std::optional<std::vector<std::string_view>> split_strings(std::string_view payload);

}  // namespace torii::dom0::xenstore
