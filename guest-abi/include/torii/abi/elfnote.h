#pragma once
// ELF notes by which a kernel describes itself to its loader (public elfnote.h). Owner name: "Xen".

#include <cstdint>

namespace torii::abi {

inline constexpr char kElfNoteOwner[] = "Xen";

enum class ElfNote : uint32_t {
    kInfo = 0,
    kEntry = 1,
    kHypercallPage = 2,
    kVirtBase = 3,
    kPaddrOffset = 4,
    kXenVersion = 5,
    kGuestOs = 6,
    kGuestVersion = 7,
    kLoader = 8,
    kPaeMode = 9,
    kFeatures = 10,
    kBsdSymtab = 11,
    kHvStartLow = 12,
    kL1MfnValid = 13,
    kSuspendCancel = 14,
    kInitP2m = 15,
    kModStartPfn = 16,
    kSupportedFeatures = 17,
    kPhys32Entry = 18,

    kCrashInfo = 0x100'0001,
    kCrashRegs = 0x100'0002,
    kDumpcoreNone = 0x200'0000,
    kDumpcoreHeader = 0x200'0001,
    kDumpcoreXenVersion = 0x200'0002,
    kDumpcoreFormatVersion = 0x200'0003,
};

inline constexpr uint32_t kElfNoteMax = 18;

}  // namespace torii::abi
