// The service in a process of its own, killed with SIGKILL wherever it happens to be. Named fail points can
// only show the steps that somebody thought of.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr DomId kGuest{5};

class SharedChannel : public RingChannel {
public:
    explicit SharedChannel(void* page) : page_(page) {}
    void* page() noexcept override { return page_; }
    void notify() noexcept override {}

private:
    void* page_;
};

// The daemon's life: never returns.
[[noreturn]] void serve(void* page, const std::filesystem::path& directory) {
    boost::asio::io_context io;
    Options options;
    options.state_directory = directory;
    options.boot_id = "boot";
    Service service(io, options);
    if (service.restored_domains().empty()) {
        service.client().transaction([](LocalAccess& store) {
            store.write("/local/domain/5", "");
            store.set_permissions("/local/domain/5", {{kGuest, Access::kNone}});
        });
        service.introduce(kGuest, {}, std::make_unique<SharedChannel>(page));
    } else {
        service.resume(kGuest, std::make_unique<SharedChannel>(page));
    }
    while (true) {
        service.ring_signalled(kGuest);
        io.restart();
        io.poll();
        std::this_thread::yield();
    }
}

class KilledProcess : public ::testing::Test {
protected:
    KilledProcess()
        : page_(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
    ~KilledProcess() override {
        end_daemon();
        ::munmap(page_, 4096);
    }

    abi::XenstoreRing& ring() { return *static_cast<abi::XenstoreRing*>(page_); }
    static std::uint32_t see(std::uint32_t& index) { return std::atomic_ref(index).load(); }

    void start_daemon() {
        daemon_ = ::fork();
        ASSERT_GE(daemon_, 0);
        if (daemon_ == 0) {
            try {
                serve(page_, directory_.path() / "state");
            } catch (...) {
                ::_exit(3);
            }
        }
        next_kill_ = Clock::now() + std::chrono::microseconds(random_() % 30'000);
    }
    void end_daemon() {
        if (daemon_ <= 0) return;
        ::kill(daemon_, SIGKILL);
        ::waitpid(daemon_, nullptr, 0);
        daemon_ = -1;
    }
    // Something the guest does while it waits; the daemon dies when its time has come.
    void wait() {
        if (killing_ && Clock::now() >= next_kill_) {
            end_daemon();
            ++kills_;
            start_daemon();
        }
        std::this_thread::yield();
    }

    std::string ask(Type type, std::string_view payload) {
        const std::string message = encode_message(type, ++request_, 0, payload);
        const auto deadline = Clock::now() + std::chrono::seconds(30);
        for (std::size_t sent = 0; sent != message.size() && Clock::now() < deadline;) {
            if (ring().req_prod - see(ring().req_cons) == abi::kXenstoreRingSize) {
                wait();
                continue;
            }
            ring().req[ring().req_prod % abi::kXenstoreRingSize] = static_cast<std::uint8_t>(message[sent++]);
            std::atomic_ref(ring().req_prod).store(ring().req_prod + 1);
        }
        while (answers_.empty() && Clock::now() < deadline) {
            wait();
            pull();
        }
        if (answers_.empty()) return "no answer";
        const Message answer = answers_.front();
        answers_.pop_front();
        EXPECT_EQ(answer.header.req_id, request_);
        return with_bars(answer.payload);
    }
    void pull() {
        while (ring().rsp_cons != see(ring().rsp_prod)) {
            const char byte = static_cast<char>(ring().rsp[ring().rsp_cons % abi::kXenstoreRingSize]);
            std::atomic_ref(ring().rsp_cons).store(ring().rsp_cons + 1);
            assembler_.add(std::string_view(&byte, 1));
            if (!assembler_.complete()) continue;
            const Message message = assembler_.take();
            const bool is_event = message.header.type == static_cast<std::uint32_t>(Type::kWatchEvent);
            (is_event ? events_ : answers_).push_back(message);
        }
    }

    TemporaryDirectory directory_;
    void* page_;
    pid_t daemon_ = -1;
    bool killing_ = true;
    unsigned kills_ = 0;
    Clock::time_point next_kill_;
    std::mt19937 random_{2026};
    std::uint32_t request_ = 0;
    MessageAssembler assembler_;
    std::deque<Message> answers_;
    std::deque<Message> events_;
};

TEST_F(KilledProcess, EachRequestIsDoneAndAnsweredOnce) {
    start_daemon();
    ASSERT_EQ(ask(Type::kWatch, zero_terminated("n|t")), "OK");
    const auto end = Clock::now() + std::chrono::seconds(60);
    unsigned rounds = 0;
    for (; kills_ < 50 && Clock::now() < end; ++rounds) {
        const std::string number = std::to_string(rounds % 300);
        const std::string value(1 + random_() % 1900, static_cast<char>('a' + rounds % 26));
        ASSERT_EQ(ask(Type::kWrite, "n/" + number + '\0' + value), "OK");
        ASSERT_EQ(ask(Type::kRead, zero_terminated("n/" + number)), value);
        // Done twice, these two would be refused the second time.
        ASSERT_EQ(ask(Type::kWatch, zero_terminated("once|" + number)), "OK");
        ASSERT_EQ(ask(Type::kUnwatch, zero_terminated("once|" + number)), "OK");
    }
    killing_ = false;
    ASSERT_EQ(ask(Type::kUnwatch, zero_terminated("n|t")), "OK");
    EXPECT_TRUE(answers_.empty());
    // The first event of "n", one for each write, and the first of each "once".
    EXPECT_EQ(events_.size(), 1u + 2u * rounds);
    EXPECT_GE(kills_, 10u);
    RecordProperty("kills", static_cast<int>(kills_));
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
