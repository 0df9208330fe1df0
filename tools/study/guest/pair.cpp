// Two small domains that measure what it costs to go from one to the other, to sleep and to be woken. The
// same program for both; the command line tells them apart:
//
//   role=leader peer=2      measures, and prints its rows on its console when all is over
//   role=partner peer=1     does what the shared page says
//
// The leader grants the partner a page and offers it a port. A row has the form of those of bench.c,
//   BENCH pair name min=TICKS med=TICKS n=COUNT
// in the best and the middle one of seven batches. A leader with a second vCPU also measures events between
// its own two.

#include <torii/guest/console.h>
#include <torii/guest/cpu.h>
#include <torii/guest/events.h>
#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

#include <atomic>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kMicrosecond = 1'000;
constexpr uint64_t kMillisecond = 1'000'000;
constexpr unsigned kBatches = 7;
constexpr unsigned kAttempts = 50;
// The first that the kit hands out, so the partner need not be told.
constexpr abi::RawGrantRef kSharedRef = abi::kGrantReservedEntries;
// The partner tries the ports below; the leader's console and store have the first ones.
constexpr RawPort kPortsToTry = 64;

enum Phase : uint64_t { kQuiet, kYield, kAnswer, kEnd };

struct Shared {
    std::atomic<uint64_t> phase;
    std::atomic<uint64_t> partner_yields;
};
static_assert(sizeof(Shared) <= abi::kPageSize);

struct Row {
    const char* name;
    uint64_t ticks[kBatches];
    uint64_t operations;  // in a batch
};

Shared* g_shared;
RawPort g_port;
RawPort g_timer_port;
Row g_rows[16];
unsigned g_row_count;
bool g_arrived;

uint64_t ticks() {
    asm volatile("lfence");
    return read_tsc();
}

// --- sleeping: upcalls are masked all the while, but for those that a block lets in

void note_arrival(RawPort, void*) {
    g_arrived = true;
}

void wait_for_event() {
    while (!const_cast<volatile bool&>(g_arrived)) {
        sched_op(abi::SchedOp::kBlock);
        mask_upcalls();
    }
    g_arrived = false;
}

void set_timer(uint64_t deadline) {
    abi::VcpuSetSingleshotTimer shot{deadline, 0, 0};
    vcpu_op(abi::VcpuOp::kSetSingleshotTimer, 0, shot);
}

void sleep(uint64_t nanoseconds) {
    set_timer(system_time() + nanoseconds);
    wait_for_event();
}

void prepare_timer() {
    // A vCPU starts with a periodic timer of 10 ms running.
    vcpu_op(abi::VcpuOp::kStopPeriodicTimer, 0);
    g_timer_port = static_cast<RawPort>(bind_virq(abi::Virq::kTimer));
    handle_event(g_timer_port, note_arrival);
    mask_upcalls();
}

// --- rows

// `loop` does so many operations and returns the ticks that count.
void measure(const char* name, uint64_t operations, uint64_t (*loop)(uint64_t)) {
    Row& row = g_rows[g_row_count++];
    row = {name, {}, operations};
    loop(operations / 4 + 1);
    for (unsigned batch = 0; batch < kBatches; ++batch) {
        const uint64_t value = loop(operations);
        unsigned place = batch;
        for (; place > 0 && row.ticks[place - 1] > value; --place)
            row.ticks[place] = row.ticks[place - 1];
        row.ticks[place] = value;
    }
}

void print_rows() {
    for (unsigned index = 0; index < g_row_count; ++index) {
        const Row& row = g_rows[index];
        const uint64_t best = row.ticks[0] * 10 / row.operations;
        const uint64_t middle = row.ticks[kBatches / 2] * 10 / row.operations;
        print("BENCH pair {} min={}.{} med={}.{} n={}\n", row.name, best / 10, best % 10, middle / 10,
              middle % 10, row.operations);
        sleep(2 * kMillisecond);
    }
}

// --- between the two domains

