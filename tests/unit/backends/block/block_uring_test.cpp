// A whole device over io_uring and a real file: data, and what a request costs in system calls.

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "common/uring_loop.h"
#include "unit/backends/block/block_world.h"

namespace torii::backend::test {
namespace {

using guest::BlockPiece;
using namespace std::chrono_literals;

class UringThread final : public DeviceThread {
public:
    explicit UringThread(FakeGuest& guest)
        : guest_(guest), channels_([this](auto action) { loop_.post(action); }) {
        channels_.add_guest(guest);
    }
    UringLoop& loop() override { return loop_; }
    FakeEventChannels& event_channels() override { return channels_; }
    std::unique_ptr<GuestMemory> open_memory(DomId) override {
        return std::make_unique<FakeGuestMemory>(guest_);
    }

private:
    FakeGuest& guest_;
    UringLoop loop_;
    FakeEventChannels channels_;
};

// Guest, store and device all live on the loop's thread.
class OverUring : public testing::Test {
protected:
    void start(bool persistent) {
        const std::string path = folder_.file("image");
        std::ofstream(path).close();
        std::filesystem::resize_file(path, 1 << 20);
        thread_ = std::thread([this] { shared_->loop().run(); });
        on_loop([&] {
            BlockConfig config;
            config.guest = fake_.id();
            config.backend_path = kBackend;
            config.frontend_path = kFrontend;
            config.state_file = folder_.file("state");
            BlockDevice::Events events;
            events.state_changed = [this](BlockState state) { states_.push_back(state); };
            events.closed = [this](const std::string&) { gone_.set_value(); };
            auto engine = std::make_unique<FileEngine>(shared_->loop(), FileImage{.path = path});
            device_ = std::make_unique<BlockDevice>(
                config, shared_, std::move(engine), store_,
                [this](auto action) { shared_->loop().post(action); }, events);
            guest_.set_state(1);
        });
        until([this] { return store_.get(std::string(kBackend) + "/state") == "2"; });
        on_loop([&] { guest_.publish(1, 0, persistent); });
        until([this] { return store_.get(std::string(kBackend) + "/state") == "4"; });
        for (unsigned i = 0; i < 32; ++i)
            pages_.push_back(guest_.page());
    }
    ~OverUring() override {
        on_loop([this] { device_->close(true); });
        EXPECT_EQ(gone_.get_future().wait_for(30s), std::future_status::ready);
        on_loop([this] { EXPECT_EQ(fake_.mapped(), 0u); });
        shared_->loop().stop();
        thread_.join();
        device_.reset();
    }

    void on_loop(const std::function<void()>& action) {
        std::promise<void> done;
        shared_->loop().post([&] {
            action();
            done.set_value();
        });
        done.get_future().wait();
    }
    void until(const std::function<bool()>& condition) {
        for (unsigned i = 0; i < 10'000; ++i) {
            bool holds = false;
            on_loop([&] {
                store_.run();
                holds = condition();
            });
            if (holds) return;
            std::this_thread::sleep_for(1ms);
        }
        FAIL() << "it never comes so far";
    }

    // Keeps `depth` requests under way until `count` have ended; returns io_uring_enter calls per request.
    double cost(unsigned depth, unsigned count) {
        std::promise<void> done;
        unsigned asked = 0;
        unsigned ended = 0;
        const auto ask = [&] {
            while (asked < count && guest_.front().outstanding() < depth) {
                const unsigned slot = asked % 32;
                const BlockPiece piece{pages_[slot].gref.raw(), 0, 7};
                const uint64_t sector = slot * 8;
                ASSERT_TRUE(asked % 64 < 32 ? guest_.front().write(sector, {&piece, 1}, slot)
                                            : guest_.front().read(sector, {&piece, 1}, slot));
                ++asked;
            }
            guest_.kick();
        };
        const auto pump = [&] {
            do {
                while (const auto answer = guest_.front().next()) {
                    EXPECT_EQ(answer->status, abi::BlockStatus::kOkay);
                    ++ended;
                }
            } while (guest_.front().enable_events());
            if (ended == count) return done.set_value();
            ask();
        };
        on_loop([&] { fake_.on_signal = [&](Port) { shared_->loop().post(pump); }; });
        const uint64_t before = shared_->loop().enters();
        on_loop(ask);
        EXPECT_EQ(done.get_future().wait_for(60s), std::future_status::ready);
        const uint64_t after = shared_->loop().enters();
        on_loop([&] { fake_.on_signal = nullptr; });
        return static_cast<double>(after - before) / count;
    }

