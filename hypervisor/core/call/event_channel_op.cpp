// event_channel_op: rdi names the operation, rsi its structure (public event_channel.h).
#include <torii/abi/event_channel.h>

#include "core/call/counters.h"
#include "core/call/guest_ptr.h"
#include "core/call/handlers.h"
#include "core/call/target.h"
#include "core/domain/privilege.h"
#include "core/interrupt/interrupts.h"

namespace torii::call {
namespace {

using abi::EventChannelOp;

// Closing a port may mean waiting for two locks; this many are well below a millisecond.
constexpr uint32_t kPortsPerReset = 256;

Result<> copy_in_port(uint64_t address, abi::RawPort& port) {
    return GuestIn<abi::RawPort>(address).copy_in(port);
}

// Gives the guest the number of its new port. A guest that can't be told must not keep it.
template <class T>
CallResult report_port(EventTable& table, uint64_t address, T& request, abi::RawPort& field, Port port) {
    field = port.raw();
    const Result<> told = GuestOut<T>(address).copy_out(request);
    if (!told.ok()) {
        (void)table.close(port);  // EINVAL: another vCPU of the guest guessed the number and closed it
        return told.error();
    }
    return 0;
}

CallResult alloc_unbound(CallContext& context, uint64_t address) {
    abi::EventAllocUnbound request;
    TRY(GuestIn<abi::EventAllocUnbound>(address).copy_in(request));
    const DomainRef target(TRY(find_target(context.domain(), request.dom)));
    if (!may_ask_about(context.domain(), *target)) return Errno::kEPERM;
    const DomId remote =
        request.remote_dom == abi::kDomIdSelf ? context.domain().id : DomId(request.remote_dom);
    const Port port = TRY(target->events.alloc_unbound(remote));
    return report_port(target->events, address, request, request.port, port);
}

CallResult bind_interdomain(CallContext& context, uint64_t address) {
    abi::EventBindInterdomain request;
    TRY(GuestIn<abi::EventBindInterdomain>(address).copy_in(request));
    const DomainRef remote(TRY(find_target(context.domain(), request.remote_dom)));
    EventTable& own = context.domain().events;
    const Port port = TRY(own.bind_interdomain(remote->events, Port(request.remote_port)));
    return report_port(own, address, request, request.local_port, port);
}

CallResult bind_virq(CallContext& context, uint64_t address) {
    abi::EventBindVirq request;
    TRY(GuestIn<abi::EventBindVirq>(address).copy_in(request));
    EventTable& own = context.domain().events;
    const Port port = TRY(own.bind_virq(request.virq, request.vcpu));
    return report_port(own, address, request, request.port, port);
}

CallResult bind_ipi(CallContext& context, uint64_t address) {
    abi::EventBindIpi request;
    TRY(GuestIn<abi::EventBindIpi>(address).copy_in(request));
    EventTable& own = context.domain().events;
    const Port port = TRY(own.bind_ipi(request.vcpu));
    return report_port(own, address, request, request.port, port);
}

CallResult bind_pirq(CallContext& context, uint64_t address) {
    abi::EventBindPirq request;
    TRY(GuestIn<abi::EventBindPirq>(address).copy_in(request));
    if (!may_use_devices(context.domain())) return Errno::kEPERM;
    EventTable& own = context.domain().events;
    const Port port = TRY(own.bind_pirq(request.pirq));
    if (const Result<> bound = device_interrupts.bind(own, request.pirq); !bound.ok()) {
        (void)own.close(port);  // EINVAL: another vCPU of the domain guessed the number and closed it
        return bound.error();
    }
    return report_port(own, address, request, request.port, port);
}

CallResult status(CallContext& context, uint64_t address) {
    abi::EventStatus request;
    TRY(GuestIn<abi::EventStatus>(address).copy_in(request));
    const DomainRef target(TRY(find_target(context.domain(), request.dom)));
    if (!may_ask_about(context.domain(), *target)) return Errno::kEPERM;
    TRY(target->events.status(Port(request.port), request));
    TRY(GuestOut<abi::EventStatus>(address).copy_out(request));
    return 0;
}

CallResult bind_vcpu(CallContext& context, uint64_t address) {
    abi::EventBindVcpu request;
    TRY(GuestIn<abi::EventBindVcpu>(address).copy_in(request));
    TRY(context.domain().events.bind_vcpu(Port(request.port), request.vcpu));
    return 0;
}

CallResult set_priority(CallContext& context, uint64_t address) {
    abi::EventSetPriority request;
    TRY(GuestIn<abi::EventSetPriority>(address).copy_in(request));
    TRY(context.domain().events.set_priority(Port(request.port), request.priority));
    return 0;
}

CallResult init_control(CallContext& context, uint64_t address) {
    abi::EventInitControl request;
    TRY(GuestIn<abi::EventInitControl>(address).copy_in(request));
    TRY(context.domain().events.init_control(request.vcpu, Mfn(request.control_gfn), request.offset,
                                             request.link_bits));
    TRY(GuestOut<abi::EventInitControl>(address).copy_out(request));
    return 0;
}

CallResult expand_array(CallContext& context, uint64_t address) {
    abi::EventExpandArray request;
    TRY(GuestIn<abi::EventExpandArray>(address).copy_in(request));
    TRY(context.domain().events.expand_array(Mfn(request.array_gfn)));
    return 0;
}

CallResult reset(CallContext& context, uint64_t address, bool from_start) {
    abi::EventReset request;
    TRY(GuestIn<abi::EventReset>(address).copy_in(request));
    const DomainRef target(TRY(find_target(context.domain(), request.dom)));
    if (!may_ask_about(context.domain(), *target)) return Errno::kEPERM;
    // Another domain would bind ports while its old ones are closed: it must be held still.
    if (&*target != &context.domain() && target->pauses.load() == 0) return Errno::kEINVAL;
    if (target->events.reset(kPortsPerReset, from_start)) return 0;
    context.set_arg<0>(static_cast<uint64_t>(EventChannelOp::kResetContinue));
    return Errno::kERESTART;
}

}  // namespace

CallResult event_channel_op(CallContext& context) {
    const uint64_t address = context.arg<1>();
    EventTable& own = context.domain().events;
    abi::RawPort port;
    switch (static_cast<EventChannelOp>(context.arg32<0>())) {
        case EventChannelOp::kSend:
            count_event(EventKind::kEventSend);
            TRY(copy_in_port(address, port));
            TRY(own.send(Port(port)));
            return 0;
        case EventChannelOp::kUnmask:
            TRY(copy_in_port(address, port));
            TRY(own.unmask(Port(port)));
            return 0;
        case EventChannelOp::kClose:
            TRY(copy_in_port(address, port));
            TRY(own.close(Port(port)));
            return 0;
        case EventChannelOp::kAllocUnbound:
            return alloc_unbound(context, address);
        case EventChannelOp::kBindInterdomain:
            return bind_interdomain(context, address);
        case EventChannelOp::kBindVirq:
            return bind_virq(context, address);
        case EventChannelOp::kBindIpi:
            return bind_ipi(context, address);
        case EventChannelOp::kBindPirq:
            return bind_pirq(context, address);
        case EventChannelOp::kBindVcpu:
            return bind_vcpu(context, address);
        case EventChannelOp::kStatus:
            return status(context, address);
        case EventChannelOp::kSetPriority:
            return set_priority(context, address);
        case EventChannelOp::kInitControl:
            return init_control(context, address);
        case EventChannelOp::kExpandArray:
            return expand_array(context, address);
        case EventChannelOp::kReset:
            return reset(context, address, true);
        case EventChannelOp::kResetContinue:
            return reset(context, address, false);
    }
    return Errno::kENOSYS;
}

}  // namespace torii::call
