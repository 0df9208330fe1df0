#include "fakes/fake_devices.h"

#include "core/interrupt/interrupts.h"

namespace torii {
namespace fakes {

Devices& devices() {
    static Devices instance;
    return instance;
}

PciFunction::PciFunction(const Shape& shape) : shape_(shape) {
    const auto allow = [this](unsigned reg, unsigned width) {
        for (unsigned i = 0; i < width; ++i)
            writable_[reg + i] = 0xff;
    };
    set(0x00, 4, 0x56781234);
    set(0x04, 2, 2);     // memory on
    set(0x06, 2, 0x10);  // capabilities
    allow(0x04, 2);
    allow(0x10, 24);
    allow(0xc0, 4);
    if (shape.table_bar.raw() != 0)
        set(0x10 + 4 * kTableBar, 4, static_cast<uint32_t>(shape.table_bar.raw()) | 4);
    unsigned first = 0;
    if (shape.msix_entries != 0) {
        set(kMsix, 2, 0x11);
        set(kMsix + 2, 2, shape.msix_entries - 1);
        set(kMsix + 4, 4, shape.table_offset | kTableBar);
        writable_[kMsix + 3] = 0xc0;
        first = kMsix;
    }
    if (shape.msi_messages != 0) {
        set(kMsi, 2, 0x05 | first << 8);
        const auto log = static_cast<unsigned>(__builtin_ctz(shape.msi_messages));
        set(kMsi + 2, 2, log << 1 | (shape.msi_wide ? 0x80u : 0) | (shape.msi_masks ? 0x100u : 0));
        writable_[kMsi + 2] = 0x71;
        allow(kMsi + 4, 0x14);
        first = kMsi;
    }
    set(0x34, 1, first);
    reset();
}

void PciFunction::reset() {
    if (shape_.msi_messages != 0) {
        write(kMsi + 2, 2, read(kMsi + 2, 2) & ~0x71u);
        for (unsigned at = 4; at < 0x18; at += 4)
            write(kMsi + at, 4, 0);
    }
    if (shape_.msix_entries != 0) write(kMsix + 2, 2, 0);
    for (unsigned i = 0; i < shape_.msix_entries; ++i) {
        for (unsigned word = 0; word < 4; ++word)
            devices().memory[entry(i).raw() + 4 * word] = word == 3 ? 1 : 0;
    }
}

uint32_t PciFunction::read(unsigned reg, unsigned width) const {
    uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i)
        value |= uint32_t{bytes_[reg + i]} << (8 * i);
    return value;
}

void PciFunction::set(unsigned reg, unsigned width, uint32_t value) {
    for (unsigned i = 0; i < width; ++i)
        bytes_[reg + i] = static_cast<uint8_t>(value >> (8 * i));
}

void PciFunction::write(unsigned reg, unsigned width, uint32_t value) {
    ++writes;
    for (unsigned i = 0; i < width; ++i) {
        const auto byte = static_cast<uint8_t>(value >> (8 * i));
        bytes_[reg + i] =
            static_cast<uint8_t>((bytes_[reg + i] & ~writable_[reg + i]) | (byte & writable_[reg + i]));
    }
}

bool PciFunction::send_msi(unsigned index) {
    const unsigned enabled = 1u << (read(kMsi + 2, 2) >> 4 & 7);
    const uint32_t masks = shape_.msi_masks ? read(kMsi + (shape_.msi_wide ? 0x10 : 0xc), 4) : 0;
    if (!msi_enabled() || index >= enabled || (masks >> index & 1) != 0) return false;
    const uint32_t data = read(kMsi + (shape_.msi_wide ? 0xc : 8), 2);
    devices().arrive(CpuId(read(kMsi + 4, 4) >> 12 & 0xff),
                     static_cast<uint8_t>((data & ~(enabled - 1)) | index));
    return true;
}

bool PciFunction::send_msix(unsigned index) {
    const auto& memory = devices().memory;
    if (!msix_enabled() || (memory.at(entry(index).raw() + 12) & 1) != 0) return false;
    devices().arrive(CpuId(memory.at(entry(index).raw()) >> 12 & 0xff),
                     static_cast<uint8_t>(memory.at(entry(index).raw() + 8)));
    return true;
}

PciFunction& Devices::add(PciAddress address, const PciFunction::Shape& shape) {
    functions_.emplace_back(address, std::make_unique<PciFunction>(shape));
    return *functions_.back().second;
}

PciFunction* Devices::find(PciAddress address) {
    for (auto& [where, function] : functions_) {
        if (where == address) return function.get();
    }
    return nullptr;
}

void Devices::clear() {
    functions_.clear();
    lines = {};
    memory.clear();
    lost = memory_writes = 0;
    unreachable_cpu = ~0u;
}

void Devices::arrive(CpuId cpu, uint8_t vector) {
    last_cpu = cpu;
    last_vector = vector;
    if (!device_interrupts.arrive(cpu, vector)) ++lost;
}

void Devices::pulse(uint32_t line) {
    Line& it = lines[line];
    if (it.masked) return;
    ++it.sent;
    arrive(it.route.cpu, it.route.vector);
}

void Devices::assert_line(uint32_t line) {
    lines[line].asserted = lines[line].route.level;
    pulse(line);
}

}  // namespace fakes

uint32_t pci_read(PciAddress device, unsigned reg, unsigned width) {
    const fakes::PciFunction* const function = fakes::devices().find(device);
    if (function == nullptr) return width == 4 ? ~0u : (1u << (8 * width)) - 1;
    return function->read(reg, width);
}
void pci_write(PciAddress device, unsigned reg, unsigned width, uint32_t value) {
    if (fakes::PciFunction* const function = fakes::devices().find(device); function != nullptr)
        function->write(reg, width, value);
}
uint32_t device_read(MachineAddr address) {
    const auto found = fakes::devices().memory.find(address.raw());
    return found == fakes::devices().memory.end() ? ~0u : found->second;
}
void device_write(MachineAddr address, unsigned width, uint32_t value) {
    ++fakes::devices().memory_writes;
    uint32_t& word = fakes::devices().memory[address.raw() & ~uint64_t{3}];
    const auto shift = static_cast<unsigned>(address.raw() & 3) * 8;
    const uint32_t bits = width == 4 ? ~0u : ((1u << (8 * width)) - 1) << shift;
    word = (word & ~bits) | (value << shift & bits);
}
uint32_t line_count() {
    return fakes::Devices::kLines;
}
bool line_is_reserved(uint32_t line) {
    return line == fakes::Devices::kReservedLine;
}
void set_up_line(uint32_t line, const LineRoute& route) {
    fakes::devices().lines[line].route = route;
    fakes::devices().lines[line].masked = true;
}
void send_line_to(uint32_t line, CpuId cpu) {
    fakes::devices().lines[line].route.cpu = cpu;
}
// A device that still wants something interrupts again as soon as it may.
void mask_line(uint32_t line, bool masked) {
    fakes::Line& it = fakes::devices().lines[line];
    it.masked = masked;
}
Result<uint32_t> message_address(CpuId cpu) {
    if (cpu.raw() == fakes::devices().unreachable_cpu) return Errno::kEOPNOTSUPP;
    return 0xfee00000 | cpu.raw() << 12;
}

}  // namespace torii
