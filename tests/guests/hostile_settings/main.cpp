// A control domain that sets its devices up in ways that no driver would: interrupts, configuration space,
// device memory. For the machine that run.py makes, with an AHCI controller (MSI) and a virtio device
// (MSI-X).

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

// PCI Local Bus 3.0, 6.1 and appendix D: classes, and where configuration space has what.
constexpr uint32_t kClassAhci = 0x010601;
constexpr uint16_t kVendorVirtio = 0x1AF4;
constexpr uint8_t kCapabilityMsi = 0x05;
constexpr uint8_t kCapabilityMsiX = 0x11;
constexpr unsigned kCommand = 0x04;
constexpr unsigned kClass = 0x08;
constexpr unsigned kFirstBar = 0x10;
constexpr unsigned kCapabilities = 0x34;

struct Device {
    uint8_t devfn = 0;
    bool found = false;
};

uint32_t config_address(uint8_t devfn, unsigned offset) {
    return 0x8000'0000u | uint32_t{devfn} << 8 | (offset & 0xFCu);
}
uint32_t read_config(uint8_t devfn, unsigned offset) {
    write_port_32(0xCF8, config_address(devfn, offset));
    return read_port_32(0xCFC);
}
void write_config(uint8_t devfn, unsigned offset, uint32_t value) {
    write_port_32(0xCF8, config_address(devfn, offset));
    write_port_32(0xCFC, value);
}

template <class Wanted>
Device find_device(Wanted wanted) {
    for (unsigned devfn = 0; devfn < 256; ++devfn) {
        const auto number = static_cast<uint8_t>(devfn);
        if (read_config(number, 0) != 0xFFFF'FFFF && wanted(number)) return {number, true};
    }
    return {};
}
Device ahci() {
    return find_device([](uint8_t devfn) { return read_config(devfn, kClass) >> 8 == kClassAhci; });
}
Device virtio() {
    return find_device([](uint8_t devfn) { return (read_config(devfn, 0) & 0xFFFF) == kVendorVirtio; });
}

unsigned find_capability(uint8_t devfn, uint8_t id) {
    unsigned offset = read_config(devfn, kCapabilities) & 0xFC;
    for (int i = 0; offset != 0 && i < 48; ++i) {
        const uint32_t header = read_config(devfn, offset);
        if ((header & 0xFF) == id) return offset;
        offset = header >> 8 & 0xFC;
    }
    return 0;
}

void tell_of(uint8_t devfn) {
    abi::PhysdevPciDeviceAdd device{};
    device.devfn = devfn;
    (void)physdev_op(abi::PhysdevOp::kPciDeviceAdd, device);
}

// As Linux asks for one; pirq of the answer, or the error.
int64_t map_message(int32_t devfn, int32_t entry = 0, uint64_t table = 0, int32_t bus = 0) {
    abi::PhysdevMapPirq request{};
    request.domid = abi::kDomIdSelf;
    request.type = static_cast<int32_t>(abi::MapPirqType::kMsiSegment);
    request.index = -1;
    request.pirq = -1;
    request.bus = bus;
    request.devfn = devfn;
    request.entry_nr = entry;
    request.table_base = table;
    const int64_t result = physdev_op(abi::PhysdevOp::kMapPirq, request);
    return result < 0 ? result : request.pirq;
}
int64_t unmap(int64_t pirq) {
    abi::PhysdevUnmapPirq request{abi::kDomIdSelf, 0, static_cast<int32_t>(pirq)};
    return physdev_op(abi::PhysdevOp::kUnmapPirq, request);
}

bool may_use_ports() {
    abi::PhysdevSetIopl op{1};
    return is_control_domain() && physdev_op(abi::PhysdevOp::kSetIopl, op) == 0;
}

// Reads and writes one word of a frame that is no memory. What is there has to answer, not to be anything.
bool touch(uint64_t mfn) {
    constexpr unsigned kSlot = 9;
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    const int64_t result = update_va_mapping(mapping.address, make_entry(mfn, kPtePage | kPteCacheDisable));
    bool faulted = false;
    if (result == 0)
        faulted =
            catch_trap([&] { (void)*reinterpret_cast<const volatile uint32_t*>(mapping.address); }).happened;
    CHECK_SUCCEEDS(update_va_mapping(mapping.address, 0));
    drop_scratch_mapping(mapping);
    return result == 0 && !faulted;
}

}  // namespace

