// Runs at boot only.
#include "arch/x86/hw/options.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/screen.h"
#include "arch/x86/hw/screen_state.h"
#include "base/log.h"
#include "core/console/console.h"
#include "core/memory/heap.h"
#include "port/frames.h"

extern "C" const uint8_t screen_font[];

namespace torii::hw {
namespace {

constexpr unsigned kFontHeight = 16;
constexpr uint64_t kTextMemory = 0xb8000;

// What a BIOS notes of its screen, in its data area at 0x400 (IBM PS/2 BIOS interface reference, "BIOS data
// area").
struct BiosScreen {
    unsigned columns = 0;  // 0: not in a text mode in colours
    unsigned rows = 0;
    unsigned cursor_column = 0;
    unsigned cursor_row = 0;
};

template <class T>
T low_memory(uint64_t address) {
    return *reinterpret_cast<const volatile T*>(direct_map.base + address);
}

BiosScreen bios_screen(const BootInformation& info) {
    constexpr uint8_t kText80 = 3;
    BiosScreen found;
    if (info.efi_system_table != 0 || low_memory<uint8_t>(0x449) != kText80) return found;
    found.columns = low_memory<uint16_t>(0x44a);
    found.cursor_column = low_memory<uint8_t>(0x450);
    found.cursor_row = low_memory<uint8_t>(0x451);
    found.rows = low_memory<uint8_t>(0x484) + 1u;
    constexpr unsigned kUsualColumns = 80, kUsualRows = 25;
    if (found.columns == 0 || found.columns > Screen::kMostColumns) found.columns = kUsualColumns;
    if (found.rows == 1 || found.rows > Screen::kMostRows) found.rows = kUsualRows;
    return found;
}

std::span<char> take_cells(size_t cells) {
    Result<void*> room = heap_allocate(cells);
    return room.ok() ? std::span<char>(static_cast<char*>(room.value()), cells) : std::span<char>{};
}

uint32_t lit_pixel(const boot::Screen& screen) {
    const auto part = [](unsigned bits, unsigned position) -> uint32_t {
        return bits > 8 || position > 31 ? 0 : ((1u << bits) - 1) << position;
    };
    return part(screen.red_bits, screen.red_position) | part(screen.green_bits, screen.green_position) |
           part(screen.blue_bits, screen.blue_position);
}

Screen pixel_screen(const boot::Screen& given) {
    PixelBuffer buffer{.bytes_per_line = given.bytes_per_line,
                       .width = given.width,
                       .height = given.height,
                       .bytes_per_pixel = (given.bits + 7u) / 8,
                       .lit = lit_pixel(given)};
    const ScreenFont font{screen_font, kFontHeight};
    buffer.pixels = static_cast<unsigned char*>(
        map_frame_buffer(MachineAddr(given.address), uint64_t{given.bytes_per_line} * given.height));
    return Screen::on_pixels(
        buffer, font,
        take_cells(Screen::cells_for(Screen::columns_of(buffer), Screen::rows_of(buffer, font))));
}

Screen text_screen(unsigned columns, unsigned rows) {
    return Screen::on_text(reinterpret_cast<volatile uint16_t*>(direct_map.base + kTextMemory), columns, rows,
                           take_cells(Screen::cells_for(columns, rows)));
}

void show_log_so_far() {
    char text[256];
    uint32_t position = 0;
    for (bool first = true;; first = false) {
        const size_t length = console_read_ring(position, !first, false, text);
        if (length == 0) return;
        screen_state.screen.write({text, length});
    }
}

}  // namespace

void screen_start(const BootInformation& info) {
    const BiosScreen bios = bios_screen(info);
    if (info.screen.kind == boot::ScreenKind::kPixels) {
        screen_state.screen = pixel_screen(info.screen);
    } else if (info.screen.kind == boot::ScreenKind::kText) {
        screen_state.screen = text_screen(info.screen.width, info.screen.height);
    } else if (bios.columns != 0) {
        screen_state.screen = text_screen(bios.columns, bios.rows);
    }
    if (!screen_state.screen.exists()) {
        log(LogLevel::kInfo, "no screen that Torii can write to");
        return;
    }
    if (!options.screen_console) return;
    screen_state.ours = true;
    screen_state.screen.clear();
    show_log_so_far();
    log(LogLevel::kInfo, "screen: {} columns, {} rows", screen_state.screen.columns(),
        screen_state.screen.rows());
}

ScreenForDom0 describe_screen(const BootInformation& info) {
    ScreenForDom0 made;
    const boot::Screen& given = info.screen;
    const BiosScreen bios = bios_screen(info);
    if (given.kind == boot::ScreenKind::kPixels) {
        const bool efi = info.efi_system_table != 0;
        made.info.video_type =
            static_cast<uint8_t>(efi ? abi::VgaConsoleType::kEfiLfb : abi::VgaConsoleType::kVesaLfb);
        made.info.u.vesa_lfb = {
            .width = static_cast<uint16_t>(given.width),
            .height = static_cast<uint16_t>(given.height),
            .bytes_per_line = static_cast<uint16_t>(given.bytes_per_line),
            .bits_per_pixel = given.bits,
            .lfb_base = static_cast<uint32_t>(given.address),
            // Public xen.h, dom0_vga_console_info: in units of 64 KiB.
            .lfb_size = static_cast<uint32_t>((uint64_t{given.bytes_per_line} * given.height + 0xffff) >> 16),
            .red_pos = given.red_position,
            .red_size = given.red_bits,
            .green_pos = given.green_position,
            .green_size = given.green_bits,
            .blue_pos = given.blue_position,
            .blue_size = given.blue_bits,
            .ext_lfb_base = static_cast<uint32_t>(given.address >> 32)};
        made.size = sizeof(made.info);
    } else if (given.kind == boot::ScreenKind::kText || bios.columns != 0) {
        const Screen& ours = screen_state.screen;
        const bool written = ours.exists() && screen_state.ours;
        const bool told = given.kind == boot::ScreenKind::kText;
        made.info.video_type = static_cast<uint8_t>(abi::VgaConsoleType::kTextMode3);
        made.info.u.text_mode_3 = {
            .font_height = kFontHeight,
            .cursor_x = static_cast<uint16_t>(written ? ours.column() : bios.cursor_column),
            .cursor_y = static_cast<uint16_t>(written ? ours.row() : bios.cursor_row),
            .rows = static_cast<uint16_t>(told ? given.height : bios.rows),
            .columns = static_cast<uint16_t>(told ? given.width : bios.columns)};
        made.size = offsetof(abi::VgaConsoleInfo, u) + sizeof(abi::VgaTextMode3);
    }
    return made;
}

}  // namespace torii::hw
