#include "arch/x86/hw/io_apic.h"

#include "arch/x86/hw/acpi.h"
#include "arch/x86/hw/apic.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/smp.h"
#include "base/lock.h"
#include "base/log.h"
#include "core/memory/io_frames.h"
#include "port/devices.h"

namespace torii {
namespace hw {
namespace {

// Registers and entries: Intel 82093AA data sheet, section 3.
constexpr unsigned kVersion = 1, kFirstEntry = 0x10;
constexpr uint32_t kActiveLow = 1u << 13, kLevel = 1u << 15, kMasked = 1u << 16;
constexpr unsigned kDestinationShift = 24;

class IoApic {
public:
    constexpr IoApic() = default;
    IoApic(const IoApicPlace& place, volatile uint32_t* registers)
        : registers_(registers), first_line_(place.first_line) {
        pins_ = (read(kVersion) >> 16 & 0xff) + 1;
    }
    [[nodiscard]] uint32_t first_line() const { return first_line_; }
    [[nodiscard]] uint32_t end() const { return first_line_ + pins_; }

    [[nodiscard]] uint32_t entry(uint32_t line) const { return read(index_of(line)); }
    void write_entry(uint32_t line, uint32_t value) { write(index_of(line), value); }
    void write_destination(uint32_t line, uint32_t apic) {
        write(index_of(line) + 1, apic << kDestinationShift);
    }

private:
    [[nodiscard]] unsigned index_of(uint32_t line) const { return kFirstEntry + 2 * (line - first_line_); }
    [[nodiscard]] uint32_t read(unsigned index) const {
        registers_[0] = index;
        return registers_[4];
    }
    void write(unsigned index, uint32_t value) {
        registers_[0] = index;
        registers_[4] = value;
    }

    volatile uint32_t* registers_ = nullptr;
    uint32_t first_line_ = 0;
    uint32_t pins_ = 0;
};

constexpr unsigned kMost = 64;
constinit IoApic io_apics[kMost];
constinit unsigned io_apic_count = 0;
constinit uint32_t lines = 0;
constexpr uint32_t kNoLine = ~0u;
constinit uint32_t reserved_line = kNoLine;
// Index and data are two accesses.
constinit Spinlock io_apic_lock{LockRank::kPci};

IoApic* io_apic_of(uint32_t line) {
    for (unsigned i = 0; i < io_apic_count; ++i) {
        if (line >= io_apics[i].first_line() && line < io_apics[i].end()) return &io_apics[i];
    }
    return nullptr;
}

}  // namespace

void io_apic_start() {
    for (unsigned i = 0; i < kMost; ++i) {
        const IoApicPlace place = io_apic_place(i);
        if (place.address.raw() == 0) break;
        reserve_io_frame(frame_of(place.address));
        auto* const registers = static_cast<volatile uint32_t*>(map_device(place.address, kPageSize));
        IoApic& fresh = io_apics[io_apic_count++] = IoApic(place, registers);
        for (uint32_t line = fresh.first_line(); line < fresh.end(); ++line)
            fresh.write_entry(line, kMasked);
        if (fresh.end() > lines) lines = fresh.end();
    }
    log(LogLevel::kInfo, "{} IO-APICs with {} interrupt lines", io_apic_count, lines);
}

void route_isa_interrupt(unsigned irq, unsigned vector) {
    const IsaLine line = find_isa_line(irq);
    if (io_apic_of(line.line) == nullptr) {
        log(LogLevel::kWarning, "no IO-APIC serves interrupt {}: the serial console takes no input", irq);
        return;
    }
    reserved_line = line.line;
    set_up_line(line.line, {local().id, static_cast<uint8_t>(vector), line.level, line.active_low});
    mask_line(line.line, false);
}

}  // namespace hw

uint32_t line_count() {
    return hw::lines;
}

bool line_is_reserved(uint32_t line) {
    return line == hw::reserved_line;
}

void set_up_line(uint32_t line, const LineRoute& route) {
    hw::IoApic* const io_apic = hw::io_apic_of(line);
    if (io_apic == nullptr) return;
    const uint32_t mode = (route.active_low ? hw::kActiveLow : 0) | (route.level ? hw::kLevel : 0);
    const LockGuard guard(hw::io_apic_lock);
    io_apic->write_entry(line, hw::kMasked | mode | route.vector);
    io_apic->write_destination(line, hw::local_of(route.cpu).apic_id);
}

void send_line_to(uint32_t line, CpuId cpu) {
    hw::IoApic* const io_apic = hw::io_apic_of(line);
    if (io_apic == nullptr) return;
    const LockGuard guard(hw::io_apic_lock);
    io_apic->write_destination(line, hw::local_of(cpu).apic_id);
}

void mask_line(uint32_t line, bool masked) {
    hw::IoApic* const io_apic = hw::io_apic_of(line);
    if (io_apic == nullptr) return;
    const LockGuard guard(hw::io_apic_lock);
    const uint32_t entry = io_apic->entry(line);
    io_apic->write_entry(line, masked ? entry | hw::kMasked : entry & ~hw::kMasked);
}

Result<uint32_t> message_address(CpuId cpu) {
    constexpr uint32_t kBase = 0xfee00000;
    constexpr uint32_t kMostOfMessage = 255;  // which names all CPUs
    const uint32_t apic = hw::local_of(cpu).apic_id;
    if (apic >= kMostOfMessage) return Errno::kEOPNOTSUPP;
    return kBase | apic << 12;
}

}  // namespace torii
