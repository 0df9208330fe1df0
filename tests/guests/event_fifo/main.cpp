// The FIFO event layout. Each test goes back to two levels by a reset, so they are for the control domain,
// whose console and xenstore need no ports.

#include <torii/guest/events.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint32_t kPending = 1u << abi::kFifoPendingBit;
constexpr uint32_t kMasked = 1u << abi::kFifoMaskedBit;
constexpr uint32_t kLinked = 1u << abi::kFifoLinkedBit;

class Fifo {
public:
    Fifo() {
        abi::EventInitControl init{mfn_of(control_), 0, 0, 0, {}};
        result_ = event_channel_op(abi::EventChannelOp::kInitControl, init);
        link_bits_ = init.link_bits;
        abi::EventExpandArray expand{mfn_of(words_)};
        if (result_ == 0) result_ = event_channel_op(abi::EventChannelOp::kExpandArray, expand);
        CHECK_SUCCEEDS(result_);
        CHECK_EQUAL(link_bits_, abi::kFifoLinkBits);
    }
    ~Fifo() {
        abi::EventReset reset{abi::kDomIdSelf};
        CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kReset, reset));
        free_page(control_);
        free_page(words_);
    }

    bool works() const { return result_ == 0; }
    abi::FifoControlBlock& control() { return *reinterpret_cast<abi::FifoControlBlock*>(control_); }
    uint32_t word(RawPort port) { return __atomic_load_n(pointer(port), __ATOMIC_SEQ_CST); }
    void clear(RawPort port, uint32_t bits) { __atomic_fetch_and(pointer(port), ~bits, __ATOMIC_SEQ_CST); }
    void set(RawPort port, uint32_t bits) { __atomic_fetch_or(pointer(port), bits, __ATOMIC_SEQ_CST); }

    // Takes the first port off a queue, as a guest does; 0 when it is empty.
    RawPort take(uint32_t queue) {
        const RawPort port = control().head[queue];
        if (port == 0) return 0;
        const uint32_t old = __atomic_load_n(pointer(port), __ATOMIC_SEQ_CST);
        clear(port, kLinked | abi::kFifoLinkMask);
        control().head[queue] = old & abi::kFifoLinkMask;
        if (control().head[queue] == 0)
            __atomic_fetch_and(&control().ready, ~(1u << queue), __ATOMIC_SEQ_CST);
        return port;
    }

private:
    uint32_t* pointer(RawPort port) { return reinterpret_cast<uint32_t*>(words_) + port; }

    Page* control_ = allocate_page();
    Page* words_ = allocate_page();
    int64_t result_ = 0;
    uint8_t link_bits_ = 0;
};

RawPort new_ipi() {
    return static_cast<RawPort>(bind_ipi(0));
}

}  // namespace

GUEST_TEST(fifo_send, "An event is linked into its queue, marked ready, and pending") {
    if (!is_control_domain()) return skip("an ordinary domain");
    Fifo fifo;
    if (!fifo.works()) return;
    const RawPort port = new_ipi();
    fifo.clear(port, kMasked);
    CHECK_SUCCEEDS(send_event(port));
    CHECK_EQUAL(fifo.word(port) & (kPending | kLinked), kPending | kLinked);
    CHECK_EQUAL(fifo.control().ready, 1u << abi::kFifoPriorityDefault);
    CHECK_EQUAL(fifo.control().head[abi::kFifoPriorityDefault], port);
    CHECK_EQUAL(vcpu_info().evtchn_upcall_pending, 1);
    CHECK_EQUAL(fifo.take(abi::kFifoPriorityDefault), port);
    fifo.clear(port, kPending);
}

