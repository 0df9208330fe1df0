#include <torii/image/image_error.h>

namespace torii::image {

// Size: a table, one line per error.
const char* to_string(ImageError error) {
    switch (error) {
        case ImageError::kNone:
            return "no error";
        case ImageError::kEmpty:
            return "the file is empty";
        case ImageError::kNotElf:
            return "the file is neither an ELF executable nor a bzImage";
        case ImageError::kNotElf64:
            return "the kernel is a 32-bit ELF file; only x86-64 kernels can run";
        case ImageError::kNotLittleEndian:
            return "the ELF file is big-endian";
        case ImageError::kNotX86_64:
            return "the ELF file is for another machine than x86-64";
        case ImageError::kNotExecutable:
            return "the ELF file is not an executable (a relocatable object, a core, ...)";
        case ImageError::kHeaderTruncated:
            return "the file ends inside its ELF headers; it is truncated";
        case ImageError::kBadProgramHeaderSize:
            return "the ELF program headers have an unknown size";
        case ImageError::kTooManySegments:
            return "the ELF file has more loadable segments than any known kernel";
        case ImageError::kNoLoadableSegment:
            return "the ELF file has no loadable segment";
        case ImageError::kSegmentBeyondFile:
            return "an ELF segment reaches beyond the end of the file; it is truncated";
        case ImageError::kSegmentFileLargerThanMemory:
            return "an ELF segment holds more bytes than its memory range";
        case ImageError::kSegmentAddressOverflow:
            return "an ELF segment's address range wraps around";
        case ImageError::kSegmentsOverlap:
            return "two ELF segments overlap in memory";
        case ImageError::kBadSectionTable:
            return "the ELF section table is damaged";
        case ImageError::kNoteBeyondSegment:
            return "an ELF note reaches beyond its segment";
        case ImageError::kNoteBadNumber:
            return "a kernel note that should hold a number has another size or is not one";
        case ImageError::kNoPvNotes:
            return "the kernel has no PV notes: it was built without CONFIG_XEN_PV";
        case ImageError::kNotPvKernel:
            return "the kernel has PV notes but no PV entry point: it was built without CONFIG_XEN_PV";
        case ImageError::kFeatureUnsupported:
            return "the kernel requires a feature that is not offered to PV guests";
        case ImageError::kEntryOutsideImage:
            return "the kernel's entry point lies outside its segments";
        case ImageError::kHypercallPageOutsideImage:
            return "the kernel's hypercall page is not a whole page inside its segments";
        case ImageError::kNotBzImage:
            return "the file is not a bzImage";
        case ImageError::kBzImageTooOld:
            return "the bzImage speaks a boot protocol before 2.08, which cannot tell where the kernel is";
        case ImageError::kBzImageNoPayload:
            return "the bzImage says that it holds no compressed kernel";
        case ImageError::kBzImagePayloadBeyondFile:
            return "the bzImage's compressed kernel reaches beyond the end of the file; it is truncated";
        case ImageError::kPayloadUnknownFormat:
            return "the kernel is compressed in an unknown format";
    }
    return "unknown error";
}

}  // namespace torii::image
