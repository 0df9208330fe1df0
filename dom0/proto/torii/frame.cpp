#include "torii/frame.h"

#include "torii/failure.h"

namespace torii {

std::string encode_frame(std::string_view body) {
    if (body.size() > kMaxFrameBytes) {
        throw Failure(ErrorCode::kOverflow, "a message of " + std::to_string(body.size()) +
                                                " bytes is too long for the control protocol (limit " +
                                                std::to_string(kMaxFrameBytes) + ")");
    }
    std::string frame;
    frame.reserve(kFrameHeaderBytes + body.size());
    for (size_t i = 0; i < kFrameHeaderBytes; i++)
        frame.push_back(static_cast<char>(body.size() >> (8 * i)));
    frame.append(body);
    return frame;
}

std::optional<std::string> FrameReader::next() {
    if (buffered() < kFrameHeaderBytes) return std::nullopt;
    size_t length = 0;
    for (size_t i = 0; i < kFrameHeaderBytes; i++) {
        length |= static_cast<size_t>(static_cast<unsigned char>(pending_[consumed_ + i])) << (8 * i);
    }
    if (length > kMaxFrameBytes) {
        throw Failure(ErrorCode::kRpc, "the peer announced a message of " + std::to_string(length) +
                                           " bytes (limit " + std::to_string(kMaxFrameBytes) +
                                           "): it does not speak the control protocol");
    }
    if (buffered() < kFrameHeaderBytes + length) return std::nullopt;
    std::string body = pending_.substr(consumed_ + kFrameHeaderBytes, length);
    consumed_ += kFrameHeaderBytes + length;
    if (consumed_ == pending_.size()) {
        pending_.clear();
        consumed_ = 0;
    } else if (consumed_ > kMaxFrameBytes) {
        pending_.erase(0, consumed_);
        consumed_ = 0;
    }
    return body;
}

}  // namespace torii
