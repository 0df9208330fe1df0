#pragma once
// The Internet checksum (RFC 1071). Sums are of 16-bit words as they lie in memory, so that a sum is stored
// without turning its bytes round.

#include <cstddef>
#include <cstdint>
#include <span>

#include "net/headers.h"

namespace torii::backend::net {

// Adds `bytes` to a sum; an odd last byte counts as followed by a zero. Sums in pieces of even length add up.
uint32_t add_to_sum(uint32_t sum, std::span<const uint8_t> bytes);

// The 16 bits that stand for a sum, not inverted.
uint16_t fold_sum(uint32_t sum);

// Sum of the pseudo-header of TCP or UDP for a transport packet of `length` bytes.
uint32_t pseudo_header_sum(std::span<const uint8_t> frame, const Headers& headers, uint32_t length);

}  // namespace torii::backend::net
