#include "common/uring_loop.h"

#include <sys/eventfd.h>
#include <torii/failure.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace torii::backend {
namespace {

constexpr unsigned kPostedRounds = 4;

void set_up(io_uring& ring, unsigned entries) {
    // Completions are run when this thread asks for them, not by interrupting it; it alone submits. A kernel
    // older than 6.1 does without.
    const unsigned flags[] = {IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                                  IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                              IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE};
    int error = 0;
    for (const unsigned set : flags) {
        io_uring_params parameters{};
        parameters.flags = set;
        parameters.cq_entries = 4 * entries;
        error = io_uring_queue_init_params(entries, &ring, &parameters);
        if (error == 0) return;
    }
    throw Failure(ErrorCode::kSystem,
                  std::string("cannot set up io_uring, by which devices do their input and output: ") +
                      std::strerror(-error) +
                      ". It needs Linux 5.15 or newer, and kernel.io_uring_disabled = 0");
}

}  // namespace

UringLoop::UringLoop(Problem problem) : problem_(std::move(problem)), wake_file_(::eventfd(0, EFD_CLOEXEC)) {
    if (!wake_file_.valid()) {
        throw Failure(ErrorCode::kSystem, std::string("cannot make an event file: ") + std::strerror(errno));
    }
    set_up(ring_, kEntries);
}

UringLoop::~UringLoop() {
    io_uring_queue_exit(&ring_);
}

template <typename Action>
void UringLoop::contained(const Action& action) {
    try {
        action();
    } catch (const std::exception& problem) {
        if (!problem_) throw;
        problem_(problem);
    }
}

bool UringLoop::on_own_thread() const {
    return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

void UringLoop::run() {
    thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    // Debian 12's liburing declares a function for it and lacks it.
    const auto file = static_cast<unsigned>(ring_.ring_fd);
    if (const int error = io_uring_register(file, IORING_REGISTER_ENABLE_RINGS, nullptr, 0); error < 0) {
        throw Failure(ErrorCode::kSystem, std::string("cannot start io_uring: ") + std::strerror(-error));
    }
    now_ = std::chrono::steady_clock::now().time_since_epoch();
    listen();
    take_foreign();  // what was posted before anybody listened
    while (!stop_.load(std::memory_order_acquire)) {
        // What was posted often posts once more (an end, then a turn that tells of it): that costs no call of
        // its own. Somebody who posts for ever still lets others have their turn.
        for (unsigned round = 0; round < kPostedRounds && !posted_.empty(); ++round)
            run_posted();
        enter(posted_.empty() && !stop_.load(std::memory_order_acquire));
        deliver();
    }
    thread_.store({});
}

void UringLoop::stop() {
    stop_.store(true, std::memory_order_release);
    post([] {});
}

void UringLoop::post(std::function<void()> action) {
    if (on_own_thread()) {
        posted_.push_back(std::move(action));
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        foreign_.push_back(std::move(action));
    }
    const uint64_t one = 1;
    (void)!::write(wake_file_.get(), &one, sizeof(one));
}

void UringLoop::Wake::done(int32_t) {
    loop_.take_foreign();
    loop_.listen();
}

void UringLoop::listen() {
    io_uring_sqe& sqe = entry();
    io_uring_prep_read(&sqe, wake_file_.get(), &wake_count_, sizeof(wake_count_), 0);
    io_uring_sqe_set_data(&sqe, static_cast<Completion*>(&wake_));
}

void UringLoop::take_foreign() {
    const std::lock_guard lock(mutex_);
    for (auto& action : foreign_)
        posted_.push_back(std::move(action));
    foreign_.clear();
}

// What is posted meanwhile comes in the next turn, after what has ended.
void UringLoop::run_posted() {
    for (size_t left = posted_.size(); left != 0; --left) {
        const auto action = std::move(posted_.front());
        posted_.pop_front();
        contained(action);
    }
}

void UringLoop::enter(bool wait) {
    enters_.fetch_add(1, std::memory_order_relaxed);
    // Interrupted, or a queue is full until completions are taken: deliver() takes them, and this comes
    // again.
    if (wait) {
        (void)io_uring_submit_and_wait(&ring_, 1);
    } else {
        (void)io_uring_submit_and_get_events(&ring_);
    }
    now_ = std::chrono::steady_clock::now().time_since_epoch();
    if (io_uring_sq_ready(&ring_) == 0) {
        vectors_.clear();
        times_.clear();
    }
}

void UringLoop::deliver() {
    // Copied out first: a completion may submit, and what it submits may end at once.
    const unsigned count = io_uring_peek_batch_cqe(&ring_, ended_.data(), kEntries);
    for (unsigned i = 0; i < count; ++i)
        results_[i] = {static_cast<Completion*>(io_uring_cqe_get_data(ended_[i])), ended_[i]->res};
    io_uring_cq_advance(&ring_, count);
    for (unsigned i = 0; i < count; ++i) {
        // A cancellation itself names none.
        if (results_[i].completion == nullptr) continue;
        // A time that has passed ends as ETIME, which nothing else does.
        const int32_t value = results_[i].value == -ETIME ? 0 : results_[i].value;
        contained([&] { results_[i].completion->done(value); });
    }
}

// The caller prepares it, then sets its data: preparing clears that.
io_uring_sqe& UringLoop::entry() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
        enter(false);
        sqe = io_uring_get_sqe(&ring_);
    }
    return *sqe;
}

