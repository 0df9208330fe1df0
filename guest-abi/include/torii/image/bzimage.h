#pragma once
// Linux's bzImage (Documentation/arch/x86/boot.rst): a real-mode header and, since boot protocol 2.08, the
// span of the compressed kernel inside.

#include <torii/image/elf_image.h>

#include <cstdint>

namespace torii::image {

enum class PayloadFormat : uint8_t {
    kElf,  // not compressed
    kGzip,
    kXz,
    kZstd,
    kLz4,  // the legacy frame format, as the kernel's build makes it
    kLzma,
    kBzip2,
    kLzo,
};

const char* to_string(PayloadFormat format);

struct Payload {
    PayloadFormat format = PayloadFormat::kElf;
    // Without the trailer below. The compressors' own padding may follow the stream.
    Bytes data;
    // The size of the unpacked kernel, which the build appends to the stream (gzip has it as its own last
    // word). A hint from an untrusted file: bound it before allocating. Zero when unknown.
    uint32_t unpacked_size_hint = 0;
};

// True for a file that starts like a bzImage, sound or not.
bool looks_like_bzimage(Bytes file);

// The payload of a bzImage; or the file itself, whatever its format, when it is no bzImage.
Parsed<Payload> find_payload(Bytes file);

}  // namespace torii::image
