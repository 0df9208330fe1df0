// physdev_op and port I/O.

#include <torii/guest/cpu.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

int64_t set_iopl(uint32_t level) {
    abi::PhysdevSetIopl op{level};
    return physdev_op(abi::PhysdevOp::kSetIopl, op);
}

}  // namespace

GUEST_TEST(port_without_permission, "Port I/O without an I/O privilege level raises #GP") {
    CHECK_SUCCEEDS(set_iopl(0));
    CHECK(catch_trap([] { read_port_8(0x80); }).is(kVectorGeneralProtection, 0));
    CHECK(catch_trap([] { write_port_8(0x80, 0); }).is(kVectorGeneralProtection, 0));
}

GUEST_TEST(port_with_permission, "With it the control domain reaches the machine's ports") {
    if (!is_control_domain()) return skip("an ordinary domain");
    CHECK_SUCCEEDS(set_iopl(1));
    CHECK(!catch_trap([] { write_port_8(0x80, 0x12); }).happened);
    CHECK(!catch_trap([] { read_port_8(0x80); }).happened);
    CHECK_SUCCEEDS(set_iopl(0));
    CHECK(catch_trap([] { read_port_8(0x80); }).is(kVectorGeneralProtection, 0));
}

GUEST_TEST(port_hypervisor, "The ports that the hypervisor keeps for itself give nothing away") {
    if (!is_control_domain()) return skip("an ordinary domain");
    CHECK_SUCCEEDS(set_iopl(1));
    uint8_t value = 0;
    // The interrupt controller's mask register, then the timer's mode register.
    const Caught pic = catch_trap([&] { value = read_port_8(0x21); });
    CHECK(pic.is(kVectorGeneralProtection) || value == 0xFF);
    CHECK_SUCCEEDS(set_iopl(0));
}

GUEST_TEST(iopl_refused, "Levels above 3 are refused") {
    CHECK_FAILS(set_iopl(4), kEINVAL);
}

GUEST_TEST(io_bitmap, "A bitmap can be set and taken back; too many ports are refused") {
    abi::PhysdevSetIobitmap op{{0}, 0, 0};
    CHECK_SUCCEEDS(physdev_op(abi::PhysdevOp::kSetIobitmap, op));
    op.nr_ports = 65537;
    CHECK_FAILS(physdev_op(abi::PhysdevOp::kSetIobitmap, op), kEINVAL);
}

GUEST_TEST(physdev_eoi_refused, "End of interrupt for a line that is not bound is refused") {
    abi::PhysdevEoi eoi{0xFFFF};
    CHECK_FAILS(physdev_op(abi::PhysdevOp::kEoi, eoi), kEINVAL);
}

GUEST_TEST(physdev_unknown, "Unknown sub-operations are refused") {
    uint64_t words[8] = {};
    CHECK_FAILS(hypercall(abi::Hypercall::kPhysdevOp, 99, words), kENOSYS);
}
