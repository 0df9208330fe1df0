#include "block/engine_nbd.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace torii::backend {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds kRetry = 50ms;
// The protocol counts with 32 bits.
constexpr uint64_t kLargestDiscard = uint64_t{1} << 30;
constexpr uint32_t kAnyBlock = 512;

}  // namespace

NbdEngine::NbdEngine(IoLoop& loop, NbdImage image) : loop_(loop), image_(std::move(image)) {}

std::string NbdEngine::last_error() const {
    const char* const error = nbd_.get_error();
    std::string text = error != nullptr ? error : "unknown error";
    // Which of its functions failed is libnbd's matter.
    const size_t function_end = text.find(": ");
    if (text.starts_with("nbd_") && function_end != std::string::npos) text.erase(0, function_end + 2);
    return text;
}

NbdEngine::~NbdEngine() {
    if (handle_ != nullptr) nbd_.close(handle_);
}

// --- connecting

void NbdEngine::open(std::optional<std::chrono::nanoseconds> patience, std::function<void(Opened)> opened) {
    opened_ = std::move(opened);
    give_up_at_ = patience ? std::optional(loop_.now() + *patience) : std::nullopt;
    timer_.pending = true;
    loop_.after(0ns, timer_);
}

void NbdEngine::timed(int32_t) {
    if (closing_) return finish_close();
    if (!opened_) return;
    if (handle_ == nullptr) return try_connect();
    // A server that is busy with another client answers when that one has gone.
    if (give_up_at_ && loop_.now() >= *give_up_at_) {
        return give_up("the server does not answer: another client uses it, or it hangs");
    }
    timer_.pending = true;
    loop_.after(kRetry, timer_);
}

void NbdEngine::try_connect() {
    handle_ = nbd_.create();
    const bool asked = handle_ != nullptr && nbd_.aio_connect_uri(handle_, image_.uri.c_str()) == 0;
    timer_.pending = true;
    if (asked) {
        loop_.after(kRetry, timer_);
        return negotiate();
    }
    const std::string problem = last_error();
    nbd_.close(std::exchange(handle_, nullptr));
    if (give_up_at_ && loop_.now() >= *give_up_at_) {
        timer_.pending = false;
        return give_up(problem);
    }
    // A server that is just being started.
    loop_.after(kRetry, timer_);
}

void NbdEngine::negotiate() {
    if (nbd_.aio_is_ready(handle_) == 1) return describe();
    if (nbd_.aio_is_dead(handle_) == 1 || nbd_.aio_is_closed(handle_) == 1) {
        const std::string problem = last_error();
        const bool again = !give_up_at_ || loop_.now() < *give_up_at_;
        if (!again) return give_up(problem);
        // The timer, which is running, tries again. What waits for the connection is over with it.
        if (readable_.pending) loop_.cancel(readable_);
        if (writable_.pending) loop_.cancel(writable_);
        nbd_.close(std::exchange(handle_, nullptr));
        return;
    }
    listen();
}

void NbdEngine::describe() {
    const int64_t bytes = nbd_.get_size(handle_);
    if (bytes < 0) return give_up(last_error());
    geometry_.bytes = static_cast<uint64_t>(bytes);
    const int64_t smallest = nbd_.get_block_size(handle_, LIBNBD_SIZE_MINIMUM);
    const int64_t preferred = nbd_.get_block_size(handle_, LIBNBD_SIZE_PREFERRED);
    geometry_.block_size = std::max(kAnyBlock, static_cast<uint32_t>(std::max<int64_t>(smallest, 0)));
    geometry_.physical_block_size = std::clamp<uint32_t>(
        static_cast<uint32_t>(std::max<int64_t>(preferred, 0)), geometry_.block_size, 4096);
    geometry_.read_only = nbd_.is_read_only(handle_) == 1;
    geometry_.can_discard = nbd_.can_trim(handle_) == 1;
    geometry_.discard_granularity = geometry_.physical_block_size;
    if (geometry_.read_only && !image_.read_only) {
        return give_up("the server offers it for reading only: attach it read-only");
    }
    listen();
    std::exchange(opened_, nullptr)({geometry_, {}});
}

void NbdEngine::give_up(const std::string& problem) {
    std::exchange(opened_,
                  nullptr)({std::nullopt, "cannot use the image behind " + image_.uri + ": " + problem});
}

// --- requests

void NbdEngine::submit(BlockIo& io) {
    io.engine = this;
    io.engine_progress = 0;
    issue(io);
    listen();
}

