#include <torii/image/bzimage.h>

#include <array>
#include <string_view>

namespace torii::image {

namespace {

// Offsets in the setup header (Documentation/arch/x86/boot.rst).
constexpr size_t kSetupSectorsOffset = 0x1F1;
constexpr size_t kBootFlagOffset = 0x1FE;
constexpr size_t kHeaderMagicOffset = 0x202;
constexpr size_t kVersionOffset = 0x206;
constexpr size_t kPayloadOffsetOffset = 0x248;
constexpr size_t kPayloadLengthOffset = 0x24C;
constexpr size_t kHeaderEnd = 0x250;

constexpr uint64_t kSectorSize = 512;
constexpr uint16_t kBootFlag = 0xAA55;
constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
constexpr uint16_t kFirstVersionWithPayload = 0x0208;

uint32_t read_little_endian(Bytes file, size_t offset, size_t size) {
    uint32_t value = 0;
    for (size_t byte = 0; byte < size; ++byte) {
        value |= uint32_t{file[offset + byte]} << (8 * byte);
    }
    return value;
}

struct Magic {
    PayloadFormat format;
    std::string_view bytes;
};

using std::string_view_literals::operator""sv;
constexpr std::array kMagics = {
    Magic{PayloadFormat::kElf, "\177ELF"sv},
    Magic{PayloadFormat::kGzip, "\037\213"sv},
    Magic{PayloadFormat::kXz, "\3757zXZ\0"sv},
    Magic{PayloadFormat::kZstd, "\050\265\057\375"sv},
    Magic{PayloadFormat::kLz4, "\002\041\114\030"sv},
    Magic{PayloadFormat::kBzip2, "BZh"sv},
    Magic{PayloadFormat::kLzo, "\211LZO\0\r\n\032\n"sv},
    // Properties byte 0x5D and a dictionary of a power of two: what the lzma tools have always written.
    Magic{PayloadFormat::kLzma, "\135\0\0"sv},
};

bool starts_with(Bytes data, std::string_view magic) {
    if (data.size() < magic.size()) return false;
    for (size_t index = 0; index < magic.size(); ++index) {
        if (data[index] != static_cast<uint8_t>(magic[index])) return false;
    }
    return true;
}

Parsed<Payload> classify(Bytes data, bool with_trailer) {
    for (const Magic& magic : kMagics) {
        if (!starts_with(data, magic.bytes)) continue;
        Parsed<Payload> parsed;
        parsed.value.format = magic.format;
        parsed.value.data = data;
        // A kernel's build appends the unpacked size to every stream but gzip, whose format ends with it
        // anyway.
        const bool gzip = magic.format == PayloadFormat::kGzip;
        if (data.size() >= 4 && magic.format != PayloadFormat::kElf && (with_trailer || gzip)) {
            parsed.value.unpacked_size_hint = read_little_endian(data, data.size() - 4, 4);
            if (!gzip) parsed.value.data = data.first(data.size() - 4);
        }
        return parsed;
    }
    return {{}, ImageError::kPayloadUnknownFormat};
}

}  // namespace

const char* to_string(PayloadFormat format) {
    switch (format) {
        case PayloadFormat::kElf:
            return "ELF";
        case PayloadFormat::kGzip:
            return "gzip";
        case PayloadFormat::kXz:
            return "xz";
        case PayloadFormat::kZstd:
            return "zstd";
        case PayloadFormat::kLz4:
            return "lz4";
        case PayloadFormat::kLzma:
            return "lzma";
        case PayloadFormat::kBzip2:
            return "bzip2";
        case PayloadFormat::kLzo:
            return "lzo";
    }
    return "unknown";
}

bool looks_like_bzimage(Bytes file) {
    return file.size() >= kHeaderEnd && read_little_endian(file, kBootFlagOffset, 2) == kBootFlag &&
           read_little_endian(file, kHeaderMagicOffset, 4) == kHeaderMagic;
}

Parsed<Payload> find_payload(Bytes file) {
    if (file.empty()) return {{}, ImageError::kEmpty};
    if (!looks_like_bzimage(file)) {
        Parsed<Payload> parsed = classify(file, false);
        if (!parsed) parsed.error = ImageError::kNotElf;
        return parsed;
    }
    if (read_little_endian(file, kVersionOffset, 2) < kFirstVersionWithPayload) {
        return {{}, ImageError::kBzImageTooOld};
    }
    // Zero stands for four sectors, for the sake of very old kernels; the boot sector itself is not counted.
    const uint64_t setup_sectors = file[kSetupSectorsOffset] == 0 ? 4 : file[kSetupSectorsOffset];
    const uint64_t protected_mode_start = (setup_sectors + 1) * kSectorSize;
    const uint64_t start = protected_mode_start + read_little_endian(file, kPayloadOffsetOffset, 4);
    const uint64_t length = read_little_endian(file, kPayloadLengthOffset, 4);
    if (length == 0) return {{}, ImageError::kBzImageNoPayload};
    if (start > file.size() || length > file.size() - start)
        return {{}, ImageError::kBzImagePayloadBeyondFile};
    return classify(file.subspan(start, length), true);
}

}  // namespace torii::image
