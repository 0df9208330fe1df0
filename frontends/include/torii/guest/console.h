#pragma once
// Text to the console: console_io for the control domain, the shared ring for others.
//
//   print("{} frames from {x}\n", count, mfn);
//
// {} takes numbers, text, booleans; {x} writes a number in hexadecimal.

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace torii::guest {

void write_console(std::string_view text);

// Bytes typed at the console, as many as there are; never waits.
size_t read_console(std::span<char> buffer);

struct PrintArgument {
    enum class Kind : uint8_t { kSigned, kUnsigned, kText };
    Kind kind;
    uint64_t number;
    std::string_view text;
};

template <typename T>
PrintArgument print_argument(const T& value) {
    if constexpr (std::is_convertible_v<T, std::string_view>) {
        return {PrintArgument::Kind::kText, 0, std::string_view(value)};
    } else if constexpr (std::is_same_v<T, bool>) {
        return {PrintArgument::Kind::kText, 0, value ? "true" : "false"};
    } else if constexpr (std::is_pointer_v<T>) {
        return {PrintArgument::Kind::kUnsigned, reinterpret_cast<uint64_t>(value), {}};
    } else if constexpr (std::is_enum_v<T>) {
        return {PrintArgument::Kind::kSigned, static_cast<uint64_t>(static_cast<int64_t>(value)), {}};
    } else if constexpr (std::is_signed_v<T>) {
        return {PrintArgument::Kind::kSigned, static_cast<uint64_t>(static_cast<int64_t>(value)), {}};
    } else {
        return {PrintArgument::Kind::kUnsigned, static_cast<uint64_t>(value), {}};
    }
}

void print_arguments(std::string_view format, std::span<const PrintArgument> arguments);

template <typename... Arguments>
void print(std::string_view format, const Arguments&... arguments) {
    const PrintArgument list[] = {print_argument(arguments)..., {}};
    print_arguments(format, std::span(list, sizeof...(arguments)));
}

}  // namespace torii::guest
