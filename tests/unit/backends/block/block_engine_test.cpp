// The engines on real files and a real qemu-nbd, and a whole device over io_uring.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <torii/failure.h>

#include <condition_variable>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "block/engine_file.h"
#include "block/engine_nbd.h"
#include "common/uring_loop.h"
#include "unit/backends/block/block_world.h"

namespace torii::backend::test {
namespace {

using namespace std::chrono_literals;

// An operation that somebody on another thread waits for.
struct Operation final : BlockIo {
    explicit Operation(Kind kind, uint64_t offset, uint64_t length, void* memory = nullptr) {
        this->kind = kind;
        this->offset = offset;
        this->length = length;
        if (memory != nullptr) this->memory = {static_cast<std::byte*>(memory), length};
    }
    void ended(int error) override { result.set_value(error); }
    std::promise<int> result;
};

class Engines : public testing::Test {
protected:
    Engines() : thread_([this] { loop.run(); }) {}
    ~Engines() override {
        loop.stop();
        thread_.join();
    }

    std::string make_file(size_t bytes) {
        const std::string path = folder.file("image");
        std::ofstream(path).close();
        std::filesystem::resize_file(path, bytes);
        return path;
    }
    template <typename Result>
    Result wait(std::future<Result> future) {
        if (future.wait_for(30s) != std::future_status::ready) throw std::runtime_error("it never ends");
        return future.get();
    }
    BlockEngine::Opened open(BlockEngine& engine, std::optional<std::chrono::nanoseconds> patience = 100ms) {
        auto result = std::make_shared<std::promise<BlockEngine::Opened>>();
        loop.post([&engine, patience, result] {
            engine.open(patience,
                        [result](BlockEngine::Opened opened) { result->set_value(std::move(opened)); });
        });
        return wait(result->get_future());
    }
    int run(BlockEngine& engine, Operation& operation) {
        loop.post([&] { engine.submit(operation); });
        return wait(operation.result.get_future());
    }
    int run(BlockEngine& engine, BlockIo::Kind kind, uint64_t offset, uint64_t length,
            void* memory = nullptr) {
        Operation operation(kind, offset, length, memory);
        return run(engine, operation);
    }
    void close(BlockEngine& engine) {
        std::promise<void> closed;
        loop.post([&] { engine.close([&] { closed.set_value(); }); });
        wait(closed.get_future());
    }
    // Reads and writes, flushes, discards.
    void exercise(BlockEngine& engine, bool discard_zeroes) {
        EXPECT_EQ(run(engine, BlockIo::Kind::kWrite, 4096, 8192, filled(0x21)), 0);
        EXPECT_EQ(run(engine, BlockIo::Kind::kFlush, 0, 0), 0);
        EXPECT_EQ(run(engine, BlockIo::Kind::kRead, 0, 16384, filled(0xFF)), 0);
        EXPECT_EQ(memory[0], std::byte{0});
        EXPECT_EQ(memory[4096], std::byte{0x21});
        EXPECT_EQ(memory[12287], std::byte{0x21});
        EXPECT_EQ(memory[12288], std::byte{0});
        EXPECT_EQ(run(engine, BlockIo::Kind::kDiscard, 4096, 4096), 0);
        EXPECT_EQ(run(engine, BlockIo::Kind::kRead, 4096, 8192, filled(0xFF)), 0);
        if (discard_zeroes) {
            EXPECT_EQ(memory[0], std::byte{0});
        }
        EXPECT_EQ(memory[4096], std::byte{0x21});
    }
    std::byte* filled(int value) {
        std::memset(memory, value, sizeof(memory));
        return memory;
    }

