#include "xenstore/ring.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace torii::dom0::xenstore {
namespace {

constexpr std::uint32_t kSize = abi::kXenstoreRingSize;

// Acquire: bytes that the other side announced by this index are seen; release: the other side sees the bytes
// before the index that announces them.
std::uint32_t read_index(std::uint32_t& index) {
    return std::atomic_ref(index).load(std::memory_order_acquire);
}

void write_index(std::uint32_t& index, std::uint32_t value) {
    std::atomic_ref(index).store(value, std::memory_order_release);
}

// The longest run from `index` that doesn't wrap, at most `count`.
std::uint32_t run_length(std::uint32_t index, std::uint32_t count) {
    return std::min(count, kSize - index % kSize);
}

}  // namespace

void DomainRing::attach(std::unique_ptr<RingChannel> channel) {
    channel_ = std::move(channel);
    consumed_ = read_index(ring().req_cons);
    produced_ = read_index(ring().rsp_prod);
    write_index(ring().server_features, abi::kXenstoreFeatureReconnection | abi::kXenstoreFeatureError);
    write_index(ring().error, abi::kXenstoreErrorNone);
}

void DomainRing::reattach(std::unique_ptr<RingChannel> channel) {
    channel_ = std::move(channel);
    write_index(ring().server_features, abi::kXenstoreFeatureReconnection | abi::kXenstoreFeatureError);
    if (broken_) {
        // Which reason it was isn't kept: any but none has the same meaning for the domain.
        write_index(ring().error, abi::kXenstoreErrorComm);
    } else {
        show_indices();
    }
}

DomainRing::Input DomainRing::read() {
    last_read_.clear();
    const std::uint32_t available = read_index(ring().req_prod) - consumed_;
    if (available > kSize) return Input::kBroken;
    for (std::uint32_t left = available; left != 0 && input_.wanted() != 0;) {
        const auto count =
            run_length(consumed_, static_cast<std::uint32_t>(std::min<std::size_t>(left, input_.wanted())));
        const std::string_view bytes(reinterpret_cast<const char*>(ring().req) + consumed_ % kSize, count);
        // Copied once, here; whatever the domain writes there afterwards is without effect.
        const std::size_t before = last_read_.size();
        last_read_.append(bytes);
        input_.add(std::string_view(last_read_).substr(before));
        consumed_ += count;
        left -= count;
    }
    if (input_.broken()) return Input::kBroken;
    if (input_.complete()) return Input::kMessage;
    return last_read_.empty() ? Input::kNothing : Input::kPart;
}

std::uint32_t DomainRing::write(bool& corrupt) {
    const std::uint32_t unread = produced_ - read_index(ring().rsp_cons);
    corrupt = unread > kSize;
    if (corrupt) return 0;
    std::uint32_t written = 0;
    OutputQueue& output = connection_->output;
    for (std::uint32_t space = kSize - unread; space != 0 && !output.empty();) {
        const std::string_view next = output.front();
        const auto count =
            run_length(produced_, static_cast<std::uint32_t>(std::min<std::size_t>(space, next.size())));
        std::memcpy(ring().rsp + produced_ % kSize, next.data(), count);
        output.consume(count);
        produced_ += count;
        written += count;
        space -= count;
    }
    return written;
}

void DomainRing::show_indices() {
    write_index(ring().req_cons, consumed_);
    write_index(ring().rsp_prod, produced_);
}

bool DomainRing::reconnection_wanted() const {
    return read_index(ring().connection) == abi::kXenstoreReconnect;
}

void DomainRing::restart_indices() {
    consumed_ = produced_ = 0;
    broken_ = false;
    input_.clear();
    write_index(ring().req_prod, 0);
    write_index(ring().rsp_cons, 0);
    show_indices();
}

void DomainRing::show_connected() {
    write_index(ring().error, abi::kXenstoreErrorNone);
    write_index(ring().connection, abi::kXenstoreConnected);
}

void DomainRing::mark_broken(std::uint32_t reason) {
    broken_ = true;
    input_.clear();
    write_index(ring().error, reason);
}

void DomainRing::restore_input(std::uint32_t consumed, std::string_view bytes) {
    consumed_ = consumed;
    input_.add(bytes);
}

void DomainRing::restore_request_done(std::uint32_t consumed) {
    consumed_ = consumed;
    input_.clear();
}

void DomainRing::restore_indices(std::uint32_t consumed, std::uint32_t produced, bool broken) {
    consumed_ = consumed;
    produced_ = produced;
    broken_ = broken;
    input_.clear();
}

}  // namespace torii::dom0::xenstore
