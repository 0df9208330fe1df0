// Devices with registers: PCI functions with MSI and MSI-X, and interrupt lines behind an IO-APIC. What they
// send comes to device_interrupts.arrive(), as it would from a CPU's vector.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/frame.h"
#include "base/ids.h"
#include "port/devices.h"

namespace torii::fakes {

// One PCI function. What is written is kept as far as its register may be written to.
class PciFunction {
public:
    struct Shape {
        unsigned msi_messages = 0;  // 0: no MSI capability
        bool msi_wide = true;
        bool msi_masks = true;
        unsigned msix_entries = 0;  // 0: no MSI-X capability
        MachineAddr table_bar{};    // where BAR 2 lies
        uint32_t table_offset = 0;
    };
    static constexpr unsigned kMsi = 0x50, kMsix = 0x80, kTableBar = 2;

    explicit PciFunction(const Shape& shape);
    [[nodiscard]] uint32_t read(unsigned reg, unsigned width) const;
    void write(unsigned reg, unsigned width, uint32_t value);
    unsigned writes = 0;
    // Without looking at what may be written: what the hardware itself changes.
    void set(unsigned reg, unsigned width, uint32_t value);
    // The function is reset: messages off and forgotten.
    void reset();

    [[nodiscard]] bool msi_enabled() const { return (read(kMsi + 2, 2) & 1) != 0; }
    [[nodiscard]] bool msix_enabled() const { return (read(kMsix + 2, 2) & 0xc000) == 0x8000; }
    [[nodiscard]] MachineAddr entry(unsigned index) const {
        return shape_.table_bar + shape_.table_offset + 16 * index;
    }
    // Sends message `index`, unless it is masked: then it is pending. False: it was not sent.
    bool send_msi(unsigned index);
    bool send_msix(unsigned index);

private:
    Shape shape_;
    std::array<uint8_t, 256> bytes_{};
    std::array<uint8_t, 256> writable_{};
};

struct Line {
    LineRoute route{};
    bool masked = true;
    bool asserted = false;  // a level-triggered device wants something
    unsigned sent = 0;
};

class Devices {
public:
    static constexpr uint32_t kLines = 24;
    static constexpr uint32_t kReservedLine = 4;

    PciFunction& add(PciAddress address, const PciFunction::Shape& shape);
    [[nodiscard]] PciFunction* find(PciAddress address);
    void clear();
    // An edge, or a level that stays until withdraw_line(). Sends unless the line is masked; pulse() sends a
    // level again, as an IO-APIC does once the mask is away.
    void assert_line(uint32_t line);
    void withdraw_line(uint32_t line) { lines[line].asserted = false; }

    std::array<Line, kLines> lines{};
    std::map<uint64_t, uint32_t> memory;  // of devices, by address
    unsigned memory_writes = 0;
    uint32_t unreachable_cpu = ~0u;  // can't be named in a message

    // Vectors that came and that nobody wanted.
    unsigned lost = 0;
    // Where the last interrupt went.
    CpuId last_cpu{};
    uint8_t last_vector = 0;

    void arrive(CpuId cpu, uint8_t vector);
    void pulse(uint32_t line);

private:
    std::vector<std::pair<PciAddress, std::unique_ptr<PciFunction>>> functions_;
};

[[nodiscard]] Devices& devices();

}  // namespace torii::fakes
