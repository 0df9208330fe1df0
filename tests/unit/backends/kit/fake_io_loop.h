#pragma once
// An IoLoop whose files lie in memory and whose completions come when, and in the order, the test wants.
// Nothing happens by itself: run() carries out what was posted, complete...() ends outstanding operations.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "common/io_loop.h"

namespace torii::backend::test {

// A file that outlives the process which uses it.
struct FakeFile {
    std::vector<std::byte> bytes;
    std::vector<std::byte> durable;  // what the last flush made of it

    enum class Kind { kRead, kWrite, kFlush, kAllocate };
    struct Event {
        Kind kind;
        uint64_t offset = 0;
        uint64_t length = 0;
    };
    std::vector<Event> history;  // in the order in which operations took effect

    explicit FakeFile(size_t size) : bytes(size), durable(size) {}
};

class FakeIoLoop final : public IoLoop {
public:
    // Operations on this number go to that file.
    void add_file(int number, std::shared_ptr<FakeFile> file) { files_[number] = std::move(file); }

    void read(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) override;
    void write(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) override;
    void flush(int file, Completion& completion) override;
    void allocate(int file, int mode, uint64_t offset, uint64_t length, Completion& completion) override;
    void poll(int file, short events, Completion& completion) override;
    void after(std::chrono::nanoseconds delay, Completion& completion) override;
    void cancel(Completion& completion) override;
    bool hold(std::span<std::byte> memory) override {
        held.push_back(memory);
        return true;
    }
    void let_go(std::span<std::byte> memory) override {
        std::erase_if(held, [&](auto one) { return one.data() == memory.data(); });
    }
    std::vector<std::span<std::byte>> held;
    void post(std::function<void()> action) override { posted_.push_back(std::move(action)); }
    std::chrono::nanoseconds now() const override { return now_; }

    // Carries out what was posted, and what that posts, up to a limit. False when there was nothing.
    bool run(size_t most = 10'000);
    // One turn: what was posted before it.
    void turn();

    // Operations on files not ended yet.
    size_t outstanding() const { return operations_.size(); }
    // The number-th outstanding operation takes effect and ends. The posted actions are not run.
    void complete(size_t number = 0);
    // Runs, and ends operations in a random order (without one: in theirs), until nothing is left. Time does
    // not pass.
    void settle(std::mt19937* random = nullptr);

    // Time passes; polls and timers that are due end.
    void advance(std::chrono::nanoseconds by);
    size_t timers() const { return timers_.size(); }
    // Ends a poll.
    void ready(int file, short events);
    size_t polls() const { return polls_.size(); }

    // The process was killed (call this while its memory is still there): what is outstanding takes effect or
    // does not (`random`), nobody is told.
    void abandon(std::mt19937& random);

    // How the next operations end that take effect: a negative errno, or the most bytes that one moves. An
    // empty value leaves one alone.
    struct Fault {
        std::optional<int32_t> error;
        std::optional<size_t> most_bytes;
    };
    std::deque<Fault> faults;

private:
    struct Operation {
        FakeFile::Kind kind;
        int file;
        std::vector<iovec> parts;
        uint64_t offset;
        uint64_t length;
        int mode;
        Completion* completion;
        bool cancelled = false;
    };
    struct Timer {
        std::chrono::nanoseconds due;
        Completion* completion;
    };
    struct Poll {
        int file;
        short events;
        Completion* completion;
    };
    int32_t take_effect(const Operation& operation);
    int32_t transfer(FakeFile& file, const Operation& operation, size_t most);

    std::map<int, std::shared_ptr<FakeFile>> files_;
    std::deque<std::function<void()>> posted_;
    std::vector<Operation> operations_;
    std::vector<Timer> timers_;
    std::vector<Poll> polls_;
    std::chrono::nanoseconds now_{1'000'000'000};
};

}  // namespace torii::backend::test