GUEST_TEST(device_message_twice, "A device's message is mapped once, and taken back once") {
    if (!may_use_ports()) return skip("an ordinary domain");
    const Device device = ahci();
    if (!device.found || find_capability(device.devfn, kCapabilityMsi) == 0)
        return skip("no AHCI controller with MSI");
    tell_of(device.devfn);
    const int64_t pirq = map_message(device.devfn);
    CHECK(pirq >= 0);
    CHECK(map_message(device.devfn) < 0);
    CHECK_SUCCEEDS(unmap(pirq));
    CHECK(unmap(pirq) < 0);
    const int64_t again = map_message(device.devfn);
    CHECK(again >= 0);
    CHECK_SUCCEEDS(unmap(again));
}

GUEST_TEST(device_without_messages, "No message of devices that have none, or are not there") {
    if (!may_use_ports()) return skip("an ordinary domain");
    // The host bridge; a function that answers nothing; numbers of no function; a bus that is not there.
    tell_of(0);
    CHECK(map_message(0) < 0);
    CHECK(map_message(0xF5) < 0);
    CHECK(map_message(0x1F5) < 0);
    CHECK(map_message(-1) < 0);
    CHECK(map_message(0, 0, 0, 0xEE) < 0);
}

GUEST_TEST(device_table_elsewhere,
           "The table of MSI-X is where the device has it, not where the caller says") {
    if (!may_use_ports()) return skip("an ordinary domain");
    const Device device = virtio();
    const unsigned capability = device.found ? find_capability(device.devfn, kCapabilityMsiX) : 0;
    if (capability == 0) return skip("no virtio device with MSI-X");
    tell_of(device.devfn);
    const uint32_t place = read_config(device.devfn, capability + 4);
    const uint32_t bar = read_config(device.devfn, kFirstBar + 4 * (place & 7)) & ~0xFu;
    const unsigned entries = (read_config(device.devfn, capability) >> 16 & 0x7FF) + 1;
    CHECK(bar != 0);
    const uint64_t table = uint64_t{bar} + (place & ~7u);
    Page* page = allocate_page();
    // Refused, or mapped where the device has it.
    const int64_t pirq = map_message(device.devfn, 0, machine_address_of(page));
    if (pirq >= 0) CHECK_SUCCEEDS(unmap(pirq));
    CHECK(map_message(device.devfn, static_cast<int32_t>(entries), table) < 0);
    CHECK(map_message(device.devfn, -1, table) < 0);
    for (const uint64_t word : page->words)
        CHECK_EQUAL(word, 0u);
    free_page(page);
}

GUEST_TEST(device_tables_overlap,
           "A table of MSI-X that was moved onto another device's memory changes nothing there") {
    if (!may_use_ports()) return skip("an ordinary domain");
    const Device device = virtio();
    const unsigned capability = device.found ? find_capability(device.devfn, kCapabilityMsiX) : 0;
    const Device other = ahci();
    if (capability == 0 || !other.found) return skip("no virtio device with MSI-X beside an AHCI controller");
    tell_of(device.devfn);
    const uint32_t place = read_config(device.devfn, capability + 4);
    const unsigned bar = kFirstBar + 4 * (place & 7);
    const uint32_t before = read_config(device.devfn, bar);
    // AHCI's registers, its sixth base address.
    const uint32_t registers = read_config(other.devfn, kFirstBar + 4 * 5) & ~0xFu;
    write_config(device.devfn, bar, registers);
    const int64_t pirq = map_message(device.devfn, 0, uint64_t{registers} + (place & ~7u));
    if (pirq >= 0) CHECK_SUCCEEDS(unmap(pirq));
    write_config(device.devfn, bar, before);
    CHECK_EQUAL(read_config(device.devfn, bar), before);
    CHECK_EQUAL(read_config(other.devfn, kFirstBar + 4 * 5) & ~0xFu, registers);
}

