#include "core/console/screen.h"

#include <cstring>

namespace torii {
namespace {

constexpr unsigned kTabStop = 8;
constexpr uint16_t kLightGrey = 0x0700;  // on black, in text mode

unsigned at_most(unsigned value, unsigned limit) {
    return value < limit ? value : limit;
}

}  // namespace

unsigned Screen::columns_of(const PixelBuffer& buffer) {
    return at_most(buffer.width / ScreenFont::kWidth, kMostColumns);
}
unsigned Screen::rows_of(const PixelBuffer& buffer, const ScreenFont& font) {
    return font.height == 0 ? 0 : at_most(buffer.height / font.height, kMostRows);
}

Screen Screen::on_text(volatile uint16_t* memory, unsigned columns, unsigned rows, std::span<char> cells) {
    Screen made;
    if (columns > kMostColumns || rows > kMostRows || cells.size() < cells_for(columns, rows)) return made;
    made.text_ = memory;
    made.cells_ = cells.data();
    made.columns_ = columns;
    made.rows_ = columns == 0 ? 0 : rows;
    return made;
}

Screen Screen::on_pixels(const PixelBuffer& buffer, const ScreenFont& font, std::span<char> cells) {
    Screen made;
    const unsigned columns = columns_of(buffer);
    const unsigned rows = rows_of(buffer, font);
    const bool usable = buffer.bytes_per_pixel >= 2 && buffer.bytes_per_pixel <= 4 &&
                        buffer.bytes_per_line / buffer.bytes_per_pixel >= buffer.width;
    if (!usable || cells.size() < cells_for(columns, rows)) return made;
    made.buffer_ = buffer;
    made.font_ = font;
    made.cells_ = cells.data();
    made.columns_ = columns;
    made.rows_ = columns == 0 ? 0 : rows;
    return made;
}

void Screen::clear() {
    for (unsigned row = 0; row < rows_; ++row) {
        for (unsigned column = 0; column < columns_; ++column) {
            cells_[row * columns_ + column] = ' ';
            draw(column, row, ' ');
        }
    }
    column_ = row_ = 0;
    held_ = false;
}

void Screen::write(std::string_view text) {
    if (!exists()) return;
    for (const char c : text)
        put(c);
}

void Screen::put(char c) {
    if (c == '\r') return;
    if (c == '\n') {
        new_line();
        return;
    }
    if (c == '\t') {
        do {
            put(' ');
        } while (column_ % kTabStop != 0);
        return;
    }
    if (column_ == columns_) new_line();
    if (row_ == rows_) return;
    show(column_, row_, c < ScreenFont::kFirst || c > ScreenFont::kLast ? '?' : c);
    ++column_;
}

void Screen::new_line() {
    column_ = 0;
    if (row_ + 1 < rows_ || held_) {
        if (row_ < rows_) ++row_;
        return;
    }
    for (unsigned row = 0; row < rows_; ++row) {
        for (unsigned column = 0; column < columns_; ++column)
            show(column, row, row + 1 < rows_ ? cells_[(row + 1) * columns_ + column] : ' ');
    }
}

// Only what changes is drawn.
void Screen::show(unsigned column, unsigned row, char c) {
    char& cell = cells_[row * columns_ + column];
    if (cell == c) return;
    cell = c;
    draw(column, row, c);
}

void Screen::draw(unsigned column, unsigned row, char c) {
    if (text_ != nullptr) {
        text_[row * columns_ + column] = static_cast<uint16_t>(kLightGrey | static_cast<uint8_t>(c));
        return;
    }
    const uint8_t* const glyph =
        font_.lines + size_t{static_cast<uint8_t>(c - ScreenFont::kFirst)} * font_.height;
    for (unsigned line = 0; line < font_.height; ++line) {
        unsigned char* at = buffer_.pixels + (size_t{row} * font_.height + line) * buffer_.bytes_per_line +
                            size_t{column} * ScreenFont::kWidth * buffer_.bytes_per_pixel;
        for (unsigned bit = 0x80; bit != 0; bit >>= 1) {
            const uint32_t value = (glyph[line] & bit) != 0 ? buffer_.lit : 0;
            memcpy(at, &value, buffer_.bytes_per_pixel);
            at += buffer_.bytes_per_pixel;
        }
    }
}

}  // namespace torii
