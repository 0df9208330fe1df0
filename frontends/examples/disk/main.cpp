// Shows a disk: connects device/vbd/51712 (xvda), or `disk=NUMBER` of the command line, and says what it is.
// With `write=yes` it writes its last MiB, reads it back, and says whether both agree; with `rounds=COUNT` it
// connects, does so and lets go so many times.

#include <torii/guest/console.h>
#include <torii/guest/start.h>

#include <optional>

#include "drivers/block_disk.h"

using namespace torii::guest;

namespace {

uint8_t g_data[1 << 20];
uint8_t g_back[1 << 20];
// Filled when the guest runs: nobody runs constructors of global objects.
constinit std::optional<BlockDisk> g_disk;

uint32_t number_of(std::string_view text) {
    uint32_t number = 0;
    for (const char digit : text)
        number = number * 10 + static_cast<uint32_t>(digit - '0');
    return number;
}

bool holds_what_is_written() {
    for (size_t i = 0; i < sizeof(g_data); ++i)
        g_data[i] = static_cast<uint8_t>(i * 7 + i / 4096);
    const uint64_t sector = g_disk->sectors() - sizeof(g_data) / 512;
    const bool moved = g_disk->write(sector, g_data) == torii::abi::BlockStatus::kOkay &&
                       g_disk->flush() == torii::abi::BlockStatus::kOkay &&
                       g_disk->read(sector, g_back) == torii::abi::BlockStatus::kOkay;
    return moved && __builtin_memcmp(g_data, g_back, sizeof(g_data)) == 0;
}

// False when it could not be had, or not be let go.
bool show(uint32_t number) {
    if (!g_disk->open(number)) {
        const std::string_view reason = g_disk->reason();
        print("Disk {}: {}\n", uint64_t{number}, reason.empty() ? "none, or nobody serves it." : reason);
        return false;
    }
    print("Disk {}: {} sectors of 512 bytes, {} at a time, {}.\n", uint64_t{number}, g_disk->sectors(),
          uint64_t{g_disk->sector_size()}, g_disk->read_only() ? "read-only" : "writable");
    if (option("write") == "yes") {
        print(
            "Disk {}: {}.\n", uint64_t{number},
            holds_what_is_written() ? "what was written is read back" : "WHAT WAS WRITTEN IS NOT READ BACK");
    }
    const bool let_go = g_disk->close();
    print("Disk {}: {}.\n", uint64_t{number}, let_go ? "let go" : "NOT LET GO");
    return let_go;
}

}  // namespace

void torii::guest::guest_main() {
    g_disk.emplace();
    const std::string_view which = option("disk");
    const uint32_t number = which.empty() ? 51712 : number_of(which);
    const uint32_t rounds = number_of(option("rounds"));
    for (uint32_t round = 0; round == 0 || round < rounds; ++round)
        if (!show(number)) return;
    if (rounds != 0) print("Disk {}: {} rounds.\n", uint64_t{number}, uint64_t{rounds});
}
