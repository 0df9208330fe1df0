#include "builder/decompress.h"

#include <lz4.h>
#include <lzma.h>
#include <torii/failure.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

namespace torii::dom0 {
namespace {

constexpr size_t kStep = 1u << 20;  // input per call, so that progress can be told
constexpr uint64_t kLzmaMemoryLimit = 256ull << 20;
constexpr size_t kLz4LegacyBlock = 8u << 20;  // the most that one block unpacks to

[[noreturn]] void fail(const char* format, const std::string& detail) {
    throw Failure(ErrorCode::kNoKernel, std::string("the kernel's ") + format + " data cannot be unpacked: " +
                                            detail + ". The file is truncated or damaged; fetch it again");
}

[[noreturn]] void fail_too_long(const char* format) {
    fail(format, "it is longer than its header says");
}

unsigned share(size_t used, size_t total) {
    return total == 0 ? 100u : static_cast<unsigned>(used * 100 / total);
}

size_t decompress_xz(std::span<const std::byte> input, std::span<std::byte> output,
                     const PercentCallback& percent) {
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&stream, kLzmaMemoryLimit, 0) != LZMA_OK)
        fail("xz", "the decoder does not start");
    const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> guard(&stream, lzma_end);
    stream.next_out = reinterpret_cast<uint8_t*>(output.data());
    stream.avail_out = output.size();
    size_t used = 0;
    while (true) {
        stream.next_in = reinterpret_cast<const uint8_t*>(input.data() + used);
        stream.avail_in = std::min(kStep, input.size() - used);
        const lzma_ret result = lzma_code(&stream, LZMA_RUN);
        const size_t before = used;
        used = static_cast<size_t>(reinterpret_cast<const std::byte*>(stream.next_in) - input.data());
        percent(share(used, input.size()));
        if (result == LZMA_STREAM_END) return output.size() - stream.avail_out;
        if (result == LZMA_MEMLIMIT_ERROR) fail("xz", "it asks for more than 256 MiB of dictionary");
        if (result != LZMA_OK && result != LZMA_BUF_ERROR) fail("xz", "the stream is corrupt");
        if (stream.avail_out == 0 && used == before) fail_too_long("xz");
        if (used == input.size()) fail("xz", "the stream ends early");
    }
}

size_t decompress_zstd(std::span<const std::byte> input, std::span<std::byte> output,
                       const PercentCallback& percent) {
    const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                          ZSTD_freeDStream);
    if (!stream) fail("zstd", "the decoder does not start");
    ZSTD_outBuffer out{output.data(), output.size(), 0};
    size_t used = 0;
    while (true) {
        ZSTD_inBuffer in{input.data() + used, std::min(kStep, input.size() - used), 0};
        const size_t out_before = out.pos;
        const size_t result = ZSTD_decompressStream(stream.get(), &out, &in);
        used += in.pos;
        percent(share(used, input.size()));
        if (ZSTD_isError(result) != 0) fail("zstd", ZSTD_getErrorName(result));
        if (result == 0) return out.pos;
        if (out.pos == out.size && in.pos == 0 && out.pos == out_before) fail_too_long("zstd");
        if (used == input.size() && out.pos == out_before) fail("zstd", "the stream ends early");
    }
}

size_t decompress_gzip(std::span<const std::byte> input, std::span<std::byte> output,
                       const PercentCallback& percent) {
    z_stream stream{};
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) fail("gzip", "the decoder does not start");
    const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
    size_t used = 0;
    size_t written = 0;
    while (true) {
        const size_t give = std::min(kStep, input.size() - used);
        const size_t room = std::min<size_t>(output.size() - written, 1u << 30);
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data() + used));
        stream.avail_in = static_cast<uInt>(give);
        stream.next_out = reinterpret_cast<Bytef*>(output.data() + written);
        stream.avail_out = static_cast<uInt>(room);
        const int result = inflate(&stream, Z_NO_FLUSH);
        used += give - stream.avail_in;
        const size_t made = room - stream.avail_out;
        written += made;
        percent(share(used, input.size()));
        if (result == Z_STREAM_END) return written;
        if (result == Z_BUF_ERROR || (result == Z_OK && made == 0 && stream.avail_in == give)) {
            if (written == output.size()) fail_too_long("gzip");
            fail("gzip", "the stream ends early");
        }
        if (result != Z_OK) fail("gzip", stream.msg != nullptr ? stream.msg : "the stream is corrupt");
    }
}

// The format of `lz4 -l`, which Linux's build uses: blocks, each preceded by its length, no end mark.
size_t decompress_lz4_legacy(std::span<const std::byte> input, std::span<std::byte> output,
                             const PercentCallback& percent) {
    size_t used = 4;
    size_t written = 0;
    while (input.size() - used >= 4) {
        uint32_t length = 0;
        std::memcpy(&length, input.data() + used, sizeof(length));
        // What follows the last block in a bzImage is the unpacked size: it ends the list like any other
        // length that cannot be one.
        if (length == 0 || length > input.size() - used - 4 || length > LZ4_COMPRESSBOUND(kLz4LegacyBlock))
            break;
        used += 4;
        const size_t room = std::min(kLz4LegacyBlock, output.size() - written);
        const int made = LZ4_decompress_safe(reinterpret_cast<const char*>(input.data() + used),
                                             reinterpret_cast<char*>(output.data() + written),
                                             static_cast<int>(length), static_cast<int>(room));
        if (made < 0 && room < kLz4LegacyBlock) fail_too_long("lz4");
        if (made < 0) fail("lz4", "a block is corrupt");
        used += length;
        written += static_cast<size_t>(made);
        percent(share(used, input.size()));
    }
    if (written == 0) fail("lz4", "it holds no block");
    return written;
}

}  // namespace

size_t decompress(const image::Payload& payload, std::span<std::byte> output,
                  const PercentCallback& percent) {
    const auto input = std::as_bytes(payload.data);
    switch (payload.format) {
        case image::PayloadFormat::kXz:
            return decompress_xz(input, output, percent);
        case image::PayloadFormat::kZstd:
            return decompress_zstd(input, output, percent);
        case image::PayloadFormat::kGzip:
            return decompress_gzip(input, output, percent);
        case image::PayloadFormat::kLz4:
            return decompress_lz4_legacy(input, output, percent);
        default:
            break;
    }
    throw Failure(
        ErrorCode::kNoKernel,
        std::string("the kernel is packed with ") + image::to_string(payload.format) +
            ", which is not supported: use one packed with xz, zstd, gzip or lz4, or the plain ELF file");
}

}  // namespace torii::dom0