GUEST_TEST(device_message_rewritten, "Where a mapped message goes is not for the control domain to say") {
    if (!may_use_ports()) return skip("an ordinary domain");
    const Device device = ahci();
    const unsigned capability = device.found ? find_capability(device.devfn, kCapabilityMsi) : 0;
    if (capability == 0) return skip("no AHCI controller with MSI");
    tell_of(device.devfn);
    const int64_t pirq = map_message(device.devfn);
    CHECK(pirq >= 0);
    // Its address: the frame that the controller would then write to is one of ours.
    Page* page = allocate_page();
    const uint32_t address = read_config(device.devfn, capability + 4);
    write_config(device.devfn, capability + 4, static_cast<uint32_t>(machine_address_of(page)));
    CHECK_EQUAL(read_config(device.devfn, capability + 4), address);
    CHECK_SUCCEEDS(unmap(pirq));
    free_page(page);
}

GUEST_TEST(device_bar_in_use,
           "A base address that is written while its memory is mapped breaks nothing but the device") {
    if (!may_use_ports()) return skip("an ordinary domain");
    const Device device = ahci();
    if (!device.found) return skip("no AHCI controller");
    const unsigned bar = kFirstBar + 4 * 5;
    const uint32_t before = read_config(device.devfn, bar);
    const uint32_t command = read_config(device.devfn, kCommand);
    CHECK(touch((before & ~0xFFFu) / abi::kPageSize));
    write_config(device.devfn, bar, 0xFFFF'FFFF);
    CHECK(read_config(device.devfn, bar) != before);
    write_config(device.devfn, kCommand, command & ~2u);
    CHECK(touch((before & ~0xFFFu) / abi::kPageSize));
    write_config(device.devfn, bar, before);
    write_config(device.devfn, kCommand, command & 0xFFFF);
    CHECK_EQUAL(read_config(device.devfn, bar), before);
}

GUEST_TEST(
    device_memory_nowhere,
    "Memory of no device can be mapped, and reads as something; the hypervisor's own can't be written") {
    if (!is_control_domain()) return skip("an ordinary domain");
    // Below 4 GiB between RAM and the firmware, where q35 has nothing.
    CHECK(touch(0xE000'0000 / abi::kPageSize));
    // The local APIC and the IO-APIC.
    Page* page = allocate_page();
    for (const uint64_t own : {uint64_t{0xFEE0'0000}, uint64_t{0xFEC0'0000}})
        CHECK(update_va_mapping(virtual_address(page),
                                make_entry(own / abi::kPageSize, kPtePage | kPteCacheDisable)) < 0);
    page->words[0] = 1;
    free_page(page);
}

GUEST_TEST(device_line_twice, "A line is bound to one port, and a line that no controller has to none") {
    if (!is_control_domain()) return skip("an ordinary domain");
    constexpr int32_t kLine = 23;
    abi::PhysdevSetupGsi setup{kLine, 1, 1, 0};
    CHECK_SUCCEEDS(physdev_op(abi::PhysdevOp::kSetupGsi, setup));
    abi::PhysdevMapPirq request{};
    request.domid = abi::kDomIdSelf;
    request.type = static_cast<int32_t>(abi::MapPirqType::kGsi);
    request.index = request.pirq = kLine;
    CHECK_SUCCEEDS(physdev_op(abi::PhysdevOp::kMapPirq, request));
    abi::EventBindPirq bind{kLine, abi::kBindPirqWillShare, 0};
    CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kBindPirq, bind));
    abi::EventBindPirq again{kLine, abi::kBindPirqWillShare, 0};
    CHECK(event_channel_op(abi::EventChannelOp::kBindPirq, again) < 0);
    abi::EventClose close{bind.port};
    CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kClose, close));
    request.index = request.pirq = 5000;
    CHECK(physdev_op(abi::PhysdevOp::kMapPirq, request) < 0);
    abi::EventBindPirq none{5000, 0, 0};
    CHECK(event_channel_op(abi::EventChannelOp::kBindPirq, none) < 0);
}
