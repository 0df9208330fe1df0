// The state directory has no space left: nothing may be shown to anybody that would be forgotten after a
// kill.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

// Files cannot grow beyond a size while this lives; stands for a full tmpfs.
class FullFileSystem {
public:
    explicit FullFileSystem(rlim_t largest_file) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &old_limit_);
        const rlimit limit{largest_file, old_limit_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FullFileSystem() {
        ::setrlimit(RLIMIT_FSIZE, &old_limit_);
        std::signal(SIGXFSZ, old_handler_);
    }
    FullFileSystem(const FullFileSystem&) = delete;
    FullFileSystem& operator=(const FullFileSystem&) = delete;

private:
    rlimit old_limit_{};
    void (*old_handler_)(int);
};

class StallTest : public ::testing::Test {
protected:
    static constexpr rlim_t kOneStep = 256 * 1024;  // what a new journal reserves

    static World::Setup setup() {
        World::Setup setup;
        setup.persistent = true;
        return setup;
    }
    // Writes different nodes until one is not answered; its number.
    unsigned write_until_stalled() {
        for (unsigned i = 0; i != 1000; ++i) {
            guest.send(Type::kWrite, "n" + std::to_string(i) + '\0' + std::string(1500, 'x'), 0, i);
            world.run();
            const auto answer = guest.next_answer();
            if (!answer) return i;
            EXPECT_EQ(with_bars(answer->payload), "OK");
        }
        ADD_FAILURE() << "the journal never was full";
        return 0;
    }
    // Long enough for the service to look again.
    std::optional<Message> wait_for_answer() {
        for (int i = 0; i != 100; ++i) {
            world.run();
            if (auto answer = guest.next_answer()) return answer;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        return std::nullopt;
    }

    World world{setup()};
    Guest& guest = world.add_guest(5);
};

TEST_F(StallTest, GoesOnWhenThereIsSpace) {
    unsigned last = 0;
    {
        const FullFileSystem full(kOneStep);
        last = write_until_stalled();
        const std::uint32_t consumed = guest.page().ring().req_cons;
        for (int i = 0; i != 10; ++i)
            world.run();
        EXPECT_EQ(guest.page().ring().req_cons, consumed);
        EXPECT_FALSE(guest.next_answer());
        EXPECT_THROW(world.client().write("/x", "1"), StoreFailure);
    }
    const auto answer = wait_for_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->header.req_id, last);
    EXPECT_EQ(with_bars(answer->payload), "OK");
    EXPECT_FALSE(guest.next_answer());
    EXPECT_EQ(guest.read("n" + std::to_string(last)), std::string(1500, 'x'));
    world.restart();
    EXPECT_EQ(guest.read("n" + std::to_string(last)), std::string(1500, 'x'));
    EXPECT_EQ(world.client().read("/x"), "1") << "said to be refused for now; it happened when it could";
}

TEST_F(StallTest, KilledWhileStalledDoesTheRequestOnce) {
    unsigned last = 0;
    {
        const FullFileSystem full(kOneStep);
        last = write_until_stalled();
        world.kill();
    }
    world.start();
    const auto answer = wait_for_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->header.req_id, last);
    EXPECT_FALSE(guest.next_answer());
    EXPECT_EQ(guest.read("n" + std::to_string(last)), std::string(1500, 'x'));
}

TEST_F(StallTest, SaysWhatToDo) {
    const FullFileSystem full(kOneStep);
    write_until_stalled();
    ASSERT_FALSE(world.log_lines.empty());
    EXPECT_NE(world.log_lines.back().find("no space left in"), std::string::npos);
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