// Each yield of the leader should be one of the partner's too, which makes two switches. A batch in which it
// was not, because the control domain ran meanwhile, is done again.
uint64_t yield_in_turn(uint64_t operations) {
    const uint64_t turns = operations / 2;
    uint64_t led = 0;
    for (unsigned attempt = 0; attempt < kAttempts; ++attempt) {
        const uint64_t before = g_shared->partner_yields;
        const uint64_t start = ticks();
        for (uint64_t left = turns; left > 0; --left)
            sched_op(abi::SchedOp::kYield);
        const uint64_t end = ticks();
        led = g_shared->partner_yields - before;
        if (led == turns) return end - start;
        sleep(kMillisecond);
    }
    print("pair: {} yields of {} led to the partner: yield_switch is no figure\n", led, turns);
    return 0;
}

uint64_t round_trips(uint64_t operations) {
    const uint64_t start = ticks();
    while (operations-- > 0) {
        send_event(g_port);
        wait_for_event();
    }
    return ticks() - start;
}

void enter(Phase phase) {
    g_shared->phase = phase;
    send_event(g_port);
}

// --- timers

uint64_t set_and_stop_timer(uint64_t operations) {
    const uint64_t far = system_time() + 3'600'000 * kMillisecond;
    const uint64_t start = ticks();
    while (operations-- > 0) {
        set_timer(far);
        vcpu_op(abi::VcpuOp::kStopSingleshotTimer, 0);
    }
    return ticks() - start;
}

uint64_t time_blocked() {
    abi::VcpuRunstateInfo info{};
    vcpu_op(abi::VcpuOp::kGetRunstateInfo, 0, info);
    return info.time[static_cast<unsigned>(abi::RunState::kBlocked)];
}

// What sleeping costs beside the sleep itself: a tick is a nanosecond where the counter counts instructions.
uint64_t block_and_wake(uint64_t operations) {
    uint64_t sum = 0;
    while (operations-- > 0) {
        const uint64_t blocked = time_blocked();
        const uint64_t start = ticks();
        sleep(500 * kMicrosecond);
        const uint64_t end = ticks();
        sum += end - start - (time_blocked() - blocked);
    }
    return sum;
}

template <uint64_t kNanoseconds>
uint64_t lateness(uint64_t operations) {
    uint64_t sum = 0;
    while (operations-- > 0) {
        const uint64_t deadline = system_time() + kNanoseconds;
        set_timer(deadline);
        wait_for_event();
        sum += system_time() - deadline;
    }
    return sum;
}

// --- between the two vCPUs of one domain: the second sleeps in SCHEDOP_poll, since the kit's upcall is for
// one

RawPort g_to_second;
RawPort g_to_first;
alignas(16) uint8_t g_second_stack[4096];

// Without an upcall: polling takes no notice of the mask.
RawPort bind_masked_ipi(uint32_t vcpu) {
    const auto port = static_cast<RawPort>(bind_ipi(vcpu));
    std::atomic_ref<uint64_t>(shared_info().evtchn_mask[port / 64]).fetch_or(uint64_t{1} << (port % 64));
    return port;
}

bool take(RawPort port) {
    const uint64_t bit = uint64_t{1} << (port % 64);
    return (std::atomic_ref<uint64_t>(shared_info().evtchn_pending[port / 64]).fetch_and(~bit) & bit) != 0;
}

void poll_for(RawPort port) {
    while (!take(port)) {
        abi::SchedPoll poll{{virtual_address(&port)}, 1, 0, 0};
        sched_op(abi::SchedOp::kPoll, poll);
    }
}

void run_second() {
    vcpu_op(abi::VcpuOp::kStopPeriodicTimer, 1);
    for (;;) {
        poll_for(g_to_second);
        send_event(g_to_first);
    }
}

uint64_t round_trips_of_vcpus(uint64_t operations) {
    const uint64_t start = ticks();
    while (operations-- > 0) {
        send_event(g_to_second);
        poll_for(g_to_first);
    }
    return ticks() - start;
}

