#include <torii/image/elf_image.h>

namespace torii::image {

namespace {

// Offsets and values of the ELF-64 object file format (System V ABI, chapter 4 and 5).
constexpr size_t kFileHeaderSize = 64;
constexpr size_t kProgramHeaderSize = 56;
constexpr size_t kSectionHeaderSize = 64;

constexpr uint8_t kClass64 = 2;
constexpr uint8_t kLittleEndian = 1;
constexpr uint16_t kTypeExecutable = 2;
constexpr uint16_t kTypeShared = 3;  // a position-independent executable
constexpr uint16_t kMachineX86_64 = 62;

constexpr uint32_t kSegmentLoad = 1;
constexpr uint32_t kSegmentNote = 4;
constexpr uint32_t kFlagExecutable = 1;
constexpr uint32_t kFlagWritable = 2;

constexpr uint32_t kSectionNote = 7;
constexpr uint32_t kSectionNoBits = 8;

struct FileHeaderOffsets {
    static constexpr uint64_t kIdentClass = 4;
    static constexpr uint64_t kIdentData = 5;
    static constexpr uint64_t kType = 16;
    static constexpr uint64_t kMachine = 18;
    static constexpr uint64_t kEntry = 24;
    static constexpr uint64_t kProgramHeaders = 32;
    static constexpr uint64_t kSectionHeaders = 40;
    static constexpr uint64_t kProgramHeaderSize = 54;
    static constexpr uint64_t kProgramHeaderCount = 56;
    static constexpr uint64_t kSectionHeaderSize = 58;
    static constexpr uint64_t kSectionCount = 60;
    static constexpr uint64_t kSectionNames = 62;
};

struct ProgramHeaderOffsets {
    static constexpr uint64_t kType = 0;
    static constexpr uint64_t kFlags = 4;
    static constexpr uint64_t kFileOffset = 8;
    static constexpr uint64_t kVirtualAddress = 16;
    static constexpr uint64_t kPhysicalAddress = 24;
    static constexpr uint64_t kFileSize = 32;
    static constexpr uint64_t kMemorySize = 40;
};

struct SectionHeaderOffsets {
    static constexpr uint64_t kName = 0;
    static constexpr uint64_t kType = 4;
    static constexpr uint64_t kFileOffset = 24;
    static constexpr uint64_t kSize = 32;
};

bool wraps(uint64_t start, uint64_t size) {
    return start + size < start;
}

}  // namespace

// The caller has checked that the whole value lies in the file.
template <typename T>
T ElfImage::read(uint64_t offset) const {
    T value = 0;
    for (size_t byte = 0; byte < sizeof(T); ++byte) {
        value = static_cast<T>(value | static_cast<T>(static_cast<T>(file_[offset + byte]) << (8 * byte)));
    }
    return value;
}

bool ElfImage::range_in_file(uint64_t offset, uint64_t size) const {
    return offset <= file_.size() && size <= file_.size() - offset;
}

Parsed<ElfImage> ElfImage::parse(Bytes file) {
    Parsed<ElfImage> parsed;
    parsed.value.file_ = file;
    parsed.error = parsed.value.read_header();
    if (parsed.error == ImageError::kNone) parsed.error = parsed.value.read_segments();
    return parsed;
}

ImageError ElfImage::read_header() {
    if (file_.empty()) return ImageError::kEmpty;
    static constexpr uint8_t kMagic[4] = {0x7F, 'E', 'L', 'F'};
    for (size_t index = 0; index < sizeof(kMagic); ++index) {
        if (index >= file_.size() || file_[index] != kMagic[index]) return ImageError::kNotElf;
    }
    if (file_.size() < kFileHeaderSize) return ImageError::kHeaderTruncated;
    if (file_[FileHeaderOffsets::kIdentClass] != kClass64) return ImageError::kNotElf64;
    if (file_[FileHeaderOffsets::kIdentData] != kLittleEndian) return ImageError::kNotLittleEndian;
    const auto type = read<uint16_t>(FileHeaderOffsets::kType);
    if (type != kTypeExecutable && type != kTypeShared) return ImageError::kNotExecutable;
    if (read<uint16_t>(FileHeaderOffsets::kMachine) != kMachineX86_64) return ImageError::kNotX86_64;

    entry_ = read<uint64_t>(FileHeaderOffsets::kEntry);
    program_headers_ = read<uint64_t>(FileHeaderOffsets::kProgramHeaders);
    program_header_count_ = read<uint16_t>(FileHeaderOffsets::kProgramHeaderCount);
    if (program_header_count_ == 0) return ImageError::kNoLoadableSegment;
    if (read<uint16_t>(FileHeaderOffsets::kProgramHeaderSize) != kProgramHeaderSize) {
        return ImageError::kBadProgramHeaderSize;
    }
    if (!range_in_file(program_headers_, uint64_t{program_header_count_} * kProgramHeaderSize)) {
        return ImageError::kHeaderTruncated;
    }

    // Sections are a convenience: a file whose table is damaged or stripped can still be loaded.
    section_headers_ = read<uint64_t>(FileHeaderOffsets::kSectionHeaders);
    const auto section_count = read<uint16_t>(FileHeaderOffsets::kSectionCount);
    if (read<uint16_t>(FileHeaderOffsets::kSectionHeaderSize) == kSectionHeaderSize &&
        range_in_file(section_headers_, uint64_t{section_count} * kSectionHeaderSize)) {
        section_count_ = section_count;
        section_names_ = read<uint16_t>(FileHeaderOffsets::kSectionNames);
    }
    return ImageError::kNone;
}

ImageError ElfImage::read_segments() {
    physical_low_ = ~uint64_t{0};
    for (uint16_t index = 0; index < program_header_count_; ++index) {
        const uint64_t header = program_headers_ + uint64_t{index} * kProgramHeaderSize;
        if (read<uint32_t>(header + ProgramHeaderOffsets::kType) != kSegmentLoad) continue;
        if (ImageError error = add_segment(header); error != ImageError::kNone) return error;
    }
    return segment_count_ == 0 ? ImageError::kNoLoadableSegment : ImageError::kNone;
}

ImageError ElfImage::add_segment(uint64_t header) {
    const auto file_offset = read<uint64_t>(header + ProgramHeaderOffsets::kFileOffset);
    const auto file_size = read<uint64_t>(header + ProgramHeaderOffsets::kFileSize);
    Segment segment;
    segment.virtual_address = read<uint64_t>(header + ProgramHeaderOffsets::kVirtualAddress);
    segment.physical_address = read<uint64_t>(header + ProgramHeaderOffsets::kPhysicalAddress);
    segment.memory_size = read<uint64_t>(header + ProgramHeaderOffsets::kMemorySize);
    const auto flags = read<uint32_t>(header + ProgramHeaderOffsets::kFlags);
    segment.writable = (flags & kFlagWritable) != 0;
    segment.executable = (flags & kFlagExecutable) != 0;

    if (segment.memory_size == 0) return ImageError::kNone;
    if (file_size > segment.memory_size) return ImageError::kSegmentFileLargerThanMemory;
    if (!range_in_file(file_offset, file_size)) return ImageError::kSegmentBeyondFile;
    if (wraps(segment.physical_address, segment.memory_size)) return ImageError::kSegmentAddressOverflow;
    for (const Segment& other : segments()) {
        if (segment.physical_address < other.physical_address + other.memory_size &&
            other.physical_address < segment.physical_address + segment.memory_size) {
            return ImageError::kSegmentsOverlap;
        }
    }
    if (segment_count_ == kMaxSegments) return ImageError::kTooManySegments;

    segment.file = file_.subspan(file_offset, file_size);
    segments_[segment_count_++] = segment;
    const uint64_t end = segment.physical_address + segment.memory_size;
    if (segment.physical_address < physical_low_) physical_low_ = segment.physical_address;
    if (end > physical_high_) physical_high_ = end;
    return ImageError::kNone;
}

size_t ElfImage::note_area_count() const {
    return size_t{program_header_count_} + section_count_;
}

// Program headers come first, then sections: notes in both places are the same notes.
Bytes ElfImage::note_area(size_t index) const {
    if (index < program_header_count_) {
        const uint64_t header = program_headers_ + index * kProgramHeaderSize;
        const auto offset = read<uint64_t>(header + ProgramHeaderOffsets::kFileOffset);
        const auto size = read<uint64_t>(header + ProgramHeaderOffsets::kFileSize);
        if (read<uint32_t>(header + ProgramHeaderOffsets::kType) != kSegmentNote) return {};
        return range_in_file(offset, size) ? file_.subspan(offset, size) : Bytes{};
    }
    const uint64_t header = section_headers_ + (index - program_header_count_) * kSectionHeaderSize;
    if (read<uint32_t>(header + SectionHeaderOffsets::kType) != kSectionNote) return {};
    return section_content(header);
}

Bytes ElfImage::section_content(uint64_t header) const {
    if (read<uint32_t>(header + SectionHeaderOffsets::kType) == kSectionNoBits) return {};
    const auto offset = read<uint64_t>(header + SectionHeaderOffsets::kFileOffset);
    const auto size = read<uint64_t>(header + SectionHeaderOffsets::kSize);
    return range_in_file(offset, size) ? file_.subspan(offset, size) : Bytes{};
}

Bytes ElfImage::section(std::string_view name) const {
    if (section_names_ >= section_count_) return {};
    const Bytes names = section_content(section_headers_ + uint64_t{section_names_} * kSectionHeaderSize);
    for (uint16_t index = 0; index < section_count_; ++index) {
        const uint64_t header = section_headers_ + uint64_t{index} * kSectionHeaderSize;
        const auto start = read<uint32_t>(header + SectionHeaderOffsets::kName);
        if (start >= names.size() || names.size() - start <= name.size()) continue;
        bool same = names[start + name.size()] == 0;
        for (size_t character = 0; same && character < name.size(); ++character) {
            same = names[start + character] == static_cast<uint8_t>(name[character]);
        }
        if (same) return section_content(header);
    }
    return {};
}

}  // namespace torii::image
