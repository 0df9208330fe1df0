#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/start.h>

#include <atomic>

namespace torii::guest {

namespace {

struct Handler {
    EventHandler function;
    void* argument;
};
Handler g_handlers[abi::kEventChannels2L];
uint64_t g_upcalls;
void (*g_upcall_hook)();

std::atomic_ref<uint64_t> word(uint64_t (&words)[abi::kEventWords], RawPort port) {
    return std::atomic_ref<uint64_t>(words[port / 64]);
}
uint64_t bit(RawPort port) {
    return uint64_t{1} << (port % 64);
}

void call_handler(RawPort port) {
    word(shared_info().evtchn_pending, port).fetch_and(~bit(port));
    if (g_handlers[port].function != nullptr) g_handlers[port].function(port, g_handlers[port].argument);
}

void scan_two_levels() {
    abi::SharedInfo& info = shared_info();
    std::atomic_ref<uint64_t> selector(vcpu_info().evtchn_pending_sel);
    uint64_t words = selector.exchange(0);
    while (words != 0) {
        const auto index = static_cast<unsigned>(__builtin_ctzll(words));
        words &= words - 1;
        uint64_t pending = std::atomic_ref<uint64_t>(info.evtchn_pending[index]).load() &
                           ~std::atomic_ref<uint64_t>(info.evtchn_mask[index]).load();
        while (pending != 0) {
            call_handler(index * 64 + static_cast<unsigned>(__builtin_ctzll(pending)));
            pending &= pending - 1;
        }
    }
}

// Time limits pass unnoticed unless the virtual timer interrupt has a port. A guest that has bound it keeps
// it.
class TimerPort {
public:
    TimerPort() : port_(bind_virq(abi::Virq::kTimer)) {
        if (port_ >= 0) handle_event(static_cast<RawPort>(port_), [](RawPort, void*) {});
    }
    ~TimerPort() {
        if (port_ < 0) return;
        handle_event(static_cast<RawPort>(port_), nullptr);
        close_port(static_cast<RawPort>(port_));
    }
    TimerPort(const TimerPort&) = delete;
    TimerPort& operator=(const TimerPort&) = delete;

private:
    int64_t port_;
};

// With upcalls masked, also at the end.
bool sleep_until(bool (*condition)(void*), void* argument, uint64_t deadline) {
    const TimerPort timer;
    bool holds = false;
    while (!holds && system_time() < deadline) {
        hypercall(abi::Hypercall::kSetTimerOp, deadline);
        sched_op(abi::SchedOp::kBlock);  // unmasks, so the upcall has run when it returns
        mask_upcalls();
        if (vcpu_info().evtchn_upcall_pending != 0) poll_events();
        holds = condition(argument);
    }
    hypercall(abi::Hypercall::kSetTimerOp, 0);
    return holds;
}

}  // namespace

void handle_event(RawPort port, EventHandler handler, void* argument) {
    if (handler == nullptr) {
        word(shared_info().evtchn_mask, port).fetch_or(bit(port));
        g_handlers[port] = {};
        return;
    }
    g_handlers[port] = {handler, argument};
    abi::EventUnmask unmask{port};
    event_channel_op(abi::EventChannelOp::kUnmask, unmask);
}

void poll_events() {
    ++g_upcalls;
    std::atomic_ref<uint8_t> pending(vcpu_info().evtchn_upcall_pending);
    // An event that comes between the scan and the return sets the flag again and is taken at the return.
    while (pending.exchange(0) != 0) {
        if (g_upcall_hook != nullptr) {
            g_upcall_hook();
        } else {
            scan_two_levels();
        }
    }
}

void mask_upcalls() {
    std::atomic_ref<uint8_t>(vcpu_info().evtchn_upcall_mask).store(1);
}

void unmask_upcalls() {
    std::atomic_ref<uint8_t>(vcpu_info().evtchn_upcall_mask).store(0);
    // The hypervisor looks at the flag only when it is entered: any call does.
    if (std::atomic_ref<uint8_t>(vcpu_info().evtchn_upcall_pending).load() != 0) {
        xen_version<void>(abi::VersionOp::kVersion, nullptr);
    }
}

UpcallsMasked::UpcallsMasked() : was_masked_(vcpu_info().evtchn_upcall_mask != 0) {
    mask_upcalls();
}
UpcallsMasked::~UpcallsMasked() {
    if (!was_masked_) unmask_upcalls();
}

uint64_t upcall_count() {
    return std::atomic_ref<uint64_t>(g_upcalls).load();
}

void set_upcall_hook(void (*hook)()) {
    g_upcall_hook = hook;
}

bool wait_until(bool (*condition)(void*), void* argument, uint64_t timeout_ns) {
    const bool was_masked = vcpu_info().evtchn_upcall_mask != 0;
    const uint64_t deadline = system_time() + timeout_ns;
    mask_upcalls();
    const bool holds = condition(argument) || sleep_until(condition, argument, deadline);
    if (!was_masked) unmask_upcalls();
    return holds;
}

int64_t allocate_unbound(abi::RawDomId owner, abi::RawDomId remote) {
    abi::EventAllocUnbound op{owner, remote, 0};
    const int64_t result = event_channel_op(abi::EventChannelOp::kAllocUnbound, op);
    return result < 0 ? result : op.port;
}

int64_t bind_interdomain(abi::RawDomId remote, RawPort remote_port) {
    abi::EventBindInterdomain op{remote, 0, remote_port, 0};
    const int64_t result = event_channel_op(abi::EventChannelOp::kBindInterdomain, op);
    return result < 0 ? result : op.local_port;
}

int64_t bind_virq(abi::Virq virq, uint32_t vcpu) {
    abi::EventBindVirq op{static_cast<uint32_t>(virq), vcpu, 0};
    const int64_t result = event_channel_op(abi::EventChannelOp::kBindVirq, op);
    return result < 0 ? result : op.port;
}

int64_t bind_ipi(uint32_t vcpu) {
    abi::EventBindIpi op{vcpu, 0};
    const int64_t result = event_channel_op(abi::EventChannelOp::kBindIpi, op);
    return result < 0 ? result : op.port;
}

int64_t close_port(RawPort port) {
    abi::EventClose op{port};
    return event_channel_op(abi::EventChannelOp::kClose, op);
}

int64_t send_event(RawPort port) {
    abi::EventSend op{port};
    return event_channel_op(abi::EventChannelOp::kSend, op);
}

int64_t port_status(RawPort port, abi::EventStatus& status) {
    status = {};
    status.dom = abi::kDomIdSelf;
    status.port = port;
    return event_channel_op(abi::EventChannelOp::kStatus, status);
}

}  // namespace torii::guest
