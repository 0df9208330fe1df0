#include "boot/efi_map.h"

namespace torii::boot {

uint32_t e820_type_of(const EfiDescriptor& descriptor) {
    abi::E820Type type = abi::E820Type::kReserved;
    switch (static_cast<EfiMemoryType>(descriptor.type)) {
        case EfiMemoryType::kLoaderCode:
        case EfiMemoryType::kLoaderData:
        case EfiMemoryType::kBootServicesCode:
        case EfiMemoryType::kBootServicesData:
        case EfiMemoryType::kConventional:
            // What can't be cached is no memory to live in; what is meant for a purpose is that purpose's.
            if ((descriptor.attributes & kEfiWriteBack) != 0 &&
                (descriptor.attributes & kEfiSpecificPurpose) == 0)
                type = abi::E820Type::kRam;
            break;
        case EfiMemoryType::kUnusable:
            type = abi::E820Type::kUnusable;
            break;
        case EfiMemoryType::kAcpiReclaim:
            type = abi::E820Type::kAcpi;
            break;
        case EfiMemoryType::kAcpiNvs:
            type = abi::E820Type::kNvs;
            break;
        default:
            break;
    }
    return static_cast<uint32_t>(type);
}

void add_efi_map(const EfiMap& efi, MemoryMapBuilder& map) {
    constexpr uint64_t kMostPages = uint64_t{1} << 40;  // 52 bits of address
    for (size_t i = 0; i < efi.count(); ++i) {
        const EfiDescriptor descriptor = efi[i];
        const uint64_t pages = descriptor.pages < kMostPages ? descriptor.pages : kMostPages;
        map.add(descriptor.physical, pages << kPageShift, e820_type_of(descriptor));
    }
}

}  // namespace torii::boot
