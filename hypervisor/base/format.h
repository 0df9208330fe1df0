// A small type-safe formatter: "{}" prints the next argument, "{x}" prints it in hexadecimal with 0x.
// It allocates nothing and knows integers, strong numbers, strings and booleans: all that a log line needs.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace torii {

class FormatArgument {
public:
    template <class T>
    requires std::is_integral_v<T>
    constexpr FormatArgument(T value)  // NOLINT: implicit on purpose
        : number_(static_cast<uint64_t>(static_cast<int64_t>(value))),
          kind_(std::is_signed_v<T> ? Kind::kSigned : Kind::kUnsigned) {
        if constexpr (std::is_unsigned_v<T>) number_ = value;
    }
    template <class T>
    requires std::is_enum_v<T>
    constexpr FormatArgument(T value)  // NOLINT: implicit on purpose
        : FormatArgument(static_cast<std::underlying_type_t<T>>(value)) {}
    template <class T>
    requires requires(T t) {
        { t.raw() } -> std::unsigned_integral;
    }
    constexpr FormatArgument(T value) : number_(value.raw()), kind_(Kind::kUnsigned) {}   // NOLINT
    constexpr FormatArgument(std::string_view text) : text_(text), kind_(Kind::kText) {}  // NOLINT
    constexpr FormatArgument(const char* text) : text_(text), kind_(Kind::kText) {}       // NOLINT
    FormatArgument(const void* p)
        : number_(reinterpret_cast<uint64_t>(p)), kind_(Kind::kUnsigned) {}  // NOLINT

private:
    friend class Formatter;
    enum class Kind : uint8_t { kSigned, kUnsigned, kText };
    uint64_t number_ = 0;
    std::string_view text_;
    Kind kind_;
};

// Writes the formatted text to `out`, cut at its size; returns the number of bytes written.
size_t format_to(std::span<char> out, std::string_view format, std::span<const FormatArgument> arguments);

template <class... Args>
size_t format_to(std::span<char> out, std::string_view format, const Args&... arguments) {
    const FormatArgument list[sizeof...(arguments) + 1] = {FormatArgument(arguments)..., FormatArgument(0)};
    return format_to(out, format, std::span<const FormatArgument>(list, sizeof...(arguments)));
}

}  // namespace torii
