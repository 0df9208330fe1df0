#include "common/uring_event_channels.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <utility>

namespace torii::backend {

UringEventChannels::UringEventChannels(IoLoop& loop) : loop_(loop) {}

UringEventChannels::UringEventChannels(IoLoop& loop, FileDescriptor device, Control control)
    : EventChannelFile(std::move(device), std::move(control)), loop_(loop) {}

void UringEventChannels::start() {
    read_next();
}

void UringEventChannels::read_next() {
    if (read_directly_) return loop_.poll(file(), POLLIN, reading_);
    const iovec part{ready_.data(), sizeof(ready_)};
    loop_.read(file(), {&part, 1}, static_cast<uint64_t>(-1), reading_);
}

void UringEventChannels::arrived(int32_t result) {
    if (result == -EAGAIN) {
        // A kernel whose io_uring does not wait for such a file by itself.
        read_directly_ = true;
    } else if (read_directly_ && result > 0) {
        result = static_cast<int32_t>(::read(file(), ready_.data(), sizeof(ready_)));
    }
    if (result == -ECANCELED || result == -EBADF) return;
    const std::span ports(ready_.data(), result > 0 ? static_cast<size_t>(result) / sizeof(uint32_t) : 0);
    std::exception_ptr problem;
    const auto ours = call_handlers(ports, problem);
    // Only now, so that a peer that signals all the time is heard once for each turn of the loop. A signal
    // that came meanwhile is pending and fires at once.
    to_unmask_.insert(to_unmask_.end(), ours.begin(), ours.end());
    unmask();
    read_next();
    if (problem) std::rethrow_exception(problem);
}

void UringEventChannels::unmask() {
    if (unmasked_.running || to_unmask_.empty()) return;
    unmasked_.running = true;
    unmasking_ = std::exchange(to_unmask_, {});
    const iovec part{unmasking_.data(), unmasking_.size() * sizeof(uint32_t)};
    loop_.write(file(), {&part, 1}, static_cast<uint64_t>(-1), unmasked_);
}

void UringEventChannels::Unmasking::done(int32_t) {
    running = false;
    owner_.unmask();
}

}  // namespace torii::backend
