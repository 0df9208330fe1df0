#include "boot/unpack.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <random>
#include <vector>

namespace torii::boot {
namespace {

using image::PayloadFormat;
using Buffer = std::vector<uint8_t>;

// Text-like, with calls for the x86 filter to turn over.
Buffer sample(size_t size) {
    std::mt19937 random(1);
    Buffer bytes;
    while (bytes.size() < size) {
        if (random() % 3 == 0) {
            bytes.push_back(0xE8);
            for (int i = 0; i < 4; ++i)
                bytes.push_back(static_cast<uint8_t>(random() % 4));
        } else {
            const size_t from = bytes.empty() ? 0 : random() % bytes.size();
            const size_t count = random() % 40;
            for (size_t i = 0; i < count && from + i < bytes.size(); ++i)
                bytes.push_back(bytes[from + i]);
            bytes.push_back(static_cast<uint8_t>(random()));
        }
    }
    bytes.resize(size);
    return bytes;
}

// As the kernel's build does: x86 filter, one block, the given check.
Buffer pack_xz(const Buffer& plain, lzma_check check, uint32_t dictionary) {
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 1);
    options.dict_size = dictionary;
    lzma_filter filters[] = {
        {LZMA_FILTER_X86, nullptr}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
    lzma_stream stream = LZMA_STREAM_INIT;
    EXPECT_EQ(lzma_stream_encoder(&stream, filters, check), LZMA_OK);
    Buffer packed(plain.size() + 4096);
    stream.next_in = plain.data();
    stream.avail_in = plain.size();
    stream.next_out = packed.data();
    stream.avail_out = packed.size();
    EXPECT_EQ(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
    packed.resize(stream.total_out);
    lzma_end(&stream);
    return packed;
}

Buffer pack_lzma(const Buffer& plain) {
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 1);
    lzma_stream stream = LZMA_STREAM_INIT;
    EXPECT_EQ(lzma_alone_encoder(&stream, &options), LZMA_OK);
    Buffer packed(plain.size() + 4096);
    stream.next_in = plain.data();
    stream.avail_in = plain.size();
    stream.next_out = packed.data();
    stream.avail_out = packed.size();
    EXPECT_EQ(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
    packed.resize(stream.total_out);
    lzma_end(&stream);
    return packed;
}

Buffer pack_gzip(const Buffer& plain) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    Buffer packed(plain.size() + 4096);
    stream.next_in = const_cast<uint8_t*>(plain.data());
    stream.avail_in = static_cast<unsigned>(plain.size());
    stream.next_out = packed.data();
    stream.avail_out = static_cast<unsigned>(packed.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return packed;
}

Buffer pack_zstd(const Buffer& plain) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);  // the kernel's build pipes
    Buffer packed(ZSTD_compressBound(plain.size()));
    packed.resize(ZSTD_compress2(context, packed.data(), packed.size(), plain.data(), plain.size()));
    ZSTD_freeCCtx(context);
    return packed;
}

Buffer pack_lz4(const Buffer& plain) {
    Buffer packed = {0x02, 0x21, 0x4C, 0x18};
    for (size_t at = 0; at < plain.size(); at += 8 << 20) {
        const int count = static_cast<int>(std::min<size_t>(plain.size() - at, 8 << 20));
        Buffer block(static_cast<size_t>(LZ4_compressBound(count)));
        const int size = LZ4_compress_default(reinterpret_cast<const char*>(plain.data() + at),
                                              reinterpret_cast<char*>(block.data()), count,
                                              static_cast<int>(block.size()));
        for (int i = 0; i < 4; ++i)
            packed.push_back(static_cast<uint8_t>(size >> (8 * i)));
        packed.insert(packed.end(), block.begin(), block.begin() + size);
    }
    return packed;
}

struct Case {
    const char* name;
    PayloadFormat format;
    Buffer (*pack)(const Buffer&);
    bool checksummed;  // a damaged payload can't pass
};

class UnpackKernel : public testing::TestWithParam<Case> {
protected:
    Unpacked unpack(const Buffer& packed, size_t room) {
        const image::Payload payload{.format = GetParam().format, .data = packed, .unpacked_size_hint = 0};
        output.assign(room, 0);
        // A damaged header may ask for gigabytes.
        static Buffer memory(8 << 20);
        const size_t needed = std::min(working_memory_for(payload), memory.size());
        return unpack_kernel(payload, output, std::span(memory).first(needed));
    }
    Buffer output;
};

constexpr size_t kSize = 300'000;

TEST_P(UnpackKernel, GivesBackWhatWasPacked) {
    const Buffer plain = sample(kSize);
    const Buffer packed = GetParam().pack(plain);
    for (const size_t room : {kSize, kSize + 1000}) {
        const Unpacked result = unpack(packed, room);
        ASSERT_EQ(result.error, UnpackError::kNone) << to_string(result.error);
        ASSERT_EQ(result.size, kSize);
        output.resize(kSize);
        ASSERT_EQ(output, plain);
    }
}

TEST_P(UnpackKernel, PaddingAfterTheStreamIsIgnored) {
    Buffer packed = GetParam().pack(sample(kSize));
    packed.resize(packed.size() + 8);
    EXPECT_EQ(unpack(packed, kSize).size, kSize);
}

TEST_P(UnpackKernel, TooLittleRoom) {
    const Buffer packed = GetParam().pack(sample(kSize));
    for (const size_t room : {size_t{0}, size_t{1}, kSize / 2, kSize - 1}) {
        EXPECT_EQ(unpack(packed, room).error, UnpackError::kOutputFull) << room;
    }
}

TEST_P(UnpackKernel, TruncatedAnywhere) {
    const Buffer packed = GetParam().pack(sample(3000));
    for (size_t length = 0; length < packed.size(); ++length) {
        const Buffer cut(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(length));
        const Unpacked result = unpack(cut, 3000);
        if (GetParam().format == PayloadFormat::kLz4 && length >= 4 && length < 8)
            continue;  // no block at all
        EXPECT_NE(result.error, UnpackError::kNone) << length;
    }
}

TEST_P(UnpackKernel, DamagedAnywhere) {
    const Buffer plain = sample(3000);
    const Buffer packed = GetParam().pack(plain);
    for (size_t at = 0; at < packed.size(); ++at) {
        for (const uint8_t flip : {0x01, 0x80, 0xFF}) {
            Buffer broken = packed;
            broken[at] ^= flip;
            const Unpacked result = unpack(broken, 4000);
            if (result.error == UnpackError::kNone && GetParam().checksummed) {
                output.resize(result.size);  // fields that change nothing: times, names, flags
                EXPECT_EQ(output, plain) << at;
            }
        }
    }
}

TEST_P(UnpackKernel, EachShortageOfMemoryIsReported) {
    const Buffer packed = GetParam().pack(sample(3000));
    const image::Payload payload{.format = GetParam().format, .data = packed, .unpacked_size_hint = 0};
    const size_t enough = working_memory_for(payload);
    ASSERT_GT(enough, 0u);
    Buffer room(3000);
    for (size_t part = 0; part < 16; ++part) {
        Buffer memory(enough * part / 32);
        const Unpacked result = unpack_kernel(payload, room, memory);
        if (result.error != UnpackError::kNone) {
            EXPECT_EQ(result.error, UnpackError::kOutOfMemory) << part;
        }
    }
}

Buffer pack_xz_crc32(const Buffer& plain) {
    return pack_xz(plain, LZMA_CHECK_CRC32, 1 << 20);
}
Buffer pack_xz_crc64(const Buffer& plain) {
    return pack_xz(plain, LZMA_CHECK_CRC64, 4 << 20);
}
Buffer pack_xz_sha256(const Buffer& plain) {
    return pack_xz(plain, LZMA_CHECK_SHA256, 64 << 10);
}

INSTANTIATE_TEST_SUITE_P(Formats, UnpackKernel,
                         testing::Values(Case{"xz", PayloadFormat::kXz, pack_xz_crc32, true},
                                         Case{"xz_crc64", PayloadFormat::kXz, pack_xz_crc64, true},
                                         Case{"xz_sha256", PayloadFormat::kXz, pack_xz_sha256, true},
                                         Case{"lzma", PayloadFormat::kLzma, pack_lzma, false},
                                         Case{"gzip", PayloadFormat::kGzip, pack_gzip, true},
                                         Case{"zstd", PayloadFormat::kZstd, pack_zstd, true},
                                         Case{"lz4", PayloadFormat::kLz4, pack_lz4, false}),
                         [](const auto& info) { return info.param.name; });

TEST(UnpackKernelBlocks, Lz4WithMoreThanOneBlock) {
    const Buffer plain = sample((8 << 20) + 12345);
    const Buffer packed = pack_lz4(plain);
    Buffer output(plain.size());
    Buffer memory(64);
    const Unpacked result = unpack_kernel(
        {.format = PayloadFormat::kLz4, .data = packed, .unpacked_size_hint = 0}, output, memory);
    EXPECT_EQ(result.error, UnpackError::kNone);
    EXPECT_EQ(output, plain);
}

TEST(UnpackKernelFormats, TheRestIsSaidToBeUnsupported) {
    Buffer memory(64);
    for (const auto format : {PayloadFormat::kBzip2, PayloadFormat::kLzo, PayloadFormat::kElf}) {
        const image::Payload payload{.format = format, .data = {}, .unpacked_size_hint = 0};
        EXPECT_EQ(unpack_kernel(payload, memory, memory).error, UnpackError::kUnsupported);
        EXPECT_EQ(working_memory_for(payload), 0u);
    }
}

}  // namespace
}  // namespace torii::boot