    TemporaryFolder folder_;
    FakeGuest fake_{DomId(5), 1024};
    FakeStore store_;
    Guest guest_{fake_, store_};
    std::shared_ptr<UringThread> shared_ = std::make_shared<UringThread>(fake_);
    std::thread thread_;
    std::unique_ptr<BlockDevice> device_;
    std::vector<BlockState> states_;
    std::promise<void> gone_;
    std::vector<Guest::Page> pages_;
};

TEST_F(OverUring, CopiedRequestsAreFewSystemCalls) {
    start(false);
    const double alone = cost(1, 500);
    const double together = cost(32, 3200);
    RecordProperty("enters_alone", std::to_string(alone));
    std::printf("io_uring_enter per request: %.2f alone, %.2f of 32 together\n", alone, together);
    // Asking and being told; waiting for the next event is a part of the latter.
    EXPECT_LT(alone, 2.1);
    EXPECT_LT(together, 0.5);
}

TEST_F(OverUring, MappedRequestsReadAndWriteTheGuestsPages) {
    start(true);
    for (unsigned i = 0; i < 32; ++i)
        std::memset(guest_.bytes(pages_[i]), static_cast<int>(i + 1), kGuestPageSize);
    // Writes alone: a read into a page that is being written from would be the guest's own mistake.
    EXPECT_LT(cost(32, 32), 2.0);
    for (unsigned i = 0; i < 32; ++i) {
        char byte = 0;
        std::ifstream file(folder_.file("image"), std::ios::binary);
        file.seekg(i * 4096 + 100).get(byte);
        EXPECT_EQ(byte, static_cast<char>(i + 1));
    }
}

TEST_F(OverUring, AnImageThatGrowsIsALargerDisk) {
    start(true);
    const std::string sectors = std::string(kBackend) + "/sectors";
    on_loop([&] { EXPECT_EQ(store_.get(sectors), "2048"); });
    std::filesystem::resize_file(folder_.file("image"), 3 << 20);
    std::optional<std::string> told;
    on_loop([&] { device_->resize([&](const std::string& problem) { told = problem; }); });
    until([&] { return told.has_value(); });
    EXPECT_EQ(*told, "");
    on_loop([&] { EXPECT_EQ(store_.get(sectors), "6144"); });
    // A smaller one stays what it is.
    std::filesystem::resize_file(folder_.file("image"), 2 << 20);
    told.reset();
    on_loop([&] { device_->resize([&](const std::string& problem) { told = problem; }); });
    until([&] { return told.has_value(); });
    EXPECT_NE(told->find("2097152 bytes now, the guest's disk 3145728"), std::string::npos) << *told;
    on_loop([&] { EXPECT_EQ(store_.get(sectors), "6144"); });
    std::filesystem::resize_file(folder_.file("image"), 3 << 20);
    on_loop([&] {
        const BlockPiece piece{pages_[0].gref.raw(), 0, 7};
        ASSERT_TRUE(guest_.front().write(6136, {&piece, 1}, 5));
        guest_.kick();
    });
    std::optional<guest::BlockFront::Answer> answer;
    until([&] { return (answer = guest_.front().next()).has_value(); });
    EXPECT_EQ(answer->status, abi::BlockStatus::kOkay);
    on_loop([&] { EXPECT_EQ(device_->geometry()->bytes, 3u << 20); });
}

}  // namespace
}  // namespace torii::backend::test
