#include <torii/abi/elfnote.h>
#include <torii/image/pv_notes.h>

#include <array>

namespace torii::image {

namespace {

using abi::ElfNote;
using abi::Feature;

struct FeatureName {
    std::string_view name;
    Feature feature;
};

// Names as kernels write them in their feature strings (public features.h without the prefix). Kernels'
// strings may hold names that no longer exist; those are ignored unless required.
constexpr std::array kFeatureNames = {
    FeatureName{"writable_page_tables", Feature::kWritablePageTables},
    FeatureName{"writable_descriptor_tables", Feature::kWritableDescriptorTables},
    FeatureName{"auto_translated_physmap", Feature::kAutoTranslatedPhysmap},
    FeatureName{"supervisor_mode_kernel", Feature::kSupervisorModeKernel},
    FeatureName{"pae_pgdir_above_4gb", Feature::kPaePgdirAbove4gb},
    FeatureName{"mmu_pt_update_preserve_ad", Feature::kMmuPtUpdatePreserveAd},
    FeatureName{"highmem_assist", Feature::kHighmemAssist},
    FeatureName{"gnttab_map_avail_bits", Feature::kGnttabMapAvailBits},
    FeatureName{"hvm_callback_vector", Feature::kHvmCallbackVector},
    FeatureName{"hvm_safe_pvclock", Feature::kHvmSafePvclock},
    FeatureName{"hvm_pirqs", Feature::kHvmPirqs},
    FeatureName{"dom0", Feature::kDom0},
    FeatureName{"memory_op_vnode_supported", Feature::kMemoryOpVnodeSupported},
    FeatureName{"linux_rsdp_unrestricted", Feature::kLinuxRsdpUnrestricted},
    FeatureName{"not_direct_mapped", Feature::kNotDirectMapped},
    FeatureName{"direct_mapped", Feature::kDirectMapped},
};

std::optional<uint32_t> feature_bit(std::string_view name) {
    for (const FeatureName& known : kFeatureNames) {
        if (known.name == name) return abi::feature_bit(known.feature);
    }
    return std::nullopt;
}

// Takes the part before the next separator off the front of `text`. (std::string_view's own substr() and
// find() would want memchr and a function that throws, which the hypervisor has not.)
std::string_view take_until(std::string_view& text, char separator) {
    size_t length = 0;
    while (length < text.size() && text[length] != separator) {
        ++length;
    }
    const std::string_view head(text.data(), length);
    text.remove_prefix(length < text.size() ? length + 1 : length);
    return head;
}

// "a|!b|c": supported names, those with a mark required. Returns false when one that is required is unknown.
bool read_feature_string(std::string_view text, PvNotes& notes) {
    while (!text.empty()) {
        std::string_view name = take_until(text, '|');
        const bool required = !name.empty() && name.front() == '!';
        if (required) name.remove_prefix(1);
        const std::optional<uint32_t> bit = feature_bit(name);
        if (!bit && required) return false;
        if (bit) notes.supported_features |= *bit;
        if (bit && required) notes.required_features |= *bit;
    }
    return true;
}

uint64_t little_endian(Bytes bytes) {
    uint64_t value = 0;
    for (size_t index = 0; index < bytes.size(); ++index) {
        value |= uint64_t{bytes[index]} << (8 * index);
    }
    return value;
}

std::optional<uint64_t> number(Bytes description) {
    const size_t size = description.size();
    if (size != 1 && size != 2 && size != 4 && size != 8) return std::nullopt;
    return little_endian(description);
}

std::string_view string(Bytes description) {
    std::string_view text(reinterpret_cast<const char*>(description.data()), description.size());
    return take_until(text, '\0');
}

// Some kernels write "yes" or "no", some a number.
bool truth(Bytes description) {
    const std::string_view text = string(description);
    if (text.starts_with("yes")) return true;
    if (text.starts_with("no")) return false;
    return number(description).value_or(0) != 0;
}

bool read_number(Bytes description, uint64_t& target) {
    const std::optional<uint64_t> value = number(description);
    if (value) target = *value;
    return value.has_value();
}

bool read_number(Bytes description, std::optional<uint64_t>& target) {
    target = number(description);
    return target.has_value();
}

struct NotesReader {
    PvNotes notes;
    bool entry_seen = false;
    ImageError error = ImageError::kNone;

    void take(uint32_t type, Bytes description) {
        if (!take_number(type, description)) error = ImageError::kNoteBadNumber;
        take_string(type, description);
    }

