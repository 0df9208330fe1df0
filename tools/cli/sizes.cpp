#include "sizes.h"

#include <torii/failure.h>

#include <cctype>
#include <charconv>
#include <cstdio>

namespace torii::cli {
namespace {

[[noreturn]] void refuse(std::string_view text) {
    throw Failure(ErrorCode::kInvalidArgument, "\"" + std::string(text) +
                                                   "\" is not a size: write a whole number with K, M, G "
                                                   "or T, for example 256M or 2G");
}

// The exponent of 1024 that a suffix stands for.
int exponent_of(std::string_view suffix, int without_suffix, std::string_view text) {
    if (suffix.empty()) return without_suffix;
    const std::string_view tail = suffix.substr(1);
    const char unit = static_cast<char>(std::toupper(static_cast<unsigned char>(suffix.front())));
    if (unit == 'B' && tail.empty()) return 0;
    if (!tail.empty() && tail != "B" && tail != "iB" && tail != "b") refuse(text);
    switch (unit) {
        case 'K':
            return 1;
        case 'M':
            return 2;
        case 'G':
            return 3;
        case 'T':
            return 4;
        default:
            refuse(text);
    }
}

uint64_t parse_scaled(std::string_view text, int without_suffix, int result_exponent) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end == text.data()) refuse(text);
    std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
    while (!suffix.empty() && suffix.front() == ' ')
        suffix.remove_prefix(1);
    const int shift = 10 * (exponent_of(suffix, without_suffix, text) - result_exponent);
    if (shift < 0) return number >> -shift;
    if (shift > 0 && number >> (63 - shift) != 0) refuse(text);
    return number << shift;
}

}  // namespace

uint64_t parse_memory_kib(std::string_view text) {
    return parse_scaled(text, 2, 1);
}

uint64_t parse_bytes(std::string_view text) {
    return parse_scaled(text, 0, 0);
}

std::string format_kib(uint64_t kib) {
    char text[32];
    if (kib < 1024) {
        std::snprintf(text, sizeof(text), "%llu KiB", static_cast<unsigned long long>(kib));
    } else if (kib < 10 * 1024 * 1024) {
        std::snprintf(text, sizeof(text), "%llu MiB", static_cast<unsigned long long>(kib >> 10));
    } else {
        std::snprintf(text, sizeof(text), "%.1f GiB", static_cast<double>(kib) / (1024.0 * 1024.0));
    }
    return text;
}

std::string format_duration(uint64_t seconds) {
    char text[48];
    const unsigned long long days = seconds / 86400;
    const unsigned hours = static_cast<unsigned>(seconds / 3600 % 24);
    const unsigned minutes = static_cast<unsigned>(seconds / 60 % 60);
    const unsigned rest = static_cast<unsigned>(seconds % 60);
    if (days != 0) {
        std::snprintf(text, sizeof(text), "%llud %02u:%02u:%02u", days, hours, minutes, rest);
    } else {
        std::snprintf(text, sizeof(text), "%02u:%02u:%02u", hours, minutes, rest);
    }
    return text;
}

}  // namespace torii::cli
