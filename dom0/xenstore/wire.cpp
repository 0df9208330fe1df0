#include "xenstore/wire.h"

#include <array>
#include <cstring>

namespace torii::dom0::xenstore {
namespace {

constexpr std::size_t kHeaderSize = sizeof(abi::XenstoreHeader);

constexpr std::array<std::string_view, abi::kXenstoreMessageCount> kNames{"CONTROL",
                                                                          "DIRECTORY",
                                                                          "READ",
                                                                          "GET_PERMS",
                                                                          "WATCH",
                                                                          "UNWATCH",
                                                                          "TRANSACTION_START",
                                                                          "TRANSACTION_END",
                                                                          "INTRODUCE",
                                                                          "RELEASE",
                                                                          "GET_DOMAIN_PATH",
                                                                          "WRITE",
                                                                          "MKDIR",
                                                                          "RM",
                                                                          "SET_PERMS",
                                                                          "WATCH_EVENT",
                                                                          "ERROR",
                                                                          "IS_DOMAIN_INTRODUCED",
                                                                          "RESUME",
                                                                          "SET_TARGET",
                                                                          "(withdrawn)",
                                                                          "RESET_WATCHES",
                                                                          "DIRECTORY_PART"};

}  // namespace

std::string message_name(std::uint32_t type) {
    return type < kNames.size() ? std::string(kNames[type]) : "type " + std::to_string(type);
}

std::string encode_message(abi::XenstoreMessage type, std::uint32_t request, std::uint32_t transaction,
                           std::string_view payload) {
    const abi::XenstoreHeader header{static_cast<std::uint32_t>(type), request, transaction,
                                     static_cast<std::uint32_t>(payload.size())};
    std::string bytes(kHeaderSize, '\0');
    bytes.reserve(kHeaderSize + payload.size());
    std::memcpy(bytes.data(), &header, kHeaderSize);
    bytes += payload;
    return bytes;
}

std::string encode_watch_event(std::string_view path, std::string_view token) {
    std::string payload;
    payload.reserve(path.size() + token.size() + 2);
    payload.append(path).append(1, '\0').append(token).append(1, '\0');
    return encode_message(abi::XenstoreMessage::kWatchEvent, 0, 0, payload);
}

std::size_t MessageAssembler::wanted() const {
    if (bytes_.size() < kHeaderSize) return kHeaderSize - bytes_.size();
    if (broken()) return 0;
    return kHeaderSize + header().len - bytes_.size();
}

void MessageAssembler::add(std::string_view bytes) {
    bytes_ += bytes;
}

bool MessageAssembler::complete() const {
    return bytes_.size() >= kHeaderSize && !broken() && wanted() == 0;
}

bool MessageAssembler::broken() const {
    return bytes_.size() >= kHeaderSize && header().len > abi::kXenstorePayloadMax;
}

Message MessageAssembler::take() {
    Message message;
    message.header = header();
    message.payload = bytes_.substr(kHeaderSize);
    bytes_.clear();
    return message;
}

abi::XenstoreHeader MessageAssembler::header() const {
    abi::XenstoreHeader header;
    std::memcpy(&header, bytes_.data(), kHeaderSize);
    return header;
}

std::optional<std::string_view> take_string(std::string_view& payload) {
    const std::size_t end = payload.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view text = payload.substr(0, end);
    payload.remove_prefix(end + 1);
    return text;
}

std::optional<std::vector<std::string_view>> split_strings(std::string_view payload) {
    std::vector<std::string_view> strings;
    while (!payload.empty()) {
        const auto text = take_string(payload);
        if (!text) return std::nullopt;
        strings.push_back(*text);
    }
    return strings;
}

}  // namespace torii::dom0::xenstore
