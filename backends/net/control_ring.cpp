#include "net/control_ring.h"

#include <algorithm>

namespace torii::backend::net {

using Status = abi::NetControlStatus;

ControlRing::ControlRing(GuestMemory& memory, std::unique_ptr<GrantMapping> page, uint32_t queues,
                         HashSettings& settings, std::function<void()> changed)
    : memory_(memory),
      page_(std::move(page)),
      ring_(Ring::attach(page_->bytes().data(), page_->bytes().size())),
      queues_(queues),
      settings_(settings),
      changed_(std::move(changed)) {}

bool ControlRing::serve() {
    const HashSettings before = settings_;
    uint32_t left = ring_.capacity();
    do {
        while (left != 0) {
            // In the slot of a request that was answered and not published lies the answer.
            const bool lost = ring_.uncertain() != 0;
            const auto request = ring_.take();
            if (!request) break;
            --left;
            abi::NetControlResponse response{
                .id = request->id, .type = request->type, .status = 0, .data = 0};
            const Status status = lost ? Status::kNotSupported : carry_out(*request, response.data);
            response.status = static_cast<uint32_t>(status);
            // One at a time, so that at most one slot is in doubt when the process is killed.
            ring_.announce(1);
            ring_.put(response);
            if (ring_.publish()) port_.notify();
        }
        // A guest that goes on without end waits for its next signal.
    } while (ring_.enable_events() && left != 0);
    if (settings_ != before) changed_();
    return !ring_.broken();
}

Status ControlRing::carry_out(const abi::NetControlRequest& request, uint32_t& data) {
    switch (static_cast<abi::NetControlType>(request.type)) {
        case abi::NetControlType::kSetHashAlgorithm:
            return set_algorithm(request.data[0]);
        case abi::NetControlType::kGetHashFlags:
            if (settings_.algorithm == abi::NetHashAlgorithm::kNone) return Status::kNotSupported;
            data = kAllHashTypes;
            return Status::kSuccess;
        case abi::NetControlType::kSetHashFlags:
            return set_types(request.data[0]);
        case abi::NetControlType::kSetHashKey:
            return set_key(GrantRef(request.data[0]), request.data[1]);
        case abi::NetControlType::kGetHashMappingSize:
            data = kMaxHashMapping;
            return Status::kSuccess;
        case abi::NetControlType::kSetHashMappingSize:
            return set_mapping_size(request.data[0]);
        case abi::NetControlType::kSetHashMapping:
            return set_mapping(GrantRef(request.data[0]), request.data[1], request.data[2]);
        default:
            // Keeping grants mapped is not offered: frames are copied.
            return Status::kNotSupported;
    }
}

Status ControlRing::set_algorithm(uint32_t algorithm) {
    if (algorithm > static_cast<uint32_t>(abi::NetHashAlgorithm::kToeplitz)) return Status::kInvalidParameter;
    settings_.algorithm = static_cast<abi::NetHashAlgorithm>(algorithm);
    return Status::kSuccess;
}

Status ControlRing::set_types(uint32_t types) {
    if (settings_.algorithm == abi::NetHashAlgorithm::kNone) return Status::kNotSupported;
    if ((types & ~kAllHashTypes) != 0) return Status::kInvalidParameter;
    settings_.types = types;
    return Status::kSuccess;
}

Status ControlRing::set_key(GrantRef page, uint32_t size) {
    if (size > kMaxHashKey) return Status::kBufferOverflow;
    std::array<uint8_t, kMaxHashKey> key{};
    if (!copy_from(page, key.data(), size)) return Status::kInvalidParameter;
    settings_.key = key;
    return Status::kSuccess;
}

Status ControlRing::set_mapping_size(uint32_t entries) {
    if (entries > kMaxHashMapping) return Status::kInvalidParameter;
    settings_.mapping.assign(entries, 0);
    return Status::kSuccess;
}

Status ControlRing::set_mapping(GrantRef page, uint32_t entries, uint32_t first) {
    const size_t size = settings_.mapping.size();
    if (entries > kGuestPageSize / sizeof(uint32_t)) return Status::kBufferOverflow;
    if (first > size || entries > size - first) return Status::kInvalidParameter;
    std::vector<uint32_t> part(entries);
    if (!copy_from(page, part.data(), entries * sizeof(uint32_t))) return Status::kInvalidParameter;
    if (std::any_of(part.begin(), part.end(), [this](uint32_t queue) { return queue >= queues_; }))
        return Status::kInvalidParameter;
    std::copy(part.begin(), part.end(), settings_.mapping.begin() + first);
    return Status::kSuccess;
}

bool ControlRing::copy_from(GrantRef page, void* to, size_t size) {
    if (size == 0) return true;
    GrantCopySegment segment{.gref = page,
                             .offset = 0,
                             .length = static_cast<uint16_t>(size),
                             .local = static_cast<std::byte*>(to)};
    memory_.copy({&segment, 1});
    return segment.status == abi::GrantStatus::kOkay;
}

}  // namespace torii::backend::net
