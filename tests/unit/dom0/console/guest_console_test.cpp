// A guest's console over a ring in memory; a killed daemon is an exception at a fail point and a new object.

#include "console/guest_console.h"

#include <gtest/gtest.h>
#include <torii/ring/byte_ring.h>

#include <cstring>
#include <fstream>
#include <random>

#include "unit/dom0/kit/kernel_file.h"

namespace torii::dom0 {
namespace {

struct Killed {};

class Console : public ::testing::Test {
protected:
    std::unique_ptr<ConsoleLog> make_log(bool fresh) {
        ConsoleLogOptions options;
        options.file = folder_.file("g.log");
        options.position_file = folder_.file("g.console");
        options.limit_bytes = limit_;
        options.fresh = fresh;
        return std::make_unique<ConsoleLog>(options);
    }
    GuestConsole::Wiring wiring() {
        GuestConsole::Wiring wiring;
        wiring.ring = &ring_;
        wiring.notify = [this] { notified_++; };
        wiring.call_again = [this] { again_++; };
        wiring.fail_point = [this](std::string_view step) {
            if (step == fail_at_) throw Killed();
        };
        wiring.name = "g";
        wiring.broken = [this] { broken_++; };
        return wiring;
    }
    void start(bool fresh) { console_ = std::make_unique<GuestConsole>(wiring(), make_log(fresh)); }

    // The guest's side.
    size_t guest_writes(const std::string& text) {
        ring::ByteRingWriter out({ring_.out, abi::kConsoleOutSize, &ring_.out_cons, &ring_.out_prod});
        return out.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    }
    std::string guest_reads() {
        ring::ByteRingReader in({ring_.in, abi::kConsoleInSize, &ring_.in_cons, &ring_.in_prod});
        uint8_t buffer[abi::kConsoleInSize];
        const uint32_t count = in.read(buffer);
        return std::string(buffer, buffer + count);
    }
    std::string logged() { return read_console_log(folder_.file("g.log"), 1 << 24); }

    test::TemporaryFolder folder_;
    abi::ConsoleRing ring_{};
    uint64_t limit_ = 1 << 20;
    int notified_ = 0;
    int again_ = 0;
    int broken_ = 0;
    std::string_view fail_at_;
    std::unique_ptr<GuestConsole> console_;
};

TEST_F(Console, OutputGoesToLogAndReaders) {
    start(true);
    std::string seen;
    const auto id = console_->add_reader([&](auto bytes) { seen.append(bytes.begin(), bytes.end()); });
    guest_writes("hello\n");
    console_->service();
    EXPECT_EQ(seen, "hello\n");
    EXPECT_EQ(logged(), "hello\n");
    EXPECT_GE(notified_, 1);
    EXPECT_EQ(ring_.out_cons, ring_.out_prod);
    console_->remove_reader(id);
    guest_writes("again\n");
    console_->service();
    EXPECT_EQ(seen, "hello\n");
    EXPECT_EQ(logged(), "hello\nagain\n");
}

TEST_F(Console, InputWaitsForRoom) {
    start(true);
    const std::string text(5000, 'i');
    EXPECT_EQ(console_->send_input({reinterpret_cast<const uint8_t*>(text.data()), text.size()}), 5000u);
    std::string got = guest_reads();
    EXPECT_EQ(got.size(), abi::kConsoleInSize);
    while (got.size() < text.size()) {
        console_->service();
        const std::string piece = guest_reads();
        ASSERT_FALSE(piece.empty());
        got += piece;
    }
    EXPECT_EQ(got, text);
    // What waits is bounded.
    const std::string flood(200000, 'f');
    EXPECT_LE(console_->send_input({reinterpret_cast<const uint8_t*>(flood.data()), flood.size()}), 65536u);
}

TEST_F(Console, ImpossibleIndicesAreIgnoredUntilRepaired) {
    start(true);
    ring_.out_prod = 0x80000000;
    ring_.in_cons = 77;
    console_->service();
    console_->service();
    EXPECT_EQ(broken_, 1);
    const uint8_t byte = 'x';
    console_->send_input({&byte, 1});
    EXPECT_EQ(logged(), "");
    ring_ = {};
    guest_writes("sane\n");
    console_->service();
    EXPECT_EQ(logged(), "sane\n");
}

TEST_F(Console, RestartAtEachStepLosesAndDoublesNothing) {
    std::mt19937 random(7);
    start(true);
    std::string written;
    const std::string_view steps[] = {"console.read", "console.logged", "console.consumed", ""};
    for (int round = 0; round < 400; round++) {
        std::string text = "line " + std::to_string(round) + " " + std::string(random() % 700, '.') + "\n";
        text.resize(guest_writes(text));
        written += text;
        fail_at_ = steps[random() % 4];
        try {
            console_->service();
        } catch (const Killed&) {
            fail_at_ = "";
            console_.reset();
            start(false);
            console_->service();
        }
    }
    fail_at_ = "";
    console_->drain();
    EXPECT_EQ(logged(), written);
}

TEST_F(Console, RotationKeepsTheNewestAcrossRestarts) {
    limit_ = 4096;
    start(true);
    std::string written;
    for (int round = 0; round < 200; round++) {
        const std::string text = "line " + std::to_string(round) + "\n" + std::string(90, '-') + "\n";
        ASSERT_EQ(guest_writes(text), text.size());
        written += text;
        console_->service();
        if (round % 7 == 0) {
            console_.reset();
            start(false);
        }
    }
    const std::string kept = logged();
    EXPECT_GE(kept.size(), 4096u);
    EXPECT_LE(kept.size(), 2 * 4096u);
    EXPECT_TRUE(written.ends_with(kept));
    EXPECT_EQ(console_->log().total(), written.size());
}

TEST_F(Console, ANewGuestOfTheSameNameStartsAFreshLog) {
    start(true);
    guest_writes("first guest\n");
    console_->service();
    console_.reset();
    ring_ = {};
    start(true);
    guest_writes("second guest\n");
    console_->service();
    std::ifstream file(folder_.file("g.log"));
    std::string line;
    std::getline(file, line);
    EXPECT_EQ(line, "second guest");
    EXPECT_EQ(console_->log().total(), 13u);
}

TEST_F(Console, RemovedLogsDoNoHarm) {
    start(true);
    guest_writes("lost to somebody's rm\n");
    console_->service();
    console_.reset();
    std::filesystem::remove(folder_.file("g.log"));
    start(false);
    // The new file may have the old one's inode number: then the position is wrong, and must do no harm.
    guest_writes("more\n");
    console_->service();
    EXPECT_EQ(logged(), "more\n");
}

TEST_F(Console, RenamedLogGoesOn) {
    start(true);
    guest_writes("before\n");
    console_->service();
    console_->log().move_to(folder_.file("other.log"));
    guest_writes("after\n");
    console_->service();
    EXPECT_EQ(read_console_log(folder_.file("other.log"), 1000), "before\nafter\n");
    EXPECT_EQ(console_->log().tail(6), "after\n");
}

TEST_F(Console, AFloodIsServedInTurns) {
    start(true);
    int rounds = 0;
    console_->add_reader([&](auto) {
        if (rounds++ < 100) guest_writes("flood\n");  // more as soon as it is read
    });
    guest_writes("flood\n");
    console_->service();
    EXPECT_LE(rounds, 10);
    EXPECT_EQ(again_, 1);
}

}  // namespace
}  // namespace torii::dom0