    // False for a number of a wrong size.
    bool take_number(uint32_t type, Bytes description) {
        switch (static_cast<ElfNote>(type)) {
            case ElfNote::kEntry:
                entry_seen = true;
                return read_number(description, notes.entry);
            case ElfNote::kHypercallPage:
                return read_number(description, notes.hypercall_page);
            case ElfNote::kVirtBase:
                return read_number(description, notes.virt_base);
            case ElfNote::kPaddrOffset:
                return read_number(description, notes.paddr_offset);
            case ElfNote::kHvStartLow:
                return read_number(description, notes.hv_start_low);
            case ElfNote::kInitP2m:
                return read_number(description, notes.init_p2m);
            case ElfNote::kPhys32Entry:
                return read_number(description, notes.phys32_entry);
            case ElfNote::kSupportedFeatures: {
                uint64_t bits = 0;
                const bool sound = read_number(description, bits);
                notes.supported_features |= static_cast<uint32_t>(bits);
                return sound;
            }
            case ElfNote::kL1MfnValid:
                if (description.size() < 16)
                    return description.size() == 8;  // an older form, with 32-bit words
                notes.l1_mfn_valid = L1MfnValid{little_endian(description.subspan(0, 8)),
                                                little_endian(description.subspan(8, 8))};
                return true;
            default:
                return true;
        }
    }

    void take_string(uint32_t type, Bytes description) {
        switch (static_cast<ElfNote>(type)) {
            case ElfNote::kGuestOs:
                notes.guest_os = string(description);
                break;
            case ElfNote::kGuestVersion:
                notes.guest_version = string(description);
                break;
            case ElfNote::kXenVersion:
                notes.xen_version = string(description);
                break;
            case ElfNote::kLoader:
                notes.loader = string(description);
                break;
            case ElfNote::kPaeMode:
                notes.pae_mode = string(description);
                break;
            case ElfNote::kFeatures:
                notes.features = string(description);
                if (!read_feature_string(notes.features, notes)) error = ImageError::kFeatureUnsupported;
                break;
            case ElfNote::kBsdSymtab:
                notes.bsd_symtab = truth(description);
                break;
            case ElfNote::kModStartPfn:
                notes.mod_start_pfn = truth(description);
                break;
            case ElfNote::kSuspendCancel:
                notes.suspend_cancel = truth(description);
                break;
            default:
                break;
        }
    }

    // True when the area held notes of our owner, sound or not.
    bool take_area(Bytes area) {
        bool found = false;
        while (area.size() >= 12 && error == ImageError::kNone) {
            const uint64_t name_size = little_endian(area.subspan(0, 4));
            const uint64_t description_size = little_endian(area.subspan(4, 4));
            const auto type = static_cast<uint32_t>(little_endian(area.subspan(8, 4)));
            const uint64_t description_start = 12 + ((name_size + 3) & ~uint64_t{3});
            if (description_start > area.size() || description_size > area.size() - description_start) {
                // Other owners' damage is not ours to report.
                if (found) error = ImageError::kNoteBeyondSegment;
                return found;
            }
            const Bytes name = area.subspan(12, name_size);
            if (name.size() == sizeof(abi::kElfNoteOwner) && string(name) == abi::kElfNoteOwner) {
                found = true;
                take(type, area.subspan(description_start, description_size));
            }
            const uint64_t next = description_start + ((description_size + 3) & ~uint64_t{3});
            area = next < area.size() ? area.subspan(next) : Bytes{};
        }
        return found;
    }
};

std::optional<uint64_t> parse_number(std::string_view text) {
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    if (hexadecimal) text.remove_prefix(2);
    const uint64_t base = hexadecimal ? 16 : 10;
    if (text.empty()) return std::nullopt;
    uint64_t value = 0;
    for (const char character : text) {
        uint64_t digit = 0;
        if (character >= '0' && character <= '9') {
            digit = static_cast<uint64_t>(character - '0');
        } else if (character >= 'a' && character <= 'f') {
            digit = static_cast<uint64_t>(character - 'a') + 10;
        } else if (character >= 'A' && character <= 'F') {
            digit = static_cast<uint64_t>(character - 'A') + 10;
        } else {
            return std::nullopt;
        }
        if (digit >= base || value > (~uint64_t{0} - digit) / base) return std::nullopt;
        value = value * base + digit;
    }
    return value;
}

// The __xen_guest section: "KEY=value,KEY=value,...". Its PADDR_OFFSET defaults to VIRT_BASE and its
// hypercall page is a page number inside the image, other than in the notes.
class LegacyReader {
public:
    explicit LegacyReader(NotesReader& reader) : reader_(reader) { reader_.notes.legacy = true; }

