// The loop on real files, in a thread of its own.

#include "common/uring_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "common/uring_event_channels.h"
#include "unit/backends/kit/temporary_file.h"

namespace torii::backend::test {
namespace {

using namespace std::chrono_literals;

struct Waiting final : Completion {
    void done(int32_t result) override {
        const std::lock_guard lock(mutex);
        results.push_back(result);
        changed.notify_all();
    }
    int32_t next() {
        std::unique_lock lock(mutex);
        if (!changed.wait_for(lock, 20s, [this] { return results.size() > seen; })) return -ETIMEDOUT;
        return results[seen++];
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<int32_t> results;
    size_t seen = 0;
};

class Uring : public testing::Test {
protected:
    Uring()
        : loop([this](const std::exception& problem) { problems.emplace_back(problem.what()); }),
          thread_([this] { loop.run(); }) {}
    ~Uring() override {
        loop.stop();
        thread_.join();
    }
    int32_t ask(std::function<void()> action) {
        loop.post(std::move(action));
        return seen.next();
    }

    TemporaryFolder folder_;
    std::vector<std::string> problems;  // the loop's thread's
    UringLoop loop;
    Waiting seen;

private:
    std::thread thread_;
};

TEST_F(Uring, ReadsWritesFlushesAndPunches) {
    const FileDescriptor file(::open(folder_.file("f").c_str(), O_RDWR | O_CREAT, 0600));
    std::array<char, 8192> text{};
    std::memset(text.data(), 'a', text.size());
    std::array<char, 8192> back{};
    EXPECT_EQ(ask([&] {
                  // The parts need not outlive the call.
                  const std::array<iovec, 2> parts{{{text.data(), 100}, {text.data() + 100, 5000}}};
                  loop.write(file.get(), parts, 50, seen);
              }),
              5100);
    EXPECT_EQ(ask([&] { loop.flush(file.get(), seen); }), 0);
    EXPECT_EQ(ask([&] {
                  const iovec part{back.data(), back.size()};
                  loop.read(file.get(), {&part, 1}, 0, seen);
              }),
              5150);
    EXPECT_EQ(back[49], 0);
    EXPECT_EQ(back[50], 'a');
    EXPECT_EQ(
        ask([&] { loop.allocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096, seen); }),
        0);
    char byte = 1;
    EXPECT_EQ(::pread(file.get(), &byte, 1, 60), 1);
    EXPECT_EQ(byte, 0);
    EXPECT_EQ(ask([&] { loop.flush(-1, seen); }), -EBADF);
}

TEST_F(Uring, MemoryThatIsHeldIsReadIntoAndWrittenFrom) {
    constexpr size_t kBytes = 8192;
    struct Free {
        void operator()(char* memory) const { std::free(memory); }
    };
    const std::unique_ptr<char, Free> memory(static_cast<char*>(std::aligned_alloc(4096, 2 * kBytes)));
    const std::span held(reinterpret_cast<std::byte*>(memory.get()), kBytes);
    const FileDescriptor file(::open(folder_.file("f").c_str(), O_RDWR | O_CREAT, 0600));
    const auto move = [&](bool write, size_t at, size_t length, uint64_t offset) {
        return ask([&, write, at, length, offset] {
            const iovec part{memory.get() + at, length};
            write ? loop.write(file.get(), {&part, 1}, offset, seen)
                  : loop.read(file.get(), {&part, 1}, offset, seen);
        });
    };
    bool can = false;
    EXPECT_EQ(ask([&] {
                  can = loop.hold(held);
                  loop.flush(file.get(), seen);
              }),
              0);
    if (!can) GTEST_SKIP() << "this kernel holds no memory for io_uring";
    std::memset(memory.get(), 'a', 2 * kBytes);
    EXPECT_EQ(move(true, 100, 5000, 0), 5000);
    // Beyond what is held, by a part or all of it: as other memory.
    std::memset(memory.get() + kBytes, 'b', kBytes);
    EXPECT_EQ(move(true, kBytes - 100, 200, 5000), 200);
    EXPECT_EQ(move(true, kBytes, 300, 5200), 300);
    std::memset(memory.get(), 0, 2 * kBytes);
    EXPECT_EQ(move(false, 0, 5500, 0), 5500);
    EXPECT_EQ(memory.get()[5099], 'a');
    EXPECT_EQ(memory.get()[5100], 'b');
    EXPECT_EQ(memory.get()[5499], 'b');
    EXPECT_EQ(memory.get()[5500], 0);
    // Held pages are those of the memory as it was: whoever forgets to let go of it reads into the old ones.
    EXPECT_EQ(ask([&] {
                  loop.let_go(held);
                  loop.flush(file.get(), seen);
              }),
              0);
    ASSERT_EQ(
        ::mmap(memory.get(), kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        static_cast<void*>(memory.get()));
    EXPECT_EQ(move(false, 0, 100, 0), 100);
    EXPECT_EQ(memory.get()[99], 'a');
    // As often as one likes.
    for (unsigned i = 0; i < 300; ++i) {
        ASSERT_EQ(ask([&] {
                      can = loop.hold(held) && can;
                      loop.let_go(held);
                      loop.flush(file.get(), seen);
                  }),
                  0);
    }
    EXPECT_TRUE(can);
}

TEST_F(Uring, TimesPollsAndCancels) {
    const auto before = loop.now();
    EXPECT_EQ(ask([&] { loop.after(20ms, seen); }), 0);
    EXPECT_GE(loop.now() - before, 20ms);
    EXPECT_EQ(ask([&] {
                  loop.after(1h, seen);
                  loop.cancel(seen);
              }),
              -ECANCELED);
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const FileDescriptor near(ends[0]);
    const FileDescriptor far(ends[1]);
    loop.post([&] { loop.poll(near.get(), POLLIN, seen); });
    EXPECT_EQ(::write(far.get(), "x", 1), 1);
    EXPECT_EQ(seen.next() & POLLIN, POLLIN);
}

TEST_F(Uring, MoreAtOnceThanTheQueueHolds) {
    const FileDescriptor file(::open("/dev/zero", O_RDONLY));
    std::array<char, 1> byte{};
    loop.post([&] {
        for (unsigned i = 0; i < 3000; ++i) {
            const std::array<iovec, 2> parts{{{byte.data(), 1}, {byte.data(), 1}}};
            loop.read(file.get(), parts, 0, seen);
        }
    });
    for (unsigned i = 0; i < 3000; ++i)
        ASSERT_EQ(seen.next(), 2);
}

// One device's trouble: the others go on.
TEST_F(Uring, WhatIsThrownIsToldAndTheLoopGoesOn) {
    struct Throwing final : Completion {
        void done(int32_t) override { throw std::runtime_error("a completion's"); }
    } throwing;
    loop.post([&] {
        loop.after(0ns, throwing);
        loop.after(1ms, seen);
    });
    EXPECT_EQ(seen.next(), 0);
    loop.post([] { throw std::runtime_error("an action's"); });
    EXPECT_EQ(ask([&] { seen.done(5); }), 5);
    ask([&] {
        EXPECT_EQ(problems, (std::vector<std::string>{"a completion's", "an action's"}));
        seen.done(0);
    });
}

TEST_F(Uring, PostsFromManyThreadsAllRun) {
    std::atomic<unsigned> ran{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (unsigned k = 0; k < 500; ++k)
                loop.post([&] { ++ran; });
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(ask([&] { loop.after(1ms, seen); }), 0);
    EXPECT_EQ(ran.load(), 2000u);
}

// A device that is a socket: ports come from its other end, and go back there when they were served.
// What the kernel's side of the device does.
void send_ports(int kernel, const std::vector<uint32_t>& ports) {
    EXPECT_EQ(::write(kernel, ports.data(), ports.size() * 4), static_cast<ssize_t>(ports.size() * 4));
}
std::vector<uint32_t> receive_ports(int kernel) {
    std::vector<uint32_t> ports(8);
    const ssize_t bytes = ::read(kernel, ports.data(), ports.size() * 4);
    ports.resize(bytes > 0 ? static_cast<size_t>(bytes) / 4 : 0);
    return ports;
}

TEST_F(Uring, EventChannelsTakePortsBackAfterTheHandler) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    const FileDescriptor kernel(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    int next_port = 7;
    size_t calls = 0;
    UringEventChannels channels(loop, FileDescriptor(ends[0]), [&](unsigned long, void*) {
        ++calls;
        return next_port++;
    });
    const auto send = [&](const std::vector<uint32_t>& ports) { send_ports(kernel.get(), ports); };
    const auto receive = [&] { return receive_ports(kernel.get()); };
    loop.post([&] {
        channels.start();
        EXPECT_EQ(channels.bind_interdomain(DomId(1), Port(3), [&] { seen.done(1); }), Port(7));
        EXPECT_EQ(channels.bind_interdomain(DomId(1), Port(4),
                                            [&] {
                                                seen.done(2);
                                                channels.unbind(Port(8));
                                            }),
                  Port(8));
        seen.done(0);
    });
    EXPECT_EQ(seen.next(), 0);
    send({7, 8, 99});
    EXPECT_EQ(seen.next(), 1);
    EXPECT_EQ(seen.next(), 2);
    EXPECT_EQ(receive(), (std::vector<uint32_t>{7, 8}));
    send({8, 7});
    EXPECT_EQ(seen.next(), 1);
    EXPECT_EQ(receive(), std::vector<uint32_t>{7});
    EXPECT_EQ(calls, 3u);
    // A handler that fails keeps no port masked, and no other waiting.
    uint32_t failing = 0;
    ask([&] {
        failing =
            channels.bind_interdomain(DomId(1), Port(5), [] { throw std::runtime_error("a handler's"); })
                .raw();
        seen.done(0);
    });
    send({failing, 7});
    EXPECT_EQ(seen.next(), 1);
    EXPECT_EQ(receive(), (std::vector<uint32_t>{failing, 7}));
    ask([&] {
        EXPECT_EQ(problems, std::vector<std::string>{"a handler's"});
        seen.done(0);
    });
    // The loop ends before the device does.
    loop.post([&] { loop.stop(); });
    while (loop.running())
        std::this_thread::yield();
}

}  // namespace
}  // namespace torii::backend::test
