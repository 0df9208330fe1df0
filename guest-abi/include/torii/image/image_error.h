#pragma once
// Why a kernel image was refused, and the sentence for it. One list for ELF, PV notes and bzImage, since a
// loader tries them in turn and reports the last reason.

#include <cstdint>

namespace torii::image {

enum class ImageError : uint8_t {
    kNone = 0,
    kEmpty,
    kNotElf,
    kNotElf64,
    kNotLittleEndian,
    kNotX86_64,
    kNotExecutable,
    kHeaderTruncated,
    kBadProgramHeaderSize,
    kTooManySegments,
    kNoLoadableSegment,
    kSegmentBeyondFile,
    kSegmentFileLargerThanMemory,
    kSegmentAddressOverflow,
    kSegmentsOverlap,
    kBadSectionTable,
    kNoteBeyondSegment,
    kNoteBadNumber,
    kNoPvNotes,
    kNotPvKernel,
    kFeatureUnsupported,
    kEntryOutsideImage,
    kHypercallPageOutsideImage,
    kNotBzImage,
    kBzImageTooOld,
    kBzImageNoPayload,
    kBzImagePayloadBeyondFile,
    kPayloadUnknownFormat,
};

// A sentence without a final full stop, for a person.
const char* to_string(ImageError error);

// A value, or the reason why there is none.
template <typename T>
struct Parsed {
    T value{};
    ImageError error = ImageError::kNone;

    explicit operator bool() const { return error == ImageError::kNone; }
};

}  // namespace torii::image