GUEST_TEST(fifo_order, "Events of one priority come in the order of their sending, once each") {
    if (!is_control_domain()) return skip("an ordinary domain");
    Fifo fifo;
    if (!fifo.works()) return;
    RawPort ports[3];
    for (RawPort& port : ports) {
        port = new_ipi();
        fifo.clear(port, kMasked);
    }
    for (const unsigned index : {1u, 0u, 2u, 1u}) {
        CHECK_SUCCEEDS(send_event(ports[index]));
    }
    for (const unsigned index : {1u, 0u, 2u}) {
        CHECK_EQUAL(fifo.take(abi::kFifoPriorityDefault), ports[index]);
    }
    CHECK_EQUAL(fifo.take(abi::kFifoPriorityDefault), 0u);
}

GUEST_TEST(fifo_priority, "A port's priority chooses its queue; numbers beyond the lowest are refused") {
    if (!is_control_domain()) return skip("an ordinary domain");
    Fifo fifo;
    if (!fifo.works()) return;
    const RawPort port = new_ipi();
    fifo.clear(port, kMasked);
    abi::EventSetPriority priority{port, 3};
    CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kSetPriority, priority));
    priority.priority = abi::kFifoMaxQueues;
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kSetPriority, priority), kEINVAL);
    CHECK_SUCCEEDS(send_event(port));
    CHECK_EQUAL(fifo.control().ready, 1u << 3);
    CHECK_EQUAL(fifo.take(3), port);
}

GUEST_TEST(fifo_masked, "A masked event becomes pending without being linked; unmasking links it") {
    if (!is_control_domain()) return skip("an ordinary domain");
    Fifo fifo;
    if (!fifo.works()) return;
    const RawPort port = new_ipi();
    fifo.set(port, kMasked);
    CHECK_SUCCEEDS(send_event(port));
    CHECK_EQUAL(fifo.word(port) & (kPending | kLinked), kPending);
    fifo.clear(port, kMasked);
    abi::EventUnmask unmask{port};
    CHECK_SUCCEEDS(event_channel_op(abi::EventChannelOp::kUnmask, unmask));
    CHECK_EQUAL(fifo.word(port) & kLinked, kLinked);
    CHECK_EQUAL(fifo.take(abi::kFifoPriorityDefault), port);
}

GUEST_TEST(fifo_garbage, "Words and heads that the guest spoils hurt nobody else") {
    if (!is_control_domain()) return skip("an ordinary domain");
    Fifo fifo;
    if (!fifo.works()) return;
    const RawPort port = new_ipi();
    fifo.clear(port, kMasked);
    fifo.set(port, 0x0FFF'FFFF);
    fifo.control().head[abi::kFifoPriorityDefault] = 0xFFFF'FFFF;
    CHECK_SUCCEEDS(send_event(port));
    const RawPort other = new_ipi();
    fifo.clear(other, kMasked);
    CHECK_SUCCEEDS(send_event(other));
    CHECK(xen_version<void>(abi::VersionOp::kVersion, nullptr) > 0);
}

GUEST_TEST(fifo_refused, "Bad control blocks and array pages are refused") {
    if (!is_control_domain()) return skip("an ordinary domain");
    Page* page = allocate_page();
    abi::EventExpandArray expand{mfn_of(page)};
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kExpandArray, expand), kEOPNOTSUPP);
    abi::EventInitControl init{mfn_of(page), 4, 0, 0, {}};
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kInitControl, init), kEINVAL);
    init.offset = abi::kPageSize;
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kInitControl, init), kEINVAL);
    init.offset = 0;
    init.vcpu = 77;
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kInitControl, init), kENOENT);
    init.vcpu = 0;
    init.control_gfn = uint64_t{1} << 40;
    CHECK_FAILS(event_channel_op(abi::EventChannelOp::kInitControl, init), kEINVAL);
    // Still in two levels: the bit is set where that layout has it.
    const RawPort port = new_ipi();
    __atomic_fetch_or(&shared_info().evtchn_mask[port / 64], uint64_t{1} << (port % 64), __ATOMIC_SEQ_CST);
    CHECK_SUCCEEDS(send_event(port));
    CHECK((shared_info().evtchn_pending[port / 64] >> (port % 64) & 1) != 0);
    CHECK_SUCCEEDS(close_port(port));
    free_page(page);
}
