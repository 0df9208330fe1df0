// physdev_op (public physdev.h): I/O privilege for any domain; interrupt lines and PCI devices for the
// control domain.
#include <torii/abi/physdev.h>

#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/platform_hooks.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"
#include "core/interrupt/interrupts.h"

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
    if (request.irq >= device_interrupts.lines()) return Errno::kEINVAL;
    request.vector = request.irq;
    return answer(context, request);
}

// `bus` and `devfn` of the request; the upper half of `bus` is the segment.
Result<MessageRequest> message_of(const abi::PhysdevMapPirq& request) {
    const auto type = static_cast<abi::MapPirqType>(request.type);
    if ((static_cast<uint32_t>(request.bus) >> 16) != 0) return Errno::kEOPNOTSUPP;
    if (request.bus > 0xff || request.devfn < 0 || request.devfn > 0xff || request.entry_nr < 0)
        return Errno::kEINVAL;
    MessageRequest message;
    message.device = {static_cast<uint8_t>(request.bus), static_cast<uint8_t>(request.devfn)};
    if (type == abi::MapPirqType::kMultiMsi) {
        message.count = static_cast<unsigned>(request.entry_nr);
    } else if (request.table_base != 0) {
        message.kind = MessageKind::kMsiX;
        message.index = static_cast<unsigned>(request.entry_nr);
        message.table = MachineAddr(request.table_base);
    }
    return message;
}

// A line's number for events is the line's number, and may be asked for; those of messages are given.
CallResult map_pirq(CallContext& context) {
    auto request = TRY(request_of<abi::PhysdevMapPirq>(context));
    const DomainRef domain(TRY(find_target(context.domain(), request.domid)));
    // Devices are the control domain's: without an IOMMU, who drives one can read all memory.
    if (&*domain != &context.domain()) return Errno::kEOPNOTSUPP;
    switch (static_cast<abi::MapPirqType>(request.type)) {
        case abi::MapPirqType::kGsi:
            if (request.pirq >= 0 && request.pirq != request.index) return Errno::kEINVAL;
            TRY(device_interrupts.map_line(domain->id, static_cast<uint32_t>(request.index)));
            request.pirq = request.index;
            break;
        case abi::MapPirqType::kMsi:
        case abi::MapPirqType::kMsiSegment:
        case abi::MapPirqType::kMultiMsi:
            if (request.pirq >= 0) return Errno::kEINVAL;
            request.pirq = static_cast<int32_t>(
                TRY(device_interrupts.map_message(domain->id, TRY(message_of(request)))));
            break;
        default:
            return Errno::kEINVAL;
    }
    return answer(context, request);
}

CallResult unmap_pirq(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevUnmapPirq>(context));
    const DomainRef domain(TRY(find_target(context.domain(), request.domid)));
    TRY(device_interrupts.unmap(domain->id, static_cast<uint32_t>(request.pirq)));
    return 0;
}

CallResult setup_gsi(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevSetupGsi>(context));
    TRY(device_interrupts.describe_line(static_cast<uint32_t>(request.gsi), request.triggering != 0,
                                        request.polarity != 0));
    return 0;
}

CallResult irq_status(CallContext& context) {
    auto request = TRY(request_of<abi::PhysdevIrqStatusQuery>(context));
    const bool needs_end = TRY(device_interrupts.needs_end(context.domain().id, request.irq));
    request.flags = needs_end ? abi::kIrqStatusNeedsEoi : 0;
    return answer(context, request);
}

CallResult end_of_interrupt(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevEoi>(context));
    TRY(device_interrupts.end_of(context.domain().id, request.irq));
    return 0;
}

CallResult restore_messages(CallContext& context) {
    const auto request = TRY(request_of<abi::PhysdevRestoreMsi>(context));
    TRY(device_interrupts.restore({request.bus, request.devfn}));
    return 0;
}
CallResult restore_messages_of_segment(CallContext& context) {
    const auto request = TRY(request_of<abi::PciDevice>(context));
    if (request.seg != 0) return Errno::kEOPNOTSUPP;
    TRY(device_interrupts.restore({request.bus, request.devfn}));
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
        case PhysdevOp::kRestoreMsi:
            return restore_messages(context);
        case PhysdevOp::kRestoreMsiExt:
            return restore_messages_of_segment(context);
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
