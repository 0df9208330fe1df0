// A screen of characters: in a card's text mode, or drawn into a frame buffer. Old lines leave at the top.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace torii {

// Where pixels are and what a lit one looks like.
struct PixelBuffer {
    unsigned char* pixels = nullptr;
    uint32_t bytes_per_line = 0;
    uint32_t width = 0;
    uint32_t height = 0;
    uint32_t bytes_per_pixel = 0;  // 2, 3 or 4
    uint32_t lit = 0;              // the value of a pixel of a character; others are zero
};

// The characters from space to tilde, 8 pixels wide: one byte a line, the highest bit is the leftmost pixel.
struct ScreenFont {
    static constexpr unsigned kWidth = 8;
    static constexpr char kFirst = ' ', kLast = '~';
    const uint8_t* lines = nullptr;
    unsigned height = 0;
};

class Screen {
public:
    static constexpr unsigned kMostColumns = 256;
    static constexpr unsigned kMostRows = 128;

    constexpr Screen() = default;
    // `cells` holds what is shown, as reading from a card is slow: one byte for each character.
    static Screen on_text(volatile uint16_t* memory, unsigned columns, unsigned rows, std::span<char> cells);
    static Screen on_pixels(const PixelBuffer& buffer, const ScreenFont& font, std::span<char> cells);

    // How many cells either kind needs.
    static constexpr size_t cells_for(unsigned columns, unsigned rows) { return size_t{columns} * rows; }
    static unsigned columns_of(const PixelBuffer& buffer);
    static unsigned rows_of(const PixelBuffer& buffer, const ScreenFont& font);

    [[nodiscard]] bool exists() const { return rows_ != 0; }
    void clear();
    // What doesn't fit any more is not shown from here on, so that what stands there stays.
    void hold() { held_ = true; }
    void write(std::string_view text);

    [[nodiscard]] unsigned columns() const { return columns_; }
    [[nodiscard]] unsigned rows() const { return rows_; }
    // Where the next character goes.
    [[nodiscard]] unsigned column() const { return column_; }
    [[nodiscard]] unsigned row() const { return row_; }

private:
    void put(char c);
    void new_line();
    void show(unsigned column, unsigned row, char c);
    void draw(unsigned column, unsigned row, char c);

    volatile uint16_t* text_ = nullptr;  // else pixels
    PixelBuffer buffer_{};
    ScreenFont font_{};
    char* cells_ = nullptr;
    unsigned columns_ = 0;
    unsigned rows_ = 0;
    unsigned column_ = 0;
    unsigned row_ = 0;
    bool held_ = false;
};

}  // namespace torii
