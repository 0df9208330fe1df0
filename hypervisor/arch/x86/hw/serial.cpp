#include "arch/x86/hw/serial.h"

#include "arch/x86/hw/registers.h"

namespace torii::hw {
namespace {

// Registers of the 16550 (National Semiconductor PC16550D data sheet).
constexpr uint16_t kData = 0, kInterruptEnable = 1, kFifoControl = 2, kLineControl = 3, kModemControl = 4,
                   kLineStatus = 5;
constexpr uint8_t kTransmitterEmpty = 0x20, kDataReady = 0x01;
constexpr uint32_t kClock = 115200;
constexpr unsigned kFifoBytes = 16;

constinit uint16_t base = 0;

void wait_for_room() {
    // A port that never drains must not hold up the machine.
    for (unsigned spins = 0; spins < 100000; ++spins) {
        if ((in8(base + kLineStatus) & kTransmitterEmpty) != 0) return;
    }
}

}  // namespace

void serial_start(uint16_t port, uint32_t baud) {
    base = port;
    out8(base + kInterruptEnable, 0);
    if (baud != 0) {
        const uint32_t divisor = kClock / baud;
        out8(base + kLineControl, 0x83);
        out8(base + kData, static_cast<uint8_t>(divisor));
        out8(base + kInterruptEnable, static_cast<uint8_t>(divisor >> 8));
    }
    out8(base + kLineControl, 0x03);   // 8 bits, no parity, one stop bit
    out8(base + kFifoControl, 0x07);   // FIFOs on and empty
    out8(base + kModemControl, 0x0b);  // DTR, RTS, interrupts out
}

void serial_write(std::string_view text) {
    if (base == 0) return;
    unsigned room = 0;
    const auto put = [&](char c) {
        if (room == 0) {
            wait_for_room();
            room = kFifoBytes;
        }
        out8(base + kData, static_cast<uint8_t>(c));
        --room;
    };
    for (const char c : text) {
        if (c == '\n') put('\r');
        put(c);
    }
}

void serial_enable_input() {
    if (base != 0) out8(base + kInterruptEnable, 1);
}

int serial_read() {
    if (base == 0 || (in8(base + kLineStatus) & kDataReady) == 0) return -1;
    return in8(base + kData);
}

}  // namespace torii::hw