// --- memory that is held

bool UringLoop::hold(std::span<std::byte> memory) {
    if (held_.empty() && held_places_.empty() && can_hold_) {
        can_hold_ = io_uring_register_buffers_sparse(&ring_, kHeldPlaces) == 0;
        for (unsigned place = kHeldPlaces; can_hold_ && place-- > 0;)
            held_places_.push_back(place);
    }
    if (held_places_.empty()) return false;
    const unsigned place = held_places_.back();
    if (!update_held(place, {memory.data(), memory.size()})) return false;
    held_places_.pop_back();
    held_[memory.data()] = {memory.size(), place};
    return true;
}

void UringLoop::let_go(std::span<std::byte> memory) {
    const auto found = held_.find(memory.data());
    if (found == held_.end()) return;
    update_held(found->second.place, {nullptr, 0});
    held_places_.push_back(found->second.place);
    held_.erase(found);
}

bool UringLoop::update_held(unsigned place, iovec memory) {
    return io_uring_register_buffers_update_tag(&ring_, place, &memory, nullptr, 1) == 1;
}

std::optional<unsigned> UringLoop::held_place(const iovec& part) const {
    const auto* const first = static_cast<const std::byte*>(part.iov_base);
    auto found = held_.upper_bound(first);
    if (found == held_.begin()) return std::nullopt;
    --found;
    const std::byte* const end = found->first + found->second.bytes;
    if (first >= end || part.iov_len > static_cast<size_t>(end - first)) return std::nullopt;
    return found->second.place;
}

void UringLoop::read(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) {
    io_uring_sqe& sqe = entry();
    if (parts.size() == 1 && parts[0].iov_len <= UINT32_MAX) {
        const auto length = static_cast<unsigned>(parts[0].iov_len);
        if (const auto place = held_place(parts[0])) {
            io_uring_prep_read_fixed(&sqe, file, parts[0].iov_base, length, offset, static_cast<int>(*place));
        } else {
            io_uring_prep_read(&sqe, file, parts[0].iov_base, length, offset);
        }
    } else {
        const auto& copy = vectors_.emplace_back(parts.begin(), parts.end());
        io_uring_prep_readv(&sqe, file, copy.data(), static_cast<unsigned>(copy.size()), offset);
    }
    io_uring_sqe_set_data(&sqe, &completion);
}

void UringLoop::write(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) {
    io_uring_sqe& sqe = entry();
    if (parts.size() == 1 && parts[0].iov_len <= UINT32_MAX) {
        const auto length = static_cast<unsigned>(parts[0].iov_len);
        if (const auto place = held_place(parts[0])) {
            io_uring_prep_write_fixed(&sqe, file, parts[0].iov_base, length, offset,
                                      static_cast<int>(*place));
        } else {
            io_uring_prep_write(&sqe, file, parts[0].iov_base, length, offset);
        }
    } else {
        const auto& copy = vectors_.emplace_back(parts.begin(), parts.end());
        io_uring_prep_writev(&sqe, file, copy.data(), static_cast<unsigned>(copy.size()), offset);
    }
    io_uring_sqe_set_data(&sqe, &completion);
}

void UringLoop::flush(int file, Completion& completion) {
    io_uring_sqe& sqe = entry();
    io_uring_prep_fsync(&sqe, file, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(&sqe, &completion);
}

void UringLoop::allocate(int file, int mode, uint64_t offset, uint64_t length, Completion& completion) {
    io_uring_sqe& sqe = entry();
    io_uring_prep_fallocate(&sqe, file, mode, static_cast<off_t>(offset), static_cast<off_t>(length));
    io_uring_sqe_set_data(&sqe, &completion);
}

void UringLoop::poll(int file, short events, Completion& completion) {
    io_uring_sqe& sqe = entry();
    io_uring_prep_poll_add(&sqe, file, static_cast<unsigned short>(events));
    io_uring_sqe_set_data(&sqe, &completion);
}

void UringLoop::after(std::chrono::nanoseconds delay, Completion& completion) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(delay);
    const auto& time = times_.emplace_back(
        __kernel_timespec{.tv_sec = seconds.count(), .tv_nsec = (delay - seconds).count()});
    io_uring_sqe& sqe = entry();
    io_uring_prep_timeout(&sqe, const_cast<__kernel_timespec*>(&time), 0, 0);
    io_uring_sqe_set_data(&sqe, &completion);
}

void UringLoop::cancel(Completion& completion) {
    io_uring_sqe& sqe = entry();
    io_uring_prep_cancel(&sqe, &completion, 0);
    io_uring_sqe_set_data(&sqe, nullptr);
}

std::chrono::nanoseconds UringLoop::now() const {
    return on_own_thread() ? now_ : std::chrono::steady_clock::now().time_since_epoch();
}

}  // namespace torii::backend
