// Kernel payloads, whole and damaged: the first byte chooses the format and whether the rest is the payload
// or the damage to a valid one. The libraries are Debian's; what is looked for are overruns of the output and
// of the working memory, which AddressSanitizer watches, and that what is whole comes out whole.
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "boot/unpack.h"
#include "fuzz/input.h"
#include "unit/dom0/kit/kernel_file.h"

namespace {

using torii::image::PayloadFormat;

constexpr std::array kFormats = {PayloadFormat::kXz, PayloadFormat::kLzma, PayloadFormat::kGzip,
                                 PayloadFormat::kZstd, PayloadFormat::kLz4};

const std::string& content() {
    static const std::string text = [] {
        std::string made;
        for (unsigned i = 0; i < 3000; ++i)
            made += torii::dom0::test::text_byte(i * i);
        return made + std::string(5000, 'x');
    }();
    return text;
}

const std::string& packed_content(PayloadFormat format) {
    using namespace torii::dom0::test;
    static const std::array packed = {pack_xz(content()), std::string("no packer for this one"),
                                      pack_gzip(content()), pack_zstd(content()), pack_lz4(content())};
    for (size_t i = 0; i < kFormats.size(); ++i) {
        if (kFormats[i] == format) return packed[i];
    }
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    const uint8_t first = input.byte();
    const PayloadFormat format = kFormats[first % kFormats.size()];
    const bool from_valid = first >= 128;
    const bool whole = from_valid && input.at_end() && format != PayloadFormat::kLzma;
    const std::string file = !from_valid ? std::string(data + (size != 0), data + size)
                             : whole     ? packed_content(format)
                                         : input.damage(packed_content(format));
    const std::vector<uint8_t> packed(file.begin(), file.end());
    const torii::image::Payload payload{.format = format, .data = packed, .unpacked_size_hint = 0};
    static std::vector<uint8_t> memory(16 << 20);
    const size_t needed = torii::boot::working_memory_for(payload);
    if (needed > memory.size()) return 0;
    std::vector<uint8_t> output(1 << 14);
    const auto result = torii::boot::unpack_kernel(payload, output, std::span(memory).last(needed));
    if (result.error == torii::boot::UnpackError::kNone && result.size > output.size()) std::abort();
    if (whole && (result.error != torii::boot::UnpackError::kNone ||
                  std::string(output.begin(), output.begin() + static_cast<long>(result.size)) != content()))
        std::abort();
    return 0;
}
