#pragma once
// Amounts of memory as people write them.

#include <cstdint>
#include <string>
#include <string_view>

namespace torii::cli {

// "256" and "256M" are MiB; "2G", "1T", "65536K" are what they say; "MiB" and "MB" are allowed and mean the
// same. In KiB. Throws Failure (kInvalidArgument) with a sentence that quotes `text`.
uint64_t parse_memory_kib(std::string_view text);

// Bytes, with K, M, G; a plain number is bytes.
uint64_t parse_bytes(std::string_view text);

// "256 MiB", "1.5 GiB".
std::string format_kib(uint64_t kib);

// "1d 02:03:04" or "02:03:04".
std::string format_duration(uint64_t seconds);

}  // namespace torii::cli