void NbdEngine::issue(BlockIo& io) {
    const bool flushes = io.kind == BlockIo::Kind::kFlush;
    // A server that has no flush has nothing to flush.
    if (flushes && nbd_.can_flush(handle_) == 0) return end_later(io, 0);
    if (ask(io) < 0) end_later(io, nbd_.get_errno() != 0 ? nbd_.get_errno() : EIO);
}

int64_t NbdEngine::ask(BlockIo& io) {
    const nbd_completion_callback ended = {
        .callback = &NbdEngine::command_ended, .user_data = &io, .free = nullptr};
    switch (io.kind) {
        case BlockIo::Kind::kRead:
            return nbd_.aio_pread(handle_, io.memory.data(), io.length, io.offset, ended, 0);
        case BlockIo::Kind::kWrite:
            return nbd_.aio_pwrite(handle_, io.memory.data(), io.length, io.offset, ended, 0);
        case BlockIo::Kind::kFlush:
            return nbd_.aio_flush(handle_, ended, 0);
        case BlockIo::Kind::kDiscard:
            return nbd_.aio_trim(handle_, std::min(io.length - io.engine_progress, kLargestDiscard),
                                 io.offset + io.engine_progress, ended, 0);
    }
    return -1;
}

// From inside libnbd, which must not be called back from here.
int NbdEngine::command_ended(void* user_data, int* error) {
    auto& io = *static_cast<BlockIo*>(user_data);
    static_cast<NbdEngine*>(io.engine)->end_later(io, *error);
    return 1;  // the command is done with
}

void NbdEngine::end_later(BlockIo& io, int error) {
    ended_.push_back({&io, error});
    if (ended_.size() != 1) return;
    loop_.post([this] {
        for (const auto& [ended, problem] : std::exchange(ended_, {}))
            progressed(*ended, -problem);
        listen();
    });
}

void NbdEngine::progressed(BlockIo& io, int32_t result) {
    // What a lost connection is called is libnbd's matter; to a guest it is a disk that fails.
    if (result < 0) return io.ended(result == -ENOSPC || result == -EOPNOTSUPP ? -result : EIO);
    if (io.kind == BlockIo::Kind::kDiscard) {
        io.engine_progress += std::min(io.length - io.engine_progress, kLargestDiscard);
        if (io.engine_progress < io.length) return issue(io);
    }
    io.ended(0);
}

// --- the connection

void NbdEngine::listen() {
    if (handle_ == nullptr || closing_) return;
    const int file = nbd_.aio_get_fd(handle_);
    if (file < 0) return;
    const unsigned direction = nbd_.aio_get_direction(handle_);
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 && !std::exchange(readable_.pending, true)) {
        loop_.poll(file, POLLIN, readable_);
    }
    if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 && !std::exchange(writable_.pending, true)) {
        loop_.poll(file, POLLOUT, writable_);
    }
}

void NbdEngine::readable(int32_t result) {
    if (closing_) return finish_close();
    if (handle_ == nullptr) return;
    // It was for a connection before this one.
    if (result == -ECANCELED) return listen();
    if ((nbd_.aio_get_direction(handle_) & LIBNBD_AIO_DIRECTION_READ) != 0)
        (void)nbd_.aio_notify_read(handle_);
    return opened_ ? negotiate() : listen();
}

void NbdEngine::writable(int32_t result) {
    if (closing_) return finish_close();
    if (handle_ == nullptr) return;
    // It was for a connection before this one.
    if (result == -ECANCELED) return listen();
    if ((nbd_.aio_get_direction(handle_) & LIBNBD_AIO_DIRECTION_WRITE) != 0)
        (void)nbd_.aio_notify_write(handle_);
    return opened_ ? negotiate() : listen();
}

void NbdEngine::measure(std::function<void(std::optional<uint64_t>)> measured) {
    // The protocol tells a size once, to a new connection.
    loop_.post([measured = std::move(measured)] { measured(std::nullopt); });
}

void NbdEngine::close(std::function<void()> closed) {
    closed_ = std::move(closed);
    closing_ = true;
    for (Wait* wait : {&readable_, &writable_, &timer_}) {
        if (wait->pending) loop_.cancel(*wait);
    }
    loop_.post([this] { finish_close(); });
}

void NbdEngine::finish_close() {
    if (!closed_ || readable_.pending || writable_.pending || timer_.pending) return;
    if (handle_ != nullptr) nbd_.close(std::exchange(handle_, nullptr));
    // It may hold the last reference to this object.
    loop_.post(std::exchange(closed_, nullptr));
}

}  // namespace torii::backend
