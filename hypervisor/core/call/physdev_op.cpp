// physdev_op (public physdev.h): I/O privilege for any domain; interrupt lines and PCI devices for the
// control domain.
#include <torii/abi/physdev.h>

#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/platform_hooks.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"

namespace torii::call {
namespace {

using abi::PhysdevOp;

template <class T>
Result<T> request_of(const CallContext& context) {
    T request;
    TRY(GuestIn<T>(context.arg<1>()).copy_in(request));
    return request;
}
template <class T>
CallResult answer(const CallContext& context, const T& object) {
    TRY(GuestOut<T>(context.arg<1>()).copy_out(object));
    return 0;
}

Result<> check_line(uint32_t irq) {
    if (irq >= platform.interrupt_lines) return Errno::kEINVAL;
    return {};
}

// --- for every domain: what it asks is between it and its own programs; which ports answer is decided
// elsewhere ---

CallResult set_iopl(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevSetIopl>(context));
    if (request.iopl > 3) return Errno::kEINVAL;
    context.vcpu.pv.iopl = request.iopl;
    return 0;
}

CallResult set_iobitmap(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevSetIobitmap>(context));
    if (request.nr_ports > 65536 || !guest_range_ok(request.bitmap.address, (request.nr_ports + 7) / 8))
        return Errno::kEINVAL;
    context.vcpu.pv.io_bitmap = request.bitmap.address;
    context.vcpu.pv.io_bitmap_ports = request.nr_ports;
    return 0;
}

// --- for the control domain ---

CallResult read_ioapic(CallContext& context) {
    auto request = TRY(request_of<abi::PhysdevApic>(context));
    if (platform.read_ioapic == nullptr) return Errno::kENODEV;
    request.value = TRY(platform.read_ioapic(MachineAddr(request.apic_physbase), request.reg));
    return answer(context, request);
}

CallResult write_ioapic(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevApic>(context));
    if (platform.write_ioapic == nullptr) return Errno::kENODEV;
    TRY(platform.write_ioapic(MachineAddr(request.apic_physbase), request.reg, request.value));
    return 0;
}

// Vectors are the hypervisor's business: the number that a guest gets back is the line's own.
CallResult alloc_irq_vector(CallContext& context) {
    auto request = TRY(request_of<abi::PhysdevIrq>(context));
    TRY(check_line(request.irq));
    request.vector = request.irq;
    return answer(context, request);
}

// A line's number for events is the line's number. Messages from devices aren't routed yet: EOPNOTSUPP makes
// a driver use its line.
CallResult map_pirq(CallContext& context) {
    auto request = TRY(request_of<abi::PhysdevMapPirq>(context));
    const DomainRef domain(TRY(find_target(context.domain(), request.domid)));
    if (!may_control_domain(context.domain(), *domain)) return Errno::kEPERM;
    if (request.type != static_cast<int32_t>(abi::MapPirqType::kGsi)) return Errno::kEOPNOTSUPP;
    TRY(check_line(static_cast<uint32_t>(request.index)));
    if (request.pirq >= 0 && request.pirq != request.index) return Errno::kEINVAL;
    request.pirq = request.index;
    return answer(context, request);
}

CallResult unmap_pirq(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevUnmapPirq>(context));
    const DomainRef domain(TRY(find_target(context.domain(), request.domid)));
    if (!may_control_domain(context.domain(), *domain)) return Errno::kEPERM;
    TRY(check_line(static_cast<uint32_t>(request.pirq)));
    return 0;
}

CallResult setup_gsi(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevSetupGsi>(context));
    TRY(check_line(static_cast<uint32_t>(request.gsi)));
    if (platform.set_up_gsi == nullptr) return 0;
    TRY(platform.set_up_gsi(static_cast<uint32_t>(request.gsi), request.triggering != 0,
                            request.polarity != 0));
    return 0;
}

// Every line wants to hear that its interrupt was handled.
CallResult irq_status(CallContext& context) {
    auto request = TRY(request_of<abi::PhysdevIrqStatusQuery>(context));
    TRY(check_line(request.irq));
    request.flags = abi::kIrqStatusNeedsEoi;
    return answer(context, request);
}

CallResult end_of_interrupt(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevEoi>(context));
    TRY(check_line(request.irq));
    if (platform.end_of_interrupt != nullptr) TRY(platform.end_of_interrupt(context.domain(), request.irq));
    return 0;
}

// The control domain tells of the PCI devices that it finds. It keeps them all, so there is nothing to
// remember.
template <class T>
CallResult note(CallContext& context) {
    (void)TRY(request_of<T>(context));
    return 0;
}

CallResult device_op(CallContext& context) {
    switch (static_cast<PhysdevOp>(context.arg32<0>())) {
        case PhysdevOp::kApicRead:
            return read_ioapic(context);
        case PhysdevOp::kApicWrite:
            return write_ioapic(context);
        case PhysdevOp::kAllocIrqVector:
            return alloc_irq_vector(context);
        case PhysdevOp::kFreeIrqVector:
            return note<abi::PhysdevIrq>(context);
        case PhysdevOp::kMapPirq:
            return map_pirq(context);
        case PhysdevOp::kUnmapPirq:
            return unmap_pirq(context);
        case PhysdevOp::kSetupGsi:
            return setup_gsi(context);
        case PhysdevOp::kIrqStatusQuery:
            return irq_status(context);
        case PhysdevOp::kEoi:
            return end_of_interrupt(context);
        case PhysdevOp::kManagePciAdd:
        case PhysdevOp::kManagePciRemove:
            return note<abi::PhysdevManagePci>(context);
        case PhysdevOp::kManagePciAddExt:
            return note<abi::PhysdevManagePciExt>(context);
        case PhysdevOp::kPciDeviceAdd:
            return note<abi::PhysdevPciDeviceAdd>(context);
        case PhysdevOp::kPciDeviceRemove:
            return note<abi::PciDevice>(context);
        case PhysdevOp::kPciMmcfgReserved:
            return note<abi::PhysdevPciMmcfgReserved>(context);
        case PhysdevOp::kDbgpOp:
            return note<abi::PhysdevDbgpOp>(context);  // no debug port is in use here
        case PhysdevOp::kGetFreePirq:
            return Errno::kENOSPC;  // each line has its number
        // Linux then asks for each line by itself (pirq_eoi_gmfn), and leaves messages alone (the others).
        default:
            return Errno::kENOSYS;
    }
}

}  // namespace

CallResult physdev_op(CallContext& context) {
    switch (static_cast<PhysdevOp>(context.arg32<0>())) {
        case PhysdevOp::kSetIopl:
            return set_iopl(context);
        case PhysdevOp::kSetIobitmap:
            return set_iobitmap(context);
        default:
            break;
    }
    if (!may_use_devices(context.domain())) return Errno::kEPERM;
    return device_op(context);
}

}  // namespace torii::call
