#pragma once
// Unpacks compressed kernels. What is unpacked comes from whoever owns the guest: sizes are bounded, and a
// stream that lies about its own size is an error.

#include <torii/image/bzimage.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace torii::dom0 {

// Called now and then with the share of the input used so far, 0 to 100.
using PercentCallback = std::function<void(unsigned)>;

// Unpacks `payload` into `output` and returns the number of bytes written; padding after the stream is
// ignored. Throws Failure (kNoKernel) if the stream is corrupt, truncated, of a format that is not supported,
// or does not fit.
size_t decompress(const image::Payload& payload, std::span<std::byte> output, const PercentCallback& percent);

}  // namespace torii::dom0
