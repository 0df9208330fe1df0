#include "boot/unpack.h"

#define ZSTD_STATIC_LINKING_ONLY  // static contexts; we link the static library
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

namespace torii::boot {

alignas(16) uint8_t thread_area[kThreadAreaBytes];

namespace {

using image::Bytes;
using image::PayloadFormat;

// Hands out memory and takes it back only all at once: a decoder allocates a handful of times.
class Arena {
public:
    explicit Arena(std::span<uint8_t> memory) : memory_(memory) {}

    void* allocate(size_t bytes) {
        const auto start = reinterpret_cast<uintptr_t>(memory_.data());
        const size_t offset = ((start + used_ + 15) & ~uintptr_t{15}) - start;
        if (offset > memory_.size() || bytes > memory_.size() - offset) {
            exhausted_ = true;
            return nullptr;
        }
        used_ = offset + bytes;
        return memory_.data() + offset;
    }
    void* allocate(size_t count, size_t size) {
        size_t bytes = 0;
        if (__builtin_mul_overflow(count, size, &bytes)) {
            exhausted_ = true;
            return nullptr;
        }
        return allocate(bytes);
    }
    [[nodiscard]] bool exhausted() const { return exhausted_; }

private:
    std::span<uint8_t> memory_;
    size_t used_ = 0;
    bool exhausted_ = false;
};

constexpr Unpacked failed(UnpackError error) {
    return {.error = error, .size = 0};
}

// ---- xz, and lzma as it was before xz

void* lzma_allocate(void* arena, size_t count, size_t size) {
    return static_cast<Arena*>(arena)->allocate(count, size);
}
void lzma_release(void*, void*) {}

Unpacked unpack_lzma(PayloadFormat format, Bytes payload, std::span<uint8_t> output, Arena& arena) {
    const lzma_allocator allocator{lzma_allocate, lzma_release, &arena};
    lzma_stream stream = LZMA_STREAM_INIT;
    stream.allocator = &allocator;
    const lzma_ret started = format == PayloadFormat::kXz ? lzma_stream_decoder(&stream, UINT64_MAX, 0)
                                                          : lzma_alone_decoder(&stream, UINT64_MAX);
    if (started != LZMA_OK) return failed(UnpackError::kOutOfMemory);
    stream.next_in = payload.data();
    stream.avail_in = payload.size();
    stream.next_out = output.data();
    stream.avail_out = output.size();
    const lzma_ret result = lzma_code(&stream, LZMA_FINISH);
    const size_t written = output.size() - stream.avail_out;
    lzma_end(&stream);
    if (result == LZMA_STREAM_END) return {.error = UnpackError::kNone, .size = written};
    if (result == LZMA_MEM_ERROR) return failed(UnpackError::kOutOfMemory);
    const bool full = written == output.size() && (result == LZMA_OK || result == LZMA_BUF_ERROR);
    return failed(full ? UnpackError::kOutputFull : UnpackError::kCorrupt);
}

// Beside the dictionary: the decoder's state, which holds probability tables of up to 14 KiB each.
constexpr size_t kLzmaStateBytes = 256 << 10;

// The dictionary's size, from the filter chain in the first block's header.
size_t xz_dictionary(Bytes payload) {
    if (payload.size() < LZMA_STREAM_HEADER_SIZE + LZMA_BLOCK_HEADER_SIZE_MIN) return 0;
    lzma_stream_flags flags;
    if (lzma_stream_header_decode(&flags, payload.data()) != LZMA_OK) return 0;
    const Bytes header = payload.subspan(LZMA_STREAM_HEADER_SIZE);
    lzma_filter filters[LZMA_FILTERS_MAX + 1];
    lzma_block block{};
    block.check = flags.check;
    block.filters = filters;
    if (header[0] == 0) return 0;
    block.header_size = lzma_block_header_size_decode(header[0]);
    if (block.header_size > header.size()) return 0;
    uint8_t memory[1024];
    Arena arena(memory);
    const lzma_allocator allocator{lzma_allocate, lzma_release, &arena};
    if (lzma_block_header_decode(&block, &allocator, header.data()) != LZMA_OK) return 0;
    for (const lzma_filter& filter : filters) {
        if (filter.id == LZMA_VLI_UNKNOWN) break;
        if (filter.id == LZMA_FILTER_LZMA2)
            return static_cast<const lzma_options_lzma*>(filter.options)->dict_size;
    }
    return 0;
}

// ---- gzip

void* zlib_allocate(void* arena, unsigned count, unsigned size) {
    return static_cast<Arena*>(arena)->allocate(count, size);
}
void zlib_release(void*, void*) {}

// zlib counts in 32 bits: both sides are handed over in pieces.
void refill(const uint8_t*& next, unsigned& available, const uint8_t* end) {
    constexpr size_t kPiece = size_t{1} << 30;
    const auto left = static_cast<size_t>(end - next);
    available = static_cast<unsigned>(left < kPiece ? left : kPiece);
}

Unpacked unpack_gzip(Bytes payload, std::span<uint8_t> output, Arena& arena) {
    z_stream stream{};
    stream.zalloc = zlib_allocate;
    stream.zfree = zlib_release;
    stream.opaque = &arena;
    constexpr int kGzipHeader = 16;
    if (inflateInit2(&stream, kGzipHeader + MAX_WBITS) != Z_OK) return failed(UnpackError::kOutOfMemory);
    const uint8_t* in = payload.data();
    const uint8_t* out = output.data();
    int result = Z_OK;
    while (result == Z_OK) {
        refill(in, stream.avail_in, payload.data() + payload.size());
        refill(out, stream.avail_out, output.data() + output.size());
        stream.next_in = const_cast<uint8_t*>(in);
        stream.next_out = const_cast<uint8_t*>(out);
        result = inflate(&stream, Z_NO_FLUSH);
        in = stream.next_in;
        out = stream.next_out;
    }
    inflateEnd(&stream);
    const auto written = static_cast<size_t>(out - output.data());
    if (result == Z_STREAM_END) return {.error = UnpackError::kNone, .size = written};
    if (result == Z_MEM_ERROR) return failed(UnpackError::kOutOfMemory);
    return failed(result == Z_BUF_ERROR && written == output.size() ? UnpackError::kOutputFull
                                                                    : UnpackError::kCorrupt);
}

// ---- zstd

// In one call, so that the output itself is the window: kernels are packed with windows of 128 MiB.
Unpacked unpack_zstd(Bytes payload, std::span<uint8_t> output, Arena& arena) {
    const size_t frame = ZSTD_findFrameCompressedSize(payload.data(), payload.size());
    if (ZSTD_isError(frame)) return failed(UnpackError::kCorrupt);
    const size_t context_bytes = ZSTD_estimateDCtxSize();
    void* memory = arena.allocate(context_bytes);
    ZSTD_DCtx* context = memory == nullptr ? nullptr : ZSTD_initStaticDCtx(memory, context_bytes);
    if (context == nullptr) return failed(UnpackError::kOutOfMemory);
    const size_t written = ZSTD_decompressDCtx(context, output.data(), output.size(), payload.data(), frame);
    if (!ZSTD_isError(written)) return {.error = UnpackError::kNone, .size = written};
    const bool full = ZSTD_getErrorCode(written) == ZSTD_error_dstSize_tooSmall;
    return failed(full ? UnpackError::kOutputFull : UnpackError::kCorrupt);
}

// ---- lz4, legacy frames: a magic number, then blocks of up to 8 MiB, each behind its packed size

constexpr uint32_t kLz4LegacyMagic = 0x184C'2102;
constexpr size_t kLz4BlockBytes = size_t{8} << 20;

uint32_t little_endian(Bytes bytes) {
    return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

Unpacked unpack_lz4(Bytes payload, std::span<uint8_t> output) {
    size_t written = 0;
    if (payload.size() < 4 || little_endian(payload) != kLz4LegacyMagic) return failed(UnpackError::kCorrupt);
    payload = payload.subspan(4);
    while (payload.size() >= 4) {
        const uint32_t packed = little_endian(payload);
        if (packed == kLz4LegacyMagic) {  // archives may be chained
            payload = payload.subspan(4);
            continue;
        }
        if (packed == 0) break;  // padding
        payload = payload.subspan(4);
        if (packed > payload.size() || packed > static_cast<uint32_t>(LZ4_COMPRESSBOUND(kLz4BlockBytes)))
            return failed(UnpackError::kCorrupt);
        const size_t room = output.size() - written;
        const auto capacity = static_cast<int>(room < kLz4BlockBytes ? room : kLz4BlockBytes);
        const int count = LZ4_decompress_safe(reinterpret_cast<const char*>(payload.data()),
                                              reinterpret_cast<char*>(output.data() + written),
                                              static_cast<int>(packed), capacity);
        // The library doesn't tell a damaged block from one that has no room.
        if (count < 0)
            return failed(room < kLz4BlockBytes ? UnpackError::kOutputFull : UnpackError::kCorrupt);
        written += static_cast<size_t>(count);
        payload = payload.subspan(packed);
    }
    return {.error = UnpackError::kNone, .size = written};
}

}  // namespace

const char* to_string(UnpackError error) {
    switch (error) {
        case UnpackError::kNone:
            return "unpacked";
        case UnpackError::kCorrupt:
            return "its compressed part is damaged";
        case UnpackError::kOutputFull:
            return "it unpacks to more than its header says";
        case UnpackError::kOutOfMemory:
            return "there is not enough memory to unpack it";
        case UnpackError::kUnsupported:
            return "its compression is not supported (gzip, xz, lzma, zstd and lz4 are)";
    }
    return "";
}

size_t working_memory_for(const image::Payload& payload) {
    switch (payload.format) {
        case PayloadFormat::kXz: {
            const size_t dictionary = xz_dictionary(payload.data);
            return dictionary == 0 ? 0 : dictionary + kLzmaStateBytes;
        }
        case PayloadFormat::kLzma:  // the dictionary's size follows a byte of properties
            return payload.data.size() < 5 ? 0
                                           : size_t{little_endian(payload.data.subspan(1))} + kLzmaStateBytes;
        case PayloadFormat::kGzip:
            return 64 << 10;
        case PayloadFormat::kZstd:
            return ZSTD_estimateDCtxSize() + 64;
        case PayloadFormat::kLz4:
            return 64;
        default:
            return 0;
    }
}

Unpacked unpack_kernel(const image::Payload& payload, std::span<uint8_t> output,
                       std::span<uint8_t> working_memory) {
    if (output.empty()) return failed(UnpackError::kOutputFull);
    Arena arena(working_memory);
    switch (payload.format) {
        case PayloadFormat::kXz:
        case PayloadFormat::kLzma:
            return unpack_lzma(payload.format, payload.data, output, arena);
        case PayloadFormat::kGzip:
            return unpack_gzip(payload.data, output, arena);
        case PayloadFormat::kZstd:
            return unpack_zstd(payload.data, output, arena);
        case PayloadFormat::kLz4:
            return unpack_lz4(payload.data, output);
        default:
            return failed(UnpackError::kUnsupported);
    }
}

}  // namespace torii::boot
