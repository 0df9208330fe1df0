#pragma once
// A view of an x86-64 ELF executable as a loader needs it. The file is untrusted: every offset and size is
// checked once, in parse(), and what the accessors return lies inside the file. Nothing is allocated or
// copied; the view lives as long as the bytes it was made from.

#include <torii/image/image_error.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace torii::image {

using Bytes = std::span<const uint8_t>;

// One PT_LOAD segment. Bytes from file.size() to memory_size are zero.
struct Segment {
    uint64_t physical_address = 0;  // p_paddr: what a loader goes by
    uint64_t virtual_address = 0;   // p_vaddr: not always an address (Linux links its per-CPU area at 0)
    uint64_t memory_size = 0;
    Bytes file;
    bool writable = false;
    bool executable = false;
};

class ElfImage {
public:
    static constexpr size_t kMaxSegments = 16;

    static Parsed<ElfImage> parse(Bytes file);

    uint64_t entry() const { return entry_; }

    // In the order of the program headers; their memory ranges do not overlap.
    std::span<const Segment> segments() const { return {segments_, segment_count_}; }

    // The range of physical addresses that the segments cover: [low, high).
    uint64_t physical_low() const { return physical_low_; }
    uint64_t physical_high() const { return physical_high_; }

    // Calls visit(Bytes) for each PT_NOTE segment and then each SHT_NOTE section (the same notes may be in
    // both), until it returns true. Returns whether it did.
    template <typename Visitor>
    bool find_note_area(Visitor&& visit) const {
        const size_t count = note_area_count();
        for (size_t index = 0; index < count; ++index) {
            if (Bytes area = note_area(index); !area.empty() && visit(area)) return true;
        }
        return false;
    }

    // The content of the first section of that name; empty when there is none.
    Bytes section(std::string_view name) const;

private:
    ImageError read_header();
    ImageError read_segments();
    ImageError add_segment(uint64_t program_header_offset);
    bool range_in_file(uint64_t offset, uint64_t size) const;
    size_t note_area_count() const;
    Bytes note_area(size_t index) const;
    Bytes section_content(uint64_t section_header_offset) const;

    template <typename T>
    T read(uint64_t offset) const;

    Bytes file_;
    uint64_t entry_ = 0;
    uint64_t program_headers_ = 0;
    uint64_t section_headers_ = 0;
    uint16_t program_header_count_ = 0;
    uint16_t section_count_ = 0;  // zero when the file has no usable section table
    uint16_t section_names_ = 0;
    Segment segments_[kMaxSegments];
    size_t segment_count_ = 0;
    uint64_t physical_low_ = 0;
    uint64_t physical_high_ = 0;
};

}  // namespace torii::image