    void take(std::string_view text) {
        while (!text.empty() && reader_.error == ImageError::kNone) {
            take_pair(take_until(text, ','));
        }
        PvNotes& notes = reader_.notes;
        if (!offset_seen_) notes.paddr_offset = notes.virt_base;
        if (hypercall_page_number_) notes.hypercall_page = notes.virt_base + (*hypercall_page_number_ << 12);
    }

private:
    void take_pair(std::string_view value) {
        const std::string_view key = take_until(value, '=');
        PvNotes& notes = reader_.notes;
        if (key == "GUEST_OS") notes.guest_os = value;
        if (key == "GUEST_VER") notes.guest_version = value;
        if (key == "XEN_VER") notes.xen_version = value;
        if (key == "LOADER") notes.loader = value;
        if (key == "PAE") notes.pae_mode = value;
        if (key == "BSD_SYMTAB") notes.bsd_symtab = true;
        if (key == "FEATURES") {
            notes.features = value;
            if (!read_feature_string(value, notes)) reader_.error = ImageError::kFeatureUnsupported;
        }
        if (key == "VIRT_BASE") take_number(value, notes.virt_base);
        if (key == "VIRT_ENTRY") reader_.entry_seen = take_number(value, notes.entry);
        if (key == "ELF_PADDR_OFFSET") offset_seen_ = take_number(value, notes.paddr_offset);
        if (key == "HYPERCALL_PAGE") {
            uint64_t page = 0;
            if (take_number(value, page)) hypercall_page_number_ = page;
        }
    }

    bool take_number(std::string_view text, uint64_t& target) {
        const std::optional<uint64_t> value = parse_number(text);
        if (!value) reader_.error = ImageError::kNoteBadNumber;
        target = value.value_or(0);
        return value.has_value();
    }

    NotesReader& reader_;
    bool offset_seen_ = false;
    std::optional<uint64_t> hypercall_page_number_;
};

// Whether [start, start + size) lies in one segment, by the addresses that the kernel will run at.
bool inside_image(const ElfImage& image, const PvNotes& notes, uint64_t start, uint64_t size) {
    for (const Segment& segment : image.segments()) {
        const uint64_t base = notes.virtual_address(segment);
        if (start >= base && start - base <= segment.memory_size &&
            size <= segment.memory_size - (start - base)) {
            return true;
        }
    }
    return false;
}

ImageError check_against_image(const ElfImage& image, const PvNotes& notes, uint32_t offered_features) {
    constexpr uint64_t kPage = 4096;
    if ((notes.required_features & ~offered_features) != 0) return ImageError::kFeatureUnsupported;
    if (notes.paddr_offset > image.physical_low()) return ImageError::kSegmentAddressOverflow;
    const uint64_t size = image.physical_high() - notes.paddr_offset;
    if (notes.virt_base + size < size) return ImageError::kSegmentAddressOverflow;
    if (!inside_image(image, notes, notes.entry, 1)) return ImageError::kEntryOutsideImage;
    if (notes.hypercall_page) {
        const uint64_t page = *notes.hypercall_page;
        if (page % kPage != 0 || !inside_image(image, notes, page, kPage)) {
            return ImageError::kHypercallPageOutsideImage;
        }
    }
    return ImageError::kNone;
}

}  // namespace

Parsed<PvNotes> read_pv_notes(const ElfImage& image, uint32_t offered_features) {
    NotesReader reader;
    // Several areas may hold ours; all are read.
    bool found = false;
    image.find_note_area([&](Bytes area) {
        found |= reader.take_area(area);
        return reader.error != ImageError::kNone;
    });
    if (!found) {
        if (const Bytes legacy = image.section("__xen_guest"); !legacy.empty()) {
            LegacyReader(reader).take(string(legacy));
            found = true;
            // The ELF entry is the kernel's own in these.
            if (!reader.entry_seen) reader.notes.entry = image.entry();
            reader.entry_seen = true;
        }
    }
    if (reader.error == ImageError::kNone && !found) reader.error = ImageError::kNoPvNotes;
    // A kernel with only PHYS32_ENTRY starts in hardware-virtualised domains alone.
    if (reader.error == ImageError::kNone && !reader.entry_seen) {
        if (reader.notes.phys32_entry && reader.notes.virt_base == 0) {
            reader.error = ImageError::kNotPvKernel;
        } else {
            reader.notes.entry = image.entry();
        }
    }
    if (reader.error == ImageError::kNone) {
        reader.error = check_against_image(image, reader.notes, offered_features);
    }
    return {reader.notes, reader.error};
}

}  // namespace torii::image
