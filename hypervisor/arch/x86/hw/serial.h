// The first serial port, 16550.
#pragma once

#include <cstdint>
#include <string_view>

namespace torii::hw {

void serial_start(uint16_t port, uint32_t baud);  // baud 0: leave as the firmware set it
void serial_write(std::string_view text);
void serial_enable_input();       // interrupt on received bytes
[[nodiscard]] int serial_read();  // a byte, or -1

}  // namespace torii::hw
