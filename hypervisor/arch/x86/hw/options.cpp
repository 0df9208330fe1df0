#include "arch/x86/hw/options.h"

#include "base/log.h"
#include "core/console/console.h"

namespace torii::hw {

constinit Options options;

namespace {

bool parse_number(std::string_view text, uint64_t& number, std::string_view& rest) {
    number = 0;
    const bool hex = text.starts_with("0x");
    size_t at = hex ? 2 : 0;
    const size_t first = at;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        unsigned digit = 16;
        if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
        if (hex && (c | 32) >= 'a' && (c | 32) <= 'f') digit = static_cast<unsigned>((c | 32) - 'a' + 10);
        if (digit >= (hex ? 16u : 10u)) break;
        if (number > (~uint64_t{0} >> 4)) return false;
        number = number * (hex ? 16 : 10) + digit;
    }
    rest = text.substr(at);
    return at != first;
}

// Cuts the part before `separator` off `text`.
std::string_view next_part(std::string_view& text, char separator) {
    const size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    return part;
}

// dom0_mem=SIZE[,min:SIZE][,max:SIZE]
bool read_dom0_memory(std::string_view value) {
    while (!value.empty()) {
        std::string_view part = next_part(value, ',');
        const bool limit = part.starts_with("max:");
        const bool least = part.starts_with("min:");
        if (limit || least) part.remove_prefix(4);
        uint64_t bytes = 0;
        if (!parse_size(part, bytes)) return false;
        if (!least) (limit ? options.dom0_memory_limit : options.dom0_memory) = bytes;
    }
    if (options.dom0_memory == 0) options.dom0_memory = options.dom0_memory_limit;
    return true;
}

// com1=BAUD[,8n1[,PORT]]
bool read_com1(std::string_view value) {
    uint64_t baud = 0;
    std::string_view rest;
    if (!parse_number(next_part(value, ','), baud, rest) || baud == 0 || baud > 115200) return false;
    options.com1_baud = static_cast<uint32_t>(baud);
    (void)next_part(value, ',');
    uint64_t port = 0;
    if (!value.empty() && parse_number(next_part(value, ','), port, rest) && port <= 0xffff)
        options.com1_port = static_cast<uint16_t>(port);
    return true;
}

bool read_console(std::string_view value) {
    options.serial_console = options.screen_console = false;
    bool all_known = true;
    while (!value.empty()) {
        const std::string_view part = next_part(value, ',');
        if (part == "com1") options.serial_console = true;
        if (part == "vga") options.screen_console = true;
        all_known &= part == "com1" || part == "vga" || part == "none";
    }
    return all_known;
}

// The mode is the boot loader's (GRUB's gfxpayload): what is left to choose is how long the screen is ours.
bool read_vga(std::string_view value) {
    bool all_known = true;
    while (!value.empty()) {
        const std::string_view part = next_part(value, ',');
        if (part == "keep") options.keep_screen = true;
        all_known &= part == "keep" || part == "current";
    }
    return all_known;
}

bool read_level(std::string_view value, void (*set)(LogThreshold)) {
    LogThreshold threshold{};
    if (!parse_log_threshold(value, threshold)) return false;
    set(threshold);
    return true;
}

struct OptionRow {
    std::string_view name;
    bool (*read)(std::string_view value);
};

constexpr OptionRow kRows[] = {
    {"console", read_console},
    {"com1", read_com1},
    {"vga", read_vga},
    {"dom0_mem", read_dom0_memory},
    {"dom0_max_vcpus",
     [](std::string_view value) {
         uint64_t count = 0;
         std::string_view rest;
         if (!parse_number(value, count, rest) || count == 0 || count > 8192) return false;
         options.dom0_vcpus = static_cast<uint32_t>(count);
         return true;
     }},
    {"maxcpus",
     [](std::string_view value) {
         uint64_t count = 0;
         std::string_view rest;
         if (!parse_number(value, count, rest) || count == 0) return false;
         options.most_cpus = static_cast<uint32_t>(count < ~0u ? count : ~0u);
         return true;
     }},
    {"nosmp",
     [](std::string_view) {
         options.most_cpus = 1;
         return true;
     }},
    {"loglvl", [](std::string_view value) { return read_level(value, set_log_threshold); }},
    {"guest_loglvl", [](std::string_view value) { return read_level(value, set_guest_log_threshold); }},
    {"noreboot",
     [](std::string_view value) {
         options.no_reboot = value != "no" && value != "0" && value != "false";
         return true;
     }},
    // Every line is on its way before whoever wrote it goes on: there is nothing to choose.
    {"sync_console", [](std::string_view) { return true; }},
    {"watchdog",
     [](std::string_view value) {
         constexpr uint32_t kUsual = 5;
         const bool off = value == "no" || value == "off" || value == "0" || value == "false";
         if (off) options.watchdog_seconds = 0;
         if (!off && options.watchdog_seconds == 0) options.watchdog_seconds = kUsual;
         return true;
     }},
    {"watchdog_timeout",
     [](std::string_view value) {
         uint64_t seconds = 0;
         std::string_view rest;
         if (!parse_number(value, seconds, rest) || seconds > 3600) return false;
         options.watchdog_seconds = static_cast<uint32_t>(seconds);
         return true;
     }},
    {"console_timestamps", [](std::string_view) { return true; }},
    {"placeholder", [](std::string_view) { return true; }},  // Debian's GRUB menu writes it in front
    {"xpti", [](std::string_view value) { return pv::read_xpti(value, options.speculation); }},
    {"pv-l1tf", [](std::string_view value) { return pv::read_pv_l1tf(value, options.speculation); }},
    {"spec-ctrl", [](std::string_view value) { return pv::read_spec_ctrl(value, options.speculation); }},
    {"direct-map", [](std::string_view value) { return parse_size(value, options.direct_map_limit); }},
};

void read_option(std::string_view word) {
    std::string_view value = word;
    const std::string_view name = next_part(value, '=');
    for (const OptionRow& row : kRows) {
        if (row.name != name) continue;
        if (!row.read(value))
            log(LogLevel::kWarning, "option \"{}\": \"{}\" is not a value that it takes; ignored", name,
                value);
        return;
    }
    log(LogLevel::kWarning, "option \"{}\" is not known; ignored", word);
}

}  // namespace

bool parse_size(std::string_view text, uint64_t& bytes) {
    std::string_view suffix;
    if (!parse_number(text, bytes, suffix)) return false;
    if (suffix.empty()) return true;
    unsigned shift = 0;
    switch (suffix[0] | 32) {
        case 'b':
            break;
        case 'k':
            shift = 10;
            break;
        case 'm':
            shift = 20;
            break;
        case 'g':
            shift = 30;
            break;
        case 't':
            shift = 40;
            break;
        default:
            return false;
    }
    if (bytes > (~uint64_t{0} >> shift)) return false;
    bytes <<= shift;
    return true;
}

void parse_options(std::string_view text) {
    while (!text.empty()) {
        const std::string_view word = next_part(text, ' ');
        if (!word.empty()) read_option(word);
    }
}

}  // namespace torii::hw