bool start_second() {
    if (vcpu_op(abi::VcpuOp::kIsUp, 1) != 0) return false;
    g_to_second = bind_masked_ipi(1);
    g_to_first = bind_masked_ipi(0);
    shared_info().vcpu_info[1].evtchn_upcall_mask = 1;
    static abi::VcpuGuestContext context;
    context.flags = abi::kVgcfInKernel;
    context.user_regs.rip = reinterpret_cast<uint64_t>(&run_second);
    context.user_regs.cs = abi::kFlatRing3Cs64;
    context.user_regs.ss = abi::kFlatRing3Ss64;
    context.user_regs.rflags = 0x202;
    // As behind a call, which is how the compiler expects it.
    context.user_regs.rsp = virtual_address(g_second_stack) + sizeof(g_second_stack) - 8;
    context.kernel_ss = abi::kFlatRing3Ss64;
    context.kernel_sp = context.user_regs.rsp;
    context.ctrlreg[3] = abi::cr3_from_mfn(mfn_of(boot_l4()));
    context.event_callback_eip = trap_entry(kVectorEvent);
    context.failsafe_callback_eip = trap_entry(kVectorFailsafe);
    const int64_t made = vcpu_op(abi::VcpuOp::kInitialise, 1, context);
    const int64_t up = vcpu_op(abi::VcpuOp::kUp, 1);
    if (made != 0 || up != 0) print("pair: the second vCPU does not start: {} {}\n", made, up);
    return made == 0 && up == 0;
}

// --- the two roles

abi::RawDomId peer() {
    abi::RawDomId number = 0;
    for (const char digit : option("peer"))
        number = static_cast<abi::RawDomId>(number * 10 + (digit - '0'));
    return number;
}

void lead() {
    Page* const page = allocate_page();
    g_shared = reinterpret_cast<Shared*>(page);
    if (!set_up_grants()) return;
    grant_access(allocate_grant_ref(), peer(), mfn_of(page), false);
    int64_t port = -1;
    while ((port = allocate_unbound(abi::kDomIdSelf, peer())) < 0)
        sleep(kMillisecond);
    g_port = static_cast<RawPort>(port);
    handle_event(g_port, note_arrival);
    // The partner says that it is bound.
    wait_for_event();
    enter(kYield);
    sleep(kMillisecond);
    measure("yield_switch", 2000, yield_in_turn);
    g_shared->phase = kAnswer;
    measure("event_round_trip", 1000, round_trips);
    enter(kQuiet);
    sleep(kMillisecond);
    measure("timer_set_and_stop", 1000, set_and_stop_timer);
    measure("block_wake", 20, block_and_wake);
    measure("timer_slack_1ms", 20, lateness<kMillisecond>);
    measure("timer_slack_100us", 50, lateness<100 * kMicrosecond>);
    if (start_second()) {
        sleep(kMillisecond);
        measure("ipi_round_trip", 1000, round_trips_of_vcpus);
    }
    enter(kEnd);
    print_rows();
    print("MARK guest-done\n");
    sleep(100 * kMillisecond);
}

bool bind_to_leader() {
    for (RawPort port = 1; port < kPortsToTry; ++port) {
        const int64_t bound = bind_interdomain(peer(), port);
        if (bound <= 0) continue;
        g_port = static_cast<RawPort>(bound);
        handle_event(g_port, note_arrival);
        return true;
    }
    return false;
}

void follow() {
    while (!bind_to_leader())
        sleep(kMillisecond);
    Page* const window = allocate_page();
    // A grant must not replace a present entry: the old translation could stay cached.
    update_va_mapping(virtual_address(window), 0);
    const abi::GrantMap mapping = map_grant(peer(), kSharedRef, window, abi::kGrantMapHost);
    if (mapping.status != 0) {
        print("pair: the shared page can't be mapped: {}\n", mapping.status);
        return;
    }
    g_shared = reinterpret_cast<Shared*>(window);
    send_event(g_port);
    wait_for_event();
    for (Phase phase; (phase = static_cast<Phase>(g_shared->phase.load())) != kEnd;) {
        if (phase == kYield) {
            g_shared->partner_yields = g_shared->partner_yields + 1;
            sched_op(abi::SchedOp::kYield);
        } else {
            wait_for_event();
            if (g_shared->phase == kAnswer) send_event(g_port);
        }
    }
    unmap_grant(mapping);
}

}  // namespace

void torii::guest::guest_main() {
    prepare_timer();
    option("role") == "leader" ? lead() : follow();
}