    TemporaryFolder folder;
    UringLoop loop;
    alignas(4096) std::byte memory[1 << 16] = {};

private:
    std::thread thread_;
};

TEST_F(Engines, AFileDirectlyAndThroughTheCache) {
    for (const bool direct : {false, true}) {
        const std::string path = make_file(1 << 20);
        std::filesystem::resize_file(path, 0);
        std::filesystem::resize_file(path, 1 << 20);
        FileEngine engine(loop, {.path = path, .direct = direct});
        const auto opened = open(engine);
        ASSERT_TRUE(opened.geometry) << opened.problem;
        EXPECT_EQ(opened.geometry->bytes, 1u << 20);
        EXPECT_TRUE(opened.geometry->can_discard);
        exercise(engine, true);
        EXPECT_EQ(run(engine, BlockIo::Kind::kRead, 1 << 20, 4096, memory), EIO) << "beyond the end";
        close(engine);
    }
}

TEST_F(Engines, AFileThatGrowsIsMeasured) {
    const std::string path = make_file(1 << 20);
    FileEngine engine(loop, {.path = path});
    ASSERT_TRUE(open(engine).geometry);
    std::filesystem::resize_file(path, 2 << 20);
    std::promise<std::optional<uint64_t>> size;
    loop.post([&] { engine.measure([&](auto bytes) { size.set_value(bytes); }); });
    EXPECT_EQ(wait(size.get_future()), 2u << 20);
    close(engine);
}

TEST_F(Engines, AWriterExcludesAndReadersShare) {
    const std::string path = make_file(1 << 20);
    {
        FileEngine writer(loop, {.path = path});
        ASSERT_TRUE(open(writer).geometry);
        FileEngine second(loop, {.path = path});
        const auto refused = open(second);
        EXPECT_FALSE(refused.geometry);
        EXPECT_NE(refused.problem.find("in use"), std::string::npos);
        FileEngine reader(loop, {.path = path, .read_only = true});
        EXPECT_FALSE(open(reader).geometry);
    }
    FileEngine one(loop, {.path = path, .read_only = true});
    FileEngine two(loop, {.path = path, .read_only = true});
    ASSERT_TRUE(open(one).geometry);
    EXPECT_TRUE(open(two).geometry->read_only);
    FileEngine writer(loop, {.path = path});
    EXPECT_FALSE(open(writer).geometry);
}

// A file as a block device, which the kernel makes for root.
class LoopDevice {
public:
    explicit LoopDevice(const std::string& file) {
        const FileDescriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
        const int number = control.valid() ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
        if (number < 0) return;
        path_ = "/dev/loop" + std::to_string(number);
        device_ = FileDescriptor(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
        const FileDescriptor backing(::open(file.c_str(), O_RDWR | O_CLOEXEC));
        if (::ioctl(device_.get(), LOOP_SET_FD, backing.get()) != 0) device_.reset();
    }
    ~LoopDevice() {
        if (device_.valid()) ::ioctl(device_.get(), LOOP_CLR_FD);
    }
    bool valid() const { return device_.valid(); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
    FileDescriptor device_;
};

TEST_F(Engines, ABlockDeviceThatTheMachineItselfUsesIsNotWritten) {
    const LoopDevice device(make_file(1 << 20));
    if (!device.valid()) GTEST_SKIP() << "no loop device can be made here";
    // As a mount does.
    const auto claim = [&] { return FileDescriptor(::open(device.path().c_str(), O_RDONLY | O_EXCL)); };
    FileDescriptor claimed = claim();
    ASSERT_TRUE(claimed.valid());
    FileEngine writer(loop, {.path = device.path()});
    const auto refused = open(writer);
    EXPECT_FALSE(refused.geometry);
    EXPECT_NE(refused.problem.find("this machine itself uses"), std::string::npos) << refused.problem;
    auto late = std::async(std::launch::async, [&] { return open(writer, std::nullopt); });
    EXPECT_EQ(late.wait_for(50ms), std::future_status::timeout);
    claimed.reset();
    EXPECT_TRUE(wait(std::move(late)).geometry);
    EXPECT_FALSE(claim().valid()) << "a guest's disk could be mounted";
    exercise(writer, true);
}

TEST_F(Engines, ABlockDeviceThatIsMountedMayBeRead) {
    const LoopDevice device(make_file(1 << 20));
    if (!device.valid()) GTEST_SKIP() << "no loop device can be made here";
    const FileDescriptor claimed(::open(device.path().c_str(), O_RDONLY | O_EXCL));
    ASSERT_TRUE(claimed.valid());
    FileEngine one(loop, {.path = device.path(), .read_only = true});
    FileEngine two(loop, {.path = device.path(), .read_only = true});
    EXPECT_TRUE(open(one).geometry);
    EXPECT_TRUE(open(two).geometry);
}

// What takeover rests on: the lock of a process that is gone lives as long as its requests.
TEST_F(Engines, TheLockOutlivesItsProcessWhileARequestIsUnderWay) {
    const std::string path = make_file(1 << 20);
    FileDescriptor file(::open(path.c_str(), O_RDWR));
    ASSERT_EQ(::flock(file.get(), LOCK_EX | LOCK_NB), 0);
    // A second holder of the open file, as a request in the kernel is, while the first has closed its number.
    FileDescriptor held(::dup(file.get()));
    file.reset();
    FileEngine engine(loop, {.path = path});
    EXPECT_FALSE(open(engine).geometry);
    auto late = std::async(std::launch::async, [&] { return open(engine, std::nullopt); });
    EXPECT_EQ(late.wait_for(50ms), std::future_status::timeout);
    held.reset();
    EXPECT_TRUE(wait(std::move(late)).geometry);
}

TEST_F(Engines, WhatIsNoImageIsRefused) {
    EXPECT_THROW(FileEngine(loop, {.path = folder.file("none")}), Failure);
    EXPECT_THROW(FileEngine(loop, {.path = "/dev/zero"}), Failure);
    EXPECT_THROW(FileEngine(loop, {.path = "/tmp"}), Failure);
    ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
    EXPECT_THROW(FileEngine(loop, {.path = folder.file("pipe")}), Failure);
}

// qemu-nbd over a qcow2 image.
class Nbd : public Engines {
protected:
    void serve(const std::string& options = "") {
        const std::string image = folder.file("image.qcow2");
        if (!std::filesystem::exists(image)) {
            ASSERT_EQ(std::system(("qemu-img create -q -f qcow2 " + image + " 1M").c_str()), 0);
        }
        server_ = ::fork();
        if (server_ == 0) {
            const std::string command = "exec qemu-nbd --persistent --discard=unmap --socket=" + socket() +
                                        " " + options + " -f qcow2 " + image;
            ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
            ::_exit(1);
        }
    }
    void stop() {
        if (server_ <= 0) return;
        ::kill(server_, SIGKILL);
        ::waitpid(server_, nullptr, 0);
        server_ = 0;
    }
    ~Nbd() override { stop(); }
    std::string socket() { return folder.file("socket"); }
    std::string uri() { return "nbd+unix:///?socket=" + socket(); }

private:
    pid_t server_ = 0;
};

TEST_F(Nbd, ReadsWritesFlushesAndTrims) {
    serve();
    NbdEngine engine(loop, {.uri = uri()});
    const auto opened = open(engine, 20s);
    ASSERT_TRUE(opened.geometry) << opened.problem;
    EXPECT_EQ(opened.geometry->bytes, 1u << 20);
    EXPECT_TRUE(opened.geometry->can_discard);
    // qcow2 gives up whole clusters only.
    exercise(engine, false);
    EXPECT_NE(run(engine, BlockIo::Kind::kRead, 1 << 20, 4096, memory), 0);
    close(engine);
}

TEST(NbdLibrary, AMachineWithoutItIsToldHowToGetIt) {
    for (const char* file : {"libnbd-that-is-not-there.so", "libc.so.6"}) {
        try {
            NbdLibrary::load(file);
            ADD_FAILURE() << file;
        } catch (const Failure& failure) {
            EXPECT_NE(std::string(failure.what()).find("apt-get install libnbd0"), std::string::npos)
                << failure.what();
        }
    }
}

TEST_F(Nbd, TheServerTakesTheNextClientWhenTheLastHasGone) {
    serve();
    auto first = std::make_unique<NbdEngine>(loop, NbdImage{.uri = uri()});
    ASSERT_TRUE(open(*first, 20s).geometry);
    NbdEngine second(loop, {.uri = uri()});
    EXPECT_FALSE(open(second, 300ms).geometry) << "both use the image";
    close(second);
    NbdEngine third(loop, {.uri = uri()});
    auto late = std::async(std::launch::async, [&] { return open(third, std::nullopt); });
    EXPECT_EQ(late.wait_for(300ms), std::future_status::timeout);
    close(*first);
    first.reset();
    EXPECT_TRUE(wait(std::move(late)).geometry);
    close(third);
}

TEST_F(Nbd, ALostServerFailsRequestsAndNothingElse) {
    serve();
    NbdEngine engine(loop, {.uri = uri()});
    ASSERT_TRUE(open(engine, 20s).geometry);
    stop();
    EXPECT_EQ(run(engine, BlockIo::Kind::kRead, 0, 4096, memory), EIO);
    EXPECT_EQ(run(engine, BlockIo::Kind::kFlush, 0, 0), EIO);
    EXPECT_EQ(run(engine, BlockIo::Kind::kDiscard, 0, 4096), EIO);
    close(engine);
}

TEST_F(Nbd, NoServerAndOneThatOffersLess) {
    NbdEngine none(loop, {.uri = uri()});
    const auto missing = open(none, 120ms);
    EXPECT_FALSE(missing.geometry);
    EXPECT_NE(missing.problem.find("No such file"), std::string::npos) << missing.problem;
    EXPECT_EQ(missing.problem.find("nbd_"), std::string::npos) << missing.problem;
    close(none);
    NbdEngine nonsense(loop, {.uri = "nonsense"});
    EXPECT_FALSE(open(nonsense, 1ms).geometry);
    close(nonsense);
    serve("--read-only");
    NbdEngine writer(loop, {.uri = uri()});
    const auto refused = open(writer, 20s);
    EXPECT_NE(refused.problem.find("read-only"), std::string::npos) << refused.problem;
    close(writer);
}

}  // namespace
}  // namespace torii::backend::test
