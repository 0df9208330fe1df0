// Damaged kernel payloads: the first byte chooses the format, the rest is the payload. The libraries are
// Debian's; what is looked for are overruns of the output and of the working memory, which AddressSanitizer
// watches.
#include <array>
#include <cstdlib>
#include <vector>

#include "boot/unpack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using torii::image::PayloadFormat;
    static constexpr std::array kFormats = {PayloadFormat::kXz, PayloadFormat::kLzma, PayloadFormat::kGzip,
                                            PayloadFormat::kZstd, PayloadFormat::kLz4};
    if (size == 0) return 0;
    const std::vector<uint8_t> packed(data + 1, data + size);
    const torii::image::Payload payload{
        .format = kFormats[data[0] % kFormats.size()], .data = packed, .unpacked_size_hint = 0};
    static std::vector<uint8_t> memory(2 << 20);
    const size_t needed = torii::boot::working_memory_for(payload);
    if (needed > memory.size()) return 0;
    std::vector<uint8_t> output(1 << 16);
    const auto result = torii::boot::unpack_kernel(payload, output, std::span(memory).last(needed));
    if (result.error == torii::boot::UnpackError::kNone && result.size > output.size()) std::abort();
    return 0;
}
