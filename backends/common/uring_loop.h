#pragma once
// IoLoop over io_uring: one system call hands over what was asked and waits for what ends.
//
// Made on any thread; run() makes its caller the loop's thread.

#include <liburing.h>

#include <array>
#include <atomic>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "common/file_descriptor.h"
#include "common/io_loop.h"

namespace torii::backend {

class UringLoop final : public IoLoop {
public:
    // Told what a completion or a posted action has thrown, on the loop's thread: one device's trouble must
    // not end the service for all. Without it, that leaves run().
    using Problem = std::function<void(const std::exception&)>;

    // Throws Failure (kSystem) where the kernel has no io_uring.
    explicit UringLoop(Problem problem = nullptr);
    ~UringLoop() override;
    UringLoop(const UringLoop&) = delete;
    UringLoop& operator=(const UringLoop&) = delete;

    // Until stop(); once. Operations outstanding then are forgotten: their completions are never called.
    void run();
    // From any thread.
    void stop();
    bool running() const { return thread_.load() != std::thread::id(); }

    void read(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) override;
    void write(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) override;
    void flush(int file, Completion& completion) override;
    void allocate(int file, int mode, uint64_t offset, uint64_t length, Completion& completion) override;
    void poll(int file, short events, Completion& completion) override;
    void after(std::chrono::nanoseconds delay, Completion& completion) override;
    void cancel(Completion& completion) override;
    bool hold(std::span<std::byte> memory) override;
    void let_go(std::span<std::byte> memory) override;
    void post(std::function<void()> action) override;
    // On the loop's own thread the time of its last system call: reading the clock may be one itself, and a
    // paravirtual dom0's often is.
    std::chrono::nanoseconds now() const override;

    // io_uring_enter calls of this loop, for measuring.
    uint64_t enters() const { return enters_.load(std::memory_order_relaxed); }

private:
    // Another thread posted something.
    struct Wake final : Completion {
        explicit Wake(UringLoop& loop) : loop_(loop) {}
        void done(int32_t result) override;

    private:
        UringLoop& loop_;
    };

    // What has ended, copied out of the kernel's queue.
    struct Result {
        Completion* completion;
        int32_t value;
    };
    // Memory that is held, by its first byte; `place` is its number in the kernel.
    struct Held {
        size_t bytes;
        unsigned place;
    };
    static constexpr unsigned kEntries = 256;
    static constexpr unsigned kHeldPlaces = 256;

    io_uring_sqe& entry();
    std::optional<unsigned> held_place(const iovec& part) const;
    bool update_held(unsigned place, iovec memory);
    void enter(bool wait);
    void listen();
    void run_posted();
    void take_foreign();
    void deliver();
    template <typename Action>
    void contained(const Action& action);
    bool on_own_thread() const;

    Problem problem_;
    io_uring ring_{};
    FileDescriptor wake_file_;
    uint64_t wake_count_ = 0;
    Wake wake_{*this};
    std::deque<std::function<void()>> posted_;  // of the loop's own thread
    std::mutex mutex_;
    std::vector<std::function<void()>> foreign_;  // guarded by mutex_
    std::atomic<bool> stop_{false};
    std::atomic<std::thread::id> thread_{};
    std::atomic<uint64_t> enters_{0};
    std::chrono::nanoseconds now_{};
    std::array<io_uring_cqe*, kEntries> ended_{};
    std::array<Result, kEntries> results_{};
    std::map<const std::byte*, Held> held_;
    std::vector<unsigned> held_places_;  // free ones
    bool can_hold_ = true;
    // What entries that are not handed over yet point to: it must not move.
    std::deque<std::vector<iovec>> vectors_;
    std::deque<__kernel_timespec> times_;
};

}  // namespace torii::backend
