#pragma once
// The loop of a thread that serves devices: files and time, by completions. One system call hands over all
// that was asked since the last one and takes all that has ended (io_uring; common/uring_loop.h). Tests put a
// loop in its place whose completions arrive when, and in the order, the test wants.
//
// Everything but post() belongs to the loop's thread. A completion, the memory it names, and the file must
// live until it is called; it is called once, from the loop, never from inside the call that asked.

#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>

namespace torii::backend {

class Completion {
public:
    // What the system call of that name would return: a count, or a negative errno. A read or write may have
    // moved less than was asked.
    virtual void done(int32_t result) = 0;

protected:
    ~Completion() = default;
};

class IoLoop {
public:
    virtual ~IoLoop() = default;

    // `parts` is copied where needed; the memory that it names is not. Offset: in bytes from the beginning.
    virtual void read(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) = 0;
    virtual void write(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) = 0;
    // fdatasync.
    virtual void flush(int file, Completion& completion) = 0;
    // fallocate(2) with its `mode`.
    virtual void allocate(int file, int mode, uint64_t offset, uint64_t length, Completion& completion) = 0;
    // Once, when `file` has one of `events` (poll(2)); the result is what it has.
    virtual void poll(int file, short events, Completion& completion) = 0;
    // Result: 0.
    virtual void after(std::chrono::nanoseconds delay, Completion& completion) = 0;

    // Memory that reads and writes will name again and again is held for them: with its pages looked up once,
    // and locked in memory. Reads and writes whose one part lies in it profit; nothing else changes. Page
    // aligned. False where the loop cannot.
    virtual bool hold(std::span<std::byte> memory) { return memory.empty(); }
    // Of what hold() took, or refused. What is under way in it may go on.
    virtual void let_go(std::span<std::byte> memory) { (void)memory; }

    // Asks that `completion` come soon: with -ECANCELED, or with its result if it was under way. No effect on
    // one that is not outstanding.
    virtual void cancel(Completion& completion) = 0;

    // Runs `action` on the loop's thread, soon. From any thread.
    virtual void post(std::function<void()> action) = 0;

    // Monotonic; on the loop's thread at most as old as what has ended last.
    virtual std::chrono::nanoseconds now() const = 0;
};

}  // namespace torii::backend
