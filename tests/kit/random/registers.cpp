// Descriptor tables, handlers, registers, and the calls that say little.
#include <torii/abi/callback.h>
#include <torii/abi/console_io.h>
#include <torii/abi/physdev.h>
#include <torii/abi/trap.h>
#include <torii/abi/xen_version.h>

#include "arch/x86/pv/address_space.h"
#include "kit/random/world.h"

namespace torii::test {
namespace {

constexpr uint64_t kHandler = 0xffff'ffff'8100'0000;
constexpr uint64_t kNotCanonical = 0x1234'5678'9abc'def0;

}  // namespace

void RandomWorld::set_gdt() {
    HostedDomain& domain = caller();
    const unsigned pages = pick(3);
    uint64_t list[2]{};
    for (unsigned i = 0; i < pages; ++i) {
        const Mfn mfn = unused_frame(domain);
        if (chance(90)) (void)domain.mmuext(Command::kClearPage, mfn.raw());
        list[i] = mfn.raw();
    }
    (void)call(domain, "set_gdt", Number::kSetGdt, {address(list), pages * 512});
}

void RandomWorld::set_ldt() {
    HostedDomain& domain = caller();
    (void)mmuext(domain, "set_ldt", Command::kSetLdt, CallDomain::va(pick(kPages)),
                 chance(70) ? 512 * (1 + pick(2)) : 0);
    if (domain.vcpu().pv.ldt_entries == 0) return;
    if (is_alone()) fakes::Machine::set_current(&domain.vcpu(), domain.cpu());
    (void)pv::fault_in_ldt_page(domain.vcpu(), pick(2));
    if (is_alone()) fakes::Machine::set_current(nullptr);
}

void RandomWorld::update_descriptor() {
    HostedDomain& domain = caller();
    const Mfn mfn = chance(50) ? frame_of_type(domain, FrameType::kSegDesc) : unused_frame(domain);
    const uint64_t value = chance(70) ? 0x00cf'fb00'0000'ffff : chooser_.number();
    (void)call(domain, "update_descriptor", Number::kUpdateDescriptor,
               {HostedDomain::place(mfn, pick(512)), value});
}

void RandomWorld::set_handlers() {
    HostedDomain& domain = caller();
    const uint64_t handler = chance(95) ? kHandler + pick(4096) : kNotCanonical;
    const auto vector = static_cast<uint8_t>(pick(256));
    const abi::TrapInfo traps[2] = {{vector, 3, 0xe033, 0, handler}, {}};
    const abi::CallbackRegister set{one_of<uint16_t>({0, 1, 2, 3, 4, 5, 7, 99}), 0, 0, handler};
    const abi::CallbackUnregister unset{one_of<uint16_t>({0, 4, 5, 7}), 0};
    const abi::NmiCallback nmi{handler, 0};
    switch (pick(8)) {
        case 0:
            (void)call(domain, "set_trap_table", Number::kSetTrapTable, {chance(20) ? 0 : address(traps)});
            return;
        case 1:
            (void)call(domain, "set_callbacks", Number::kSetCallbacks, {kHandler, handler, kHandler});
            return;
        case 2:
        case 3:
            (void)call(domain, "callback_op", Number::kCallbackOp, {0, address(set)});
            return;
        case 4:
            (void)call(domain, "callback_op", Number::kCallbackOp, {1, address(unset)});
            return;
        case 5:
            (void)call(domain, "nmi_op", Number::kNmiOp, {pick(2), address(nmi)});
            return;
        default:
            (void)call(domain, "stack_switch", Number::kStackSwitch,
                       {0xe02b, chance(95) ? kHandler : kNotCanonical});
    }
}

void RandomWorld::set_registers() {
    HostedDomain& domain = caller();
    const uint64_t value = chance(90) ? pick(256) : chooser_.number();
    switch (pick(4)) {
        case 0:
            (void)call(domain, "set_segment_base", Number::kSetSegmentBase, {pick(5), value});
            return;
        case 1:
            (void)call(domain, "fpu_taskswitch", Number::kFpuTaskswitch, {pick(2)});
            return;
        case 2:
            (void)call(domain, "set_debugreg", Number::kSetDebugreg, {pick(9), value});
            return;
        default:
            (void)call(domain, "get_debugreg", Number::kGetDebugreg, {pick(9)});
    }
}

// Back to where an interrupt was taken: the kernel, or a program if there is an address space for it.
void RandomWorld::iret() {
    HostedDomain& domain = chance(90) ? calling_guest() : caller_with_rights();
    auto& entry = domain.vcpu().entry;
    // The control domain takes the machine along when it breaks a rule.
    const bool to_user = entry.user_cr3 != 0 || (chance(5) && !domain.domain().privileged);
    const abi::IretContext frame{1, 2, 3, 0, kHandler, to_user ? 0xe033u : 0xe030u, 0x202, kHandler, 0xe02b};
    domain.vcpu().pv.registers->rsp = address(frame);
    (void)call(domain, "iret", Number::kIret, {});
    entry.in_kernel_mode = 1;  // the next trap leads there
}

void RandomWorld::small_call() {
    HostedDomain& domain = caller();
    std::array<uint64_t, 160> buffer{};
    const auto text = address(buffer);
    switch (pick(6)) {
        case 0:
            (void)call(domain, "xen_version", Number::kXenVersion, {pick(11), text});
            return;
        case 1:
        case 2:
            // Longer than a turn, at times.
            (void)call(domain, "console_io", Number::kConsoleIo,
                       {pick(2), chance(20) ? sizeof(buffer) : pick(60), text});
            return;
        case 3:
            (void)call(domain, "vm_assist", Number::kVmAssist,
                       {pick(2), one_of<uint64_t>({0, 2, 3, 4, 5, 6, 32})});
            return;
        case 4: {
            const abi::PhysdevSetIopl iopl{pick(5)};
            (void)call(domain, "physdev_op", Number::kPhysdevOp,
                       {static_cast<uint64_t>(abi::PhysdevOp::kSetIopl), address(iopl)});
            return;
        }
        default:
            (void)call(domain, "physdev_op", Number::kPhysdevOp,
                       {static_cast<uint64_t>(one_of(
                            {abi::PhysdevOp::kSetIobitmap, abi::PhysdevOp::kIrqStatusQuery,
                             abi::PhysdevOp::kEoi, abi::PhysdevOp::kPciDeviceAdd, abi::PhysdevOp::kMapPirq})),
                        text});
    }
}

// Answered with an error on purpose (hypercall_table.cpp), whatever the arguments are.
void RandomWorld::refused_call() {
    (void)call(caller(), "refused",
               one_of({Number::kSchedOpCompat, Number::kEventChannelOpCompat, Number::kPhysdevOpCompat,
                       Number::kXsmOp, Number::kXenoprofOp, Number::kHvmOp, Number::kDmOp, Number::kKexecOp,
                       Number::kTmemOp, Number::kArgoOp, Number::kHypfsOp, Number::kXenpmuOp}),
               {chooser_.number(), chooser_.number()});
}

}  // namespace torii::test
