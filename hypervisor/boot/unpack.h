// Unpacks the kernel inside a bzImage, with the distribution's own libraries.
//
// They are built for programs: their code uses SSE, the red zone and the stack protector's word at %fs:0x28.
// So this runs at boot only, on one CPU, with interrupts off, before any guest exists, and all of it is given
// back afterwards. Nothing is allocated but from the working memory that the caller hands in.
#pragma once

#include <torii/image/bzimage.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace torii::boot {

enum class UnpackError : uint8_t {
    kNone,
    kCorrupt,      // the stream breaks its format's rules, ends early, or fails its checksum
    kOutputFull,   // more comes out than there is room for
    kOutOfMemory,  // not enough working memory
    kUnsupported,  // a format that isn't linked in
};
const char* to_string(UnpackError error);

struct Unpacked {
    UnpackError error = UnpackError::kNone;
    size_t size = 0;  // bytes written to the output, when there is no error
};

// How much working memory the payload needs; 0: it can't be told, as its header is damaged or its format
// unsupported.
[[nodiscard]] size_t working_memory_for(const image::Payload& payload);

// `output` must not overlap the payload. What it holds after an error is undefined.
[[nodiscard]] Unpacked unpack_kernel(const image::Payload& payload, std::span<uint8_t> output,
                                     std::span<uint8_t> working_memory);

// What FS must point at while unpack_kernel() runs in the hypervisor (the stack protector's word is at offset
// 0x28).
inline constexpr size_t kThreadAreaBytes = 64;
extern uint8_t thread_area[kThreadAreaBytes];

}  // namespace torii::boot
