#include "core/console/screen.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace torii::test {
namespace {

constexpr unsigned kColumns = 10, kRows = 3;

class TextScreenTest : public ::testing::Test {
protected:
    TextScreenTest() : memory_(kColumns * kRows + 2, 0x1234), cells_(kColumns * kRows) {
        screen_ = Screen::on_text(memory_.data() + 1, kColumns, kRows, cells_);
        screen_.clear();
    }
    ~TextScreenTest() override {
        EXPECT_EQ(memory_.front(), 0x1234);
        EXPECT_EQ(memory_.back(), 0x1234);
    }
    std::string row(unsigned index) {
        std::string text;
        for (unsigned column = 0; column < kColumns; ++column)
            text += static_cast<char>(memory_[1 + index * kColumns + column] & 0xff);
        return text.substr(0, text.find_last_not_of(' ') + 1);
    }

    Screen screen_;
    std::vector<uint16_t> memory_;
    std::vector<char> cells_;
};

TEST_F(TextScreenTest, LinesAndWraps) {
    screen_.write("one\ntwo\r\n0123456789ab");
    EXPECT_EQ(row(0), "two");
    EXPECT_EQ(row(1), "0123456789");
    EXPECT_EQ(row(2), "ab");
    EXPECT_EQ(screen_.column(), 2u);
    EXPECT_EQ(screen_.row(), 2u);
}

TEST_F(TextScreenTest, ALineAsLongAsTheScreenIsFollowedByNoEmptyOne) {
    screen_.write("0123456789\nx");
    EXPECT_EQ(row(1), "x");
}

TEST_F(TextScreenTest, OldLinesLeaveAtTheTop) {
    for (unsigned i = 0; i < 100; ++i)
        screen_.write("line " + std::to_string(i) + "\n");
    EXPECT_EQ(row(0), "line 98");
    EXPECT_EQ(row(1), "line 99");
    EXPECT_EQ(row(2), "");
}

TEST_F(TextScreenTest, HeldItKeepsWhatStandsThere) {
    screen_.write("before\n");
    screen_.clear();
    screen_.hold();
    for (unsigned i = 0; i < 100; ++i)
        screen_.write("line " + std::to_string(i) + "\n");
    EXPECT_EQ(row(0), "line 0");
    EXPECT_EQ(row(2), "line 2");
    screen_.clear();
    screen_.write("again");
    EXPECT_EQ(row(0), "again");
}

TEST_F(TextScreenTest, WhatIsNoCharacterIsAQuestionMark) {
    screen_.write("a\x1b\x80\xff\tz");
    EXPECT_EQ(row(0), "a???    z");
}

TEST_F(TextScreenTest, TabsAtTheEdgeEnd) {
    screen_.write("123456789\t\t\t!");
    screen_.write("\t\t\t\t\t\t\t\t");
}

TEST(ScreenTest, TooFewCellsAreNoScreen) {
    std::vector<uint16_t> memory(100);
    std::vector<char> cells(99);
    Screen none = Screen::on_text(memory.data(), 10, 10, cells);
    EXPECT_FALSE(none.exists());
    none.write("nothing");
    none.clear();
    EXPECT_FALSE(Screen::on_text(memory.data(), 1000, 1, cells).exists());
    EXPECT_FALSE(Screen().exists());
}

// A font in which a character's lines are its own code.
class PixelScreenTest : public ::testing::TestWithParam<uint32_t> {
protected:
    static constexpr unsigned kHeight = 4;
    PixelScreenTest() {
        for (unsigned c = ScreenFont::kFirst; c <= ScreenFont::kLast; ++c)
            lines_.insert(lines_.end(), kHeight, c == ' ' ? uint8_t{0} : static_cast<uint8_t>(c));
        buffer_ = {.bytes_per_line = 33 * GetParam() + 5,
                   .width = 33,
                   .height = 18,
                   .bytes_per_pixel = GetParam(),
                   .lit = GetParam() == 2 ? 0xffff : 0xffffffu};
        memory_.assign(size_t{buffer_.bytes_per_line} * buffer_.height, 0xee);
        buffer_.pixels = memory_.data();
    }
    [[nodiscard]] bool lit(unsigned x, unsigned y) const {
        uint32_t value = 0;
        memcpy(&value, memory_.data() + size_t{y} * buffer_.bytes_per_line + size_t{x} * GetParam(),
               GetParam());
        EXPECT_TRUE(value == 0 || value == buffer_.lit) << x << ", " << y;
        return value != 0;
    }
    [[nodiscard]] char shown(unsigned column, unsigned row) const {
        unsigned code = 0;
        for (unsigned x = 0; x < 8; ++x)
            code = code << 1 | (lit(column * 8 + x, row * kHeight + 1) ? 1 : 0);
        return static_cast<char>(code == 0 ? ' ' : code);
    }

    std::vector<uint8_t> lines_;
    std::vector<unsigned char> memory_;
    PixelBuffer buffer_;
};

TEST_P(PixelScreenTest, DrawsAndScrollsWithinItsPixels) {
    const ScreenFont font{lines_.data(), kHeight};
    EXPECT_EQ(Screen::columns_of(buffer_), 4u);
    EXPECT_EQ(Screen::rows_of(buffer_, font), 4u);
    std::vector<char> cells(16);
    Screen screen = Screen::on_pixels(buffer_, font, cells);
    ASSERT_TRUE(screen.exists());
    screen.clear();
    screen.write("ab\ncdefg\nh\ni");
    EXPECT_EQ(shown(0, 0), 'c');
    EXPECT_EQ(shown(3, 0), 'f');
    EXPECT_EQ(shown(0, 1), 'g');
    EXPECT_EQ(shown(1, 1), ' ');
    EXPECT_EQ(shown(0, 3), 'i');
    // Right of the last column, below the last row, and between the lines nothing is touched.
    EXPECT_EQ(memory_[32 * GetParam()], 0xee);
    EXPECT_EQ(memory_[33 * GetParam()], 0xee);
    EXPECT_EQ(memory_[size_t{16} * buffer_.bytes_per_line], 0xee);
}

TEST_P(PixelScreenTest, WhatDoesNotFitIsNoScreen) {
    std::vector<char> cells(16);
    const ScreenFont font{lines_.data(), kHeight};
    PixelBuffer narrow = buffer_;
    narrow.bytes_per_line = 33 * GetParam() - 1;
    EXPECT_FALSE(Screen::on_pixels(narrow, font, cells).exists());
    EXPECT_FALSE(Screen::on_pixels(buffer_, ScreenFont{}, cells).exists());
    PixelBuffer odd = buffer_;
    odd.bytes_per_pixel = 1;
    EXPECT_FALSE(Screen::on_pixels(odd, font, cells).exists());
}

INSTANTIATE_TEST_SUITE_P(Depths, PixelScreenTest, ::testing::Values(2u, 3u, 4u));

}  // namespace
}  // namespace torii::test
