#include <gtest/gtest.h>
#include <torii/abi/elfnote.h>
#include <torii/image/bzimage.h>
#include <torii/image/elf_image.h>
#include <torii/image/pv_notes.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace torii::image {
namespace {

using abi::ElfNote;
using ByteVector = std::vector<uint8_t>;

template <typename T>
void put(ByteVector& bytes, size_t offset, T value) {
    if (bytes.size() < offset + sizeof(T)) bytes.resize(offset + sizeof(T));
    std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

ByteVector note(const std::string& owner, uint32_t type, const ByteVector& description) {
    ByteVector bytes;
    put<uint32_t>(bytes, 0, static_cast<uint32_t>(owner.size() + 1));
    put<uint32_t>(bytes, 4, static_cast<uint32_t>(description.size()));
    put<uint32_t>(bytes, 8, type);
    bytes.insert(bytes.end(), owner.begin(), owner.end());
    bytes.push_back(0);
    bytes.resize((bytes.size() + 3) & ~size_t{3});
    bytes.insert(bytes.end(), description.begin(), description.end());
    bytes.resize((bytes.size() + 3) & ~size_t{3});
    return bytes;
}

ByteVector number_note(ElfNote type, uint64_t value) {
    ByteVector description;
    put(description, 0, value);
    return note("Xen", static_cast<uint32_t>(type), description);
}

ByteVector string_note(ElfNote type, const std::string& value) {
    ByteVector description(value.begin(), value.end());
    description.push_back(0);
    return note("Xen", static_cast<uint32_t>(type), description);
}

ByteVector operator+(ByteVector left, const ByteVector& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

constexpr uint64_t kVirtBase = 0xFFFF'FFFF'8000'0000;
constexpr size_t kFileHeader = 64;
constexpr size_t kNotesOffset = 0x200;

// A kernel with one segment of 0x1000 file bytes and 0x3000 in memory at physical 1 MiB, and the given notes.
ByteVector kernel(const ByteVector& notes) {
    ByteVector file(0x3000);
    std::memcpy(file.data(), "\177ELF\2\1\1", 7);
    put<uint16_t>(file, 16, 2);
    put<uint16_t>(file, 18, 62);
    put<uint64_t>(file, 24, 0x10'0000);
    put<uint64_t>(file, 32, kFileHeader);
    put<uint16_t>(file, 54, 56);
    put<uint16_t>(file, 56, 2);
    const size_t load = kFileHeader;
    put<uint32_t>(file, load, 1);
    put<uint32_t>(file, load + 4, 7);
    put<uint64_t>(file, load + 8, 0x1000);
    put<uint64_t>(file, load + 16, kVirtBase + 0x10'0000);
    put<uint64_t>(file, load + 24, 0x10'0000);
    put<uint64_t>(file, load + 32, 0x1000);
    put<uint64_t>(file, load + 40, 0x3000);
    const size_t note_header = kFileHeader + 56;
    put<uint32_t>(file, note_header, 4);
    put<uint64_t>(file, note_header + 8, kNotesOffset);
    put<uint64_t>(file, note_header + 32, notes.size());
    std::copy(notes.begin(), notes.end(), file.begin() + kNotesOffset);
    return file;
}

ByteVector minimal_notes() {
    return string_note(ElfNote::kGuestOs, "test") + number_note(ElfNote::kVirtBase, kVirtBase) +
           number_note(ElfNote::kEntry, kVirtBase + 0x10'0040);
}

Parsed<PvNotes> notes_of(const ByteVector& file, uint32_t offered = 0) {
    const auto image = ElfImage::parse(file);
    EXPECT_TRUE(image) << to_string(image.error);
    return read_pv_notes(image.value, offered);
}

TEST(ElfImageTest, ReadsSegments) {
    const ByteVector file = kernel(minimal_notes());
    const auto image = ElfImage::parse(file);
    ASSERT_TRUE(image);
    ASSERT_EQ(image.value.segments().size(), 1u);
    EXPECT_EQ(image.value.physical_low(), 0x10'0000u);
    EXPECT_EQ(image.value.physical_high(), 0x10'3000u);
    EXPECT_EQ(image.value.segments()[0].file.size(), 0x1000u);
    EXPECT_TRUE(image.value.segments()[0].writable);
}

struct Damage {
    const char* what;
    size_t offset;
    uint64_t value;
    size_t size;
    ImageError expected;
};

class DamagedElf : public testing::TestWithParam<Damage> {};

TEST_P(DamagedElf, IsRefusedWithItsReason) {
    ByteVector file = kernel(minimal_notes());
    std::memcpy(file.data() + GetParam().offset, &GetParam().value, GetParam().size);
    EXPECT_EQ(ElfImage::parse(file).error, GetParam().expected) << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(
    Header, DamagedElf,
    testing::Values(Damage{"magic", 0, 'X', 1, ImageError::kNotElf},
                    Damage{"class", 4, 1, 1, ImageError::kNotElf64},
                    Damage{"order", 5, 2, 1, ImageError::kNotLittleEndian},
                    Damage{"object file", 16, 1, 2, ImageError::kNotExecutable},
                    Damage{"core", 16, 4, 2, ImageError::kNotExecutable},
                    Damage{"ARM", 18, 183, 2, ImageError::kNotX86_64},
                    Damage{"table beyond file", 32, 0x2FF0, 8, ImageError::kHeaderTruncated},
                    Damage{"table wraps", 32, ~uint64_t{0} - 8, 8, ImageError::kHeaderTruncated},
                    Damage{"header size", 54, 32, 2, ImageError::kBadProgramHeaderSize},
                    Damage{"no headers", 56, 0, 2, ImageError::kNoLoadableSegment},
                    Damage{"nothing to load", kFileHeader, 6, 4, ImageError::kNoLoadableSegment}));

INSTANTIATE_TEST_SUITE_P(
    Segment, DamagedElf,
    testing::Values(
        Damage{"offset", kFileHeader + 8, 0x2001, 8, ImageError::kSegmentBeyondFile},
        Damage{"offset wraps", kFileHeader + 8, ~uint64_t{0}, 8, ImageError::kSegmentBeyondFile},
        Damage{"file size", kFileHeader + 32, 0x2001, 8, ImageError::kSegmentBeyondFile},
        Damage{"file size larger", kFileHeader + 32, 0x3001, 8, ImageError::kSegmentFileLargerThanMemory},
        Damage{"address wraps", kFileHeader + 24, ~uint64_t{0} - 0x1000, 8,
               ImageError::kSegmentAddressOverflow},
        Damage{"memory size", kFileHeader + 40, ~uint64_t{0}, 8, ImageError::kSegmentAddressOverflow}));

TEST(ElfImageTest, EveryTruncationIsRefusedOrSound) {
    const ByteVector whole = kernel(minimal_notes());
    for (size_t length = 0; length < whole.size(); length += 7) {
        const ByteVector file(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
        const auto image = ElfImage::parse(file);
        EXPECT_EQ(static_cast<bool>(image), length >= 0x2000) << length;
    }
}

TEST(ElfImageTest, OverlappingSegmentsAreRefused) {
    ByteVector file = kernel({});
    std::copy_n(file.begin() + kFileHeader, 56, file.begin() + kFileHeader + 56);
    put<uint64_t>(file, kFileHeader + 56 + 24, 0x10'2FFF);
    EXPECT_EQ(ElfImage::parse(file).error, ImageError::kSegmentsOverlap);
    put<uint64_t>(file, kFileHeader + 56 + 24, 0x10'3000);
    EXPECT_TRUE(ElfImage::parse(file));
}

TEST(PvNotesTest, ReadsWhatALinuxKernelSays) {
    // The notes point into the file, which must outlive them.
    const ByteVector file = kernel(
        minimal_notes() + string_note(ElfNote::kFeatures, "!writable_page_tables|pae_pgdir_above_4gb") +
        number_note(ElfNote::kSupportedFeatures, 0x8801) + number_note(ElfNote::kInitP2m, 0x80'0000'0000) +
        number_note(ElfNote::kModStartPfn, 1) + number_note(ElfNote::kHvStartLow, 0xFFFF'8000'0000'0000) +
        number_note(ElfNote::kHypercallPage, kVirtBase + 0x10'1000));
    const auto notes = notes_of(file, 1);
    ASSERT_TRUE(notes) << to_string(notes.error);
    EXPECT_EQ(notes.value.guest_os, "test");
    EXPECT_EQ(notes.value.entry, kVirtBase + 0x10'0040);
    EXPECT_EQ(notes.value.init_p2m, 0x80'0000'0000u);
    EXPECT_EQ(notes.value.required_features, 1u);
    EXPECT_EQ(notes.value.supported_features, 0x8811u);
    EXPECT_TRUE(notes.value.mod_start_pfn);
    EXPECT_EQ(notes.value.hypercall_page, kVirtBase + 0x10'1000);
}

TEST(PvNotesTest, RequiredFeatureMustBeOffered) {
    const ByteVector file =
        kernel(minimal_notes() + string_note(ElfNote::kFeatures, "!auto_translated_physmap"));
    EXPECT_EQ(notes_of(file, 1).error, ImageError::kFeatureUnsupported);
    EXPECT_TRUE(notes_of(file, 4));
    const ByteVector unknown =
        kernel(minimal_notes() + string_note(ElfNote::kFeatures, "a|!no_such_feature"));
    EXPECT_EQ(notes_of(unknown, ~0u).error, ImageError::kFeatureUnsupported);
}

TEST(PvNotesTest, RefusesWhatLiesOutside) {
    EXPECT_EQ(notes_of(kernel(minimal_notes() + number_note(ElfNote::kEntry, kVirtBase))).error,
              ImageError::kEntryOutsideImage);
    EXPECT_EQ(
        notes_of(kernel(minimal_notes() + number_note(ElfNote::kHypercallPage, kVirtBase + 0x10'3000))).error,
        ImageError::kHypercallPageOutsideImage);
    EXPECT_EQ(
        notes_of(kernel(minimal_notes() + number_note(ElfNote::kHypercallPage, kVirtBase + 0x10'0001))).error,
        ImageError::kHypercallPageOutsideImage);
    EXPECT_EQ(notes_of(kernel(minimal_notes() + number_note(ElfNote::kPaddrOffset, 0x20'0000))).error,
              ImageError::kSegmentAddressOverflow);
    EXPECT_EQ(notes_of(kernel(minimal_notes() + number_note(ElfNote::kVirtBase, ~uint64_t{0} - 0xFFF))).error,
              ImageError::kSegmentAddressOverflow);
}

TEST(PvNotesTest, NamesMissingNotes) {
    EXPECT_EQ(notes_of(kernel({})).error, ImageError::kNoPvNotes);
    EXPECT_EQ(notes_of(kernel(note("Linux", 1, {1, 2, 3, 4}))).error, ImageError::kNoPvNotes);
    EXPECT_EQ(notes_of(kernel(number_note(ElfNote::kPhys32Entry, 0x10'0000))).error,
              ImageError::kNotPvKernel);
}

TEST(PvNotesTest, DamagedNotes) {
    ByteVector cut = minimal_notes();
    put<uint32_t>(cut, cut.size() - 8 - 4 - 8, 0xFFFF'FFFF);  // descsz of the last note
    EXPECT_EQ(notes_of(kernel(cut)).error, ImageError::kNoteBeyondSegment);
    EXPECT_EQ(notes_of(kernel(minimal_notes() + string_note(ElfNote::kEntry, "ab"))).error,
              ImageError::kNoteBadNumber);
}

TEST(PvNotesTest, LegacySection) {
    ByteVector file = kernel({});
    const std::string text =
        "GUEST_OS=netbsd,VIRT_BASE=0xffffffff80000000,ELF_PADDR_OFFSET=0x0,HYPERCALL_PAGE=0x102,"
        "VIRT_ENTRY=0xffffffff80100000,LOADER=generic,BSD_SYMTAB=yes";
    const size_t content = 0x400;
    const size_t names = 0x600;
    std::copy(text.begin(), text.end(), file.begin() + content);
    std::memcpy(file.data() + names, "\0__xen_guest\0.shstrtab", 23);
    const size_t table = 0x700;
    put<uint64_t>(file, 40, table);
    put<uint16_t>(file, 58, 64);
    put<uint16_t>(file, 60, 3);
    put<uint16_t>(file, 62, 2);
    put<uint32_t>(file, table + 64, 1);
    put<uint32_t>(file, table + 64 + 4, 1);
    put<uint64_t>(file, table + 64 + 24, content);
    put<uint64_t>(file, table + 64 + 32, text.size());
    put<uint32_t>(file, table + 128, 13);
    put<uint32_t>(file, table + 128 + 4, 3);
    put<uint64_t>(file, table + 128 + 24, names);
    put<uint64_t>(file, table + 128 + 32, 23);
    const auto notes = notes_of(file);
    ASSERT_TRUE(notes) << to_string(notes.error);
    EXPECT_TRUE(notes.value.legacy);
    EXPECT_EQ(notes.value.guest_os, "netbsd");
    EXPECT_EQ(notes.value.hypercall_page, kVirtBase + 0x10'2000);
    EXPECT_TRUE(notes.value.bsd_symtab);
}

TEST(ImageErrorTest, EveryErrorHasItsSentence) {
    for (int error = 1; error <= static_cast<int>(ImageError::kPayloadUnknownFormat); ++error) {
        EXPECT_STRNE(to_string(static_cast<ImageError>(error)), "unknown error") << error;
    }
}

ByteVector bzimage(const std::string& payload) {
    ByteVector file(0x1000);
    file[0x1F1] = 3;
    put<uint16_t>(file, 0x1FE, 0xAA55);
    std::memcpy(file.data() + 0x202, "HdrS", 4);
    put<uint16_t>(file, 0x206, 0x020F);
    put<uint32_t>(file, 0x248, 0x100);
    put<uint32_t>(file, 0x24C, static_cast<uint32_t>(payload.size()));
    std::copy(payload.begin(), payload.end(), file.begin() + 4 * 512 + 0x100);
    return file;
}

TEST(BzImageTest, FindsEachFormat) {
    using std::string_literals::operator""s;
    const std::pair<std::string, PayloadFormat> kFormats[] = {
        {"\3757zXZ\0data"s, PayloadFormat::kXz},       {"\050\265\057\375data"s, PayloadFormat::kZstd},
        {"\037\213\010data"s, PayloadFormat::kGzip},   {"\002\041\114\030data"s, PayloadFormat::kLz4},
        {"\135\0\0\0\4data"s, PayloadFormat::kLzma},   {"BZh9data"s, PayloadFormat::kBzip2},
        {"\211LZO\0\r\n\032\n"s, PayloadFormat::kLzo}, {"\177ELFdata"s, PayloadFormat::kElf},
    };
    for (const auto& [magic, format] : kFormats) {
        const auto payload = find_payload(bzimage(magic + "\x78\x56\x34\x12"s));
        ASSERT_TRUE(payload) << to_string(format);
        EXPECT_EQ(payload.value.format, format) << to_string(format);
        if (format != PayloadFormat::kElf) {
            EXPECT_EQ(payload.value.unpacked_size_hint, 0x12345678u);
        }
    }
}

TEST(BzImageTest, RefusesDamage) {
    ByteVector file = bzimage("\177ELF1234");
    put<uint16_t>(file, 0x206, 0x0207);
    EXPECT_EQ(find_payload(file).error, ImageError::kBzImageTooOld);
    file = bzimage("");
    EXPECT_EQ(find_payload(file).error, ImageError::kBzImageNoPayload);
    file = bzimage("\177ELF1234");
    put<uint32_t>(file, 0x248, 0xFFFF'FFFF);
    EXPECT_EQ(find_payload(file).error, ImageError::kBzImagePayloadBeyondFile);
    file = bzimage("\177ELF1234");
    put<uint32_t>(file, 0x24C, 0x1000);
    EXPECT_EQ(find_payload(file).error, ImageError::kBzImagePayloadBeyondFile);
    EXPECT_EQ(find_payload(bzimage("what?")).error, ImageError::kPayloadUnknownFormat);
    EXPECT_EQ(find_payload({}).error, ImageError::kEmpty);
    const ByteVector text = {'h', 'e', 'l', 'l', 'o'};
    EXPECT_EQ(find_payload(text).error, ImageError::kNotElf);
}

TEST(BzImageTest, AnElfIsItsOwnPayload) {
    const ByteVector file = kernel(minimal_notes());
    const auto payload = find_payload(file);
    ASSERT_TRUE(payload);
    EXPECT_EQ(payload.value.data.size(), file.size());
}

// Random damage must never read outside the file (ASan tells) and leave only sound views.
TEST(ImageRobustness, RandomDamage) {
    std::mt19937 random(3);
    const ByteVector sound = kernel(minimal_notes());
    for (int round = 0; round < 20'000; ++round) {
        ByteVector file = sound;
        for (int change = 0; change < 4; ++change) {
            file[random() % (round % 2 == 0 ? 0x100 : 0x300)] = static_cast<uint8_t>(random());
        }
        const auto image = ElfImage::parse(file);
        if (!image) continue;
        for (const Segment& segment : image.value.segments()) {
            ASSERT_LE(segment.file.size(), segment.memory_size);
            ASSERT_LE(segment.file.size(), file.size());
        }
        read_pv_notes(image.value, ~0u);
    }
}

}  // namespace
}  // namespace torii::image
