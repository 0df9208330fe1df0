#include "core/console/console.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/console/guest_lines.h"
#include "core/console/log_ring.h"
#include "core/console/rate_limit.h"

namespace torii::test {
namespace {

std::string read(const LogRing& ring, uint32_t& position, size_t most = 1 << 20) {
    std::string text(most, '\0');
    text.resize(ring.read(position, std::span<char>(text.data(), text.size())));
    return text;
}

TEST(LogRingTest, KeepsTheNewestBytesAcrossTheWrap) {
    static LogRing ring;
    std::string all;
    for (int i = 0; i < 5000; ++i) {
        const std::string line = "line " + std::to_string(i) + "\n";
        ring.append(line);
        all += line;
    }
    uint32_t position = 0;
    EXPECT_EQ(read(ring, position), all.substr(all.size() - kLogRingBytes));
    EXPECT_EQ(position, ring.end());
    ring.append("more");
    EXPECT_EQ(read(ring, position, 2), "mo");
    EXPECT_EQ(read(ring, position), "re");
    ring.forget_until(position);
    position = 0;
    EXPECT_EQ(read(ring, position), "");
    ring.append(std::string(kLogRingBytes + 3, 'x'));
    EXPECT_EQ(read(ring, position).size(), kLogRingBytes);
}

TEST(LogRingTest, ASillyPositionReadsFromTheBeginning) {
    static LogRing ring;
    ring.append("abc");
    uint32_t position = 0xfffffff0;
    EXPECT_EQ(read(ring, position), "abc");
    position = 100;
    EXPECT_EQ(read(ring, position), "abc");
}

TEST(RateLimitTest, ABurstThenOneEachHalfSecond) {
    RateLimit limit;
    for (uint64_t i = 0; i < RateLimit::kBurst; ++i)
        EXPECT_TRUE(limit.allow(0));
    EXPECT_FALSE(limit.allow(0));
    EXPECT_FALSE(limit.allow(RateLimit::kRefill - 1));
    EXPECT_EQ(limit.left_out(), 2u);
    EXPECT_TRUE(limit.allow(RateLimit::kRefill));
    EXPECT_FALSE(limit.allow(RateLimit::kRefill));
    uint64_t allowed = 0;
    while (limit.allow(RateLimit::kRefill * 1000))
        ++allowed;
    EXPECT_EQ(allowed, RateLimit::kBurst);
}

class GuestLinesTest : public ::testing::Test {
protected:
    void write(uint16_t domain, std::string_view text) {
        lines_.write(DomId(domain), text, [this](DomId whose, std::string_view line) {
            shown_.push_back(std::to_string(whose.raw()) + ":" + std::string(line));
        });
    }
    GuestLines lines_;
    std::vector<std::string> shown_;
};

TEST_F(GuestLinesTest, LinesOfTwoGuestsDontMix) {
    write(1, "hel");
    write(2, "wor");
    write(1, "lo\nnext");
    write(2, "ld\n");
    EXPECT_EQ(shown_, (std::vector<std::string>{"1:hello", "2:world"}));
}

TEST_F(GuestLinesTest, NoEscapeSequenceReachesTheTerminal) {
    write(3, "\x1b[2Jred\r\x07\t\xff!\n");
    EXPECT_EQ(shown_, (std::vector<std::string>{"3:[2Jred\t!"}));
}

TEST_F(GuestLinesTest, LongLinesAreCut) {
    write(1, std::string(GuestLines::kLongest + 5, 'y') + "\n");
    ASSERT_EQ(shown_.size(), 2u);
    EXPECT_EQ(shown_[0].size(), GuestLines::kLongest + 2);
    EXPECT_EQ(shown_[1], "1:yyyyy");
}

TEST_F(GuestLinesTest, WhoWaitsLongestGivesWay) {
    for (uint16_t i = 1; i <= GuestLines::kBuffers; ++i)
        write(i, "a");
    write(1, "b");
    write(100, "new\n");
    EXPECT_EQ(shown_, (std::vector<std::string>{"2:a", "100:new"}));
}

TEST(ConsoleTest, ThresholdWords) {
    LogThreshold threshold = LogThreshold::kNone;
    EXPECT_TRUE(parse_log_threshold("warning", threshold));
    EXPECT_EQ(threshold, LogThreshold::kWarnings);
    EXPECT_TRUE(parse_log_threshold("error/all", threshold));
    EXPECT_EQ(threshold, LogThreshold::kAll);
    EXPECT_FALSE(parse_log_threshold("loud", threshold));
}

TEST(ConsoleTest, InputThatNobodyReadsIsDroppedAtTheEnd) {
    EXPECT_TRUE(console_push_input('a'));
    EXPECT_FALSE(console_push_input('b'));
    for (int i = 0; i < 5000; ++i)
        (void)console_push_input('c');
    std::vector<char> out(5000);
    const size_t size = console_take_input(out);
    EXPECT_EQ(size, 1024u);
    EXPECT_EQ(out[0], 'a');
    EXPECT_EQ(console_take_input(out), 0u);
}

}  // namespace
}  // namespace torii::test
