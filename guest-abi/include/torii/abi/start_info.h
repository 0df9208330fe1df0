#pragma once
// What a PV kernel finds at its entry: rsi holds the virtual address of StartInfo (public xen.h).

#include <cstddef>
#include <cstdint>

namespace torii::abi {

inline constexpr size_t kMaxGuestCommandLine = 1024;  // terminating zero included
inline constexpr char kStartInfoMagic[] = "xen-3.0-x86_64";

// StartInfo::flags
inline constexpr uint32_t kStartPrivileged = 1u << 0;     // may use privileged interfaces
inline constexpr uint32_t kStartInitialDomain = 1u << 1;  // the control domain
inline constexpr uint32_t kStartMultibootModule = 1u << 2;
inline constexpr uint32_t kStartModuleIsPfn = 1u << 3;  // mod_start is a PFN, not a virtual address
inline constexpr uint32_t kStartVirtualP2m = 1u << 4;   // tools understand ArchSharedInfo::p2m_vaddr
inline constexpr uint32_t kStartPowerManagementMask = 0xFFu << 8;

struct StartInfoDomUConsole {
    uint64_t mfn;     // frame of the console ring
    uint32_t evtchn;  // its port
    uint32_t padding;
};

struct StartInfoDom0Console {
    uint32_t info_off;  // of VgaConsoleInfo, from the beginning of StartInfo
    uint32_t info_size;
};

struct StartInfo {
    char magic[32];
    uint64_t nr_pages;
    uint64_t shared_info;  // machine address
    uint32_t flags;
    uint32_t padding0;
    uint64_t store_mfn;
    uint32_t store_evtchn;
    uint32_t padding1;
    union {
        StartInfoDomUConsole dom_u;
        StartInfoDom0Console dom0;
    } console;
    uint64_t pt_base;  // virtual address of the top-level table; the frames below it follow
    uint64_t nr_pt_frames;
    uint64_t mfn_list;  // virtual address of the P2M
    uint64_t mod_start;
    uint64_t mod_len;
    char cmd_line[kMaxGuestCommandLine];
    uint64_t first_p2m_pfn;  // frames of the P2M, when it lies outside the initial mapping
    uint64_t nr_p2m_frames;
};

// xen_multiboot_mod_list: entries at mod_start when kStartMultibootModule is set.
struct MultibootModule {
    uint32_t mod_start;
    uint32_t mod_end;
    uint32_t cmdline;
    uint32_t pad;
};

enum class VgaConsoleType : uint8_t {
    kTextMode3 = 0x03,
    kVesaLfb = 0x23,
    kEfiLfb = 0x70,
};

struct VgaTextMode3 {
    uint16_t font_height;
    uint16_t cursor_x;
    uint16_t cursor_y;
    uint16_t rows;
    uint16_t columns;
};

struct VgaFrameBuffer {
    uint16_t width;
    uint16_t height;
    uint16_t bytes_per_line;
    uint16_t bits_per_pixel;
    uint32_t lfb_base;
    uint32_t lfb_size;
    uint8_t red_pos;
    uint8_t red_size;
    uint8_t green_pos;
    uint8_t green_size;
    uint8_t blue_pos;
    uint8_t blue_size;
    uint8_t rsvd_pos;
    uint8_t rsvd_size;
    uint32_t gbl_caps;
    uint16_t mode_attrs;
    uint16_t pad;
    uint32_t ext_lfb_base;  // high half of the address
};

struct VgaConsoleInfo {
    uint8_t video_type;  // VgaConsoleType
    uint8_t padding[3];
    union {
        VgaTextMode3 text_mode_3;
        VgaFrameBuffer vesa_lfb;
    } u;
};

}  // namespace torii::abi
