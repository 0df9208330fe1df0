// What one of several domains does that share nothing: for each kind of hypercall, as many as it can in a
// stretch of time that is the same for all of them. The command line:
//
//   index=I     which of the domains this is
//   start=MS    when the first stretch begins, in milliseconds of the system time
//
// At the end it prints, for each kind, how many it has done and how many of them failed:
//
//   CURVE INDEX NAME n=COUNT failed=COUNT
//
// The domain of index 0 also executes the marks of the study's plugin (plugin/count.c) around each stretch.

#include <torii/guest/console.h>
#include <torii/guest/cpu.h>
#include <torii/guest/events.h>
#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/start.h>

#include <atomic>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kStretch = 100 * kMillisecond;
// Between two stretches all sleep, so that the last of one and the first of the next don't meet.
constexpr uint64_t kPause = 20 * kMillisecond;
// Operations between two looks at the clock.
constexpr unsigned kBurst = 8;

RawPort g_timer_port;
RawPort g_port;
RawPort g_other_end;
Page* g_page;
Page* g_table;
Page* g_window;
abi::RawGrantRef g_ref;
abi::RawDomId g_self;
uint64_t g_pfn;

void note_nothing(RawPort, void*) {}

void set_timer(uint64_t deadline) {
    abi::VcpuSetSingleshotTimer shot{deadline, 0, 0};
    vcpu_op(abi::VcpuOp::kSetSingleshotTimer, 0, shot);
}

void sleep_until(uint64_t deadline) {
    while (system_time() < deadline) {
        set_timer(deadline);
        sched_op(abi::SchedOp::kBlock);
        mask_upcalls();
    }
}

// --- the kinds: each does one operation, and says whether it went well

// The control: no hypercall.
bool loop() {
    for (unsigned turn = 0; turn < 64; ++turn)
        asm volatile("");
    return true;
}

bool version() {
    return xen_version<void>(abi::VersionOp::kVersion, nullptr) > 0;
}

// To a port of our own, whose upcall is taken note of and not made: upcalls are masked.
bool event() {
    const bool sent = send_event(g_port) == 0;
    const uint64_t bit = uint64_t{1} << (g_other_end % 64);
    std::atomic_ref<uint64_t> pending(shared_info().evtchn_pending[g_other_end / 64]);
    const bool arrived = (pending.fetch_and(~bit) & bit) != 0;
    std::atomic_ref<uint64_t>(vcpu_info().evtchn_pending_sel).exchange(0);
    std::atomic_ref<uint8_t>(vcpu_info().evtchn_upcall_pending).store(0);
    return sent && arrived;
}

// Near enough to be the CPU's next one, also where dom0 has timers too.
bool timer() {
    set_timer(system_time() + kMillisecond);
    return vcpu_op(abi::VcpuOp::kStopSingleshotTimer, 0) == 0;
}

bool yield() {
    return sched_op(abi::SchedOp::kYield) == 0;
}

// Away and back: the frame's last writable mapping goes, so it is stamped by the flush clock.
bool mapping() {
    return update_va_mapping(virtual_address(g_page), 0) == 0 && map_writable(g_page) == 0;
}

bool entries() {
    const uint64_t at = machine_address_of_entry(virtual_address(g_page), 1);
    const abi::MmuUpdate updates[] = {{at, 0}, {at, make_entry(mfn_of(g_page), kPtePage)}};
    return mmu_update(updates, 2) == 0;
}

// A page becomes a page table and a page again: whoever may have it cached as writable must have flushed.
bool table() {
    abi::MmuextOp operation{};
    operation.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kPinL1Table);
    operation.arg1.mfn = mfn_of(g_table);
    const bool made = map_read_only(g_table) == 0 && mmuext_op(&operation, 1) == 0;
    operation.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kUnpinTable);
    return made && mmuext_op(&operation, 1) == 0 && map_writable(g_table) == 0;
}

bool grant() {
    const abi::GrantMap map = map_grant(g_self, g_ref, g_window, abi::kGrantMapHost);
    return map.status == 0 && unmap_grant(map) == abi::GrantStatus::kOkay;
}

// A frame goes back to the hypervisor, and another one comes.
bool frame() {
    uint64_t number = mfn_of_pfn(g_pfn);
    abi::MemoryReservation request{};
    request.extent_start.address = virtual_address(&number);
    request.nr_extents = 1;
    request.domid = abi::kDomIdSelf;
    if (memory_op(abi::MemoryOp::kDecreaseReservation, request) != 1) return false;
    number = g_pfn;
    if (memory_op(abi::MemoryOp::kPopulatePhysmap, request) != 1) return false;
    set_mfn_of_pfn(g_pfn, number);
    return true;
}

struct Kind {
    const char* name;
    bool (*operation)();
    uint64_t count;
    uint64_t failures;
};

Kind g_kinds[] = {
    {"loop", loop, 0, 0},
    {"xen_version", version, 0, 0},
    {"event_send", event, 0, 0},
    {"timer_set_and_stop", timer, 0, 0},
    {"sched_yield", yield, 0, 0},
    {"update_va_mapping_x2", mapping, 0, 0},
    {"mmu_update_x2", entries, 0, 0},
    {"page_to_table_and_back", table, 0, 0},
    {"grant_map_unmap", grant, 0, 0},
    {"frame_away_and_back", frame, 0, 0},
};

void prepare() {
    g_self = own_domain();
    vcpu_op(abi::VcpuOp::kStopPeriodicTimer, 0);
    g_timer_port = static_cast<RawPort>(bind_virq(abi::Virq::kTimer));
    handle_event(g_timer_port, note_nothing);
    g_other_end = static_cast<RawPort>(allocate_unbound(abi::kDomIdSelf, abi::kDomIdSelf));
    g_port = static_cast<RawPort>(bind_interdomain(abi::kDomIdSelf, g_other_end));
    mask_upcalls();
    handle_event(g_other_end, note_nothing);
    g_page = allocate_page();
    g_table = allocate_page();
    Page* const granted = allocate_page();
    g_window = allocate_page();
    // A grant must not replace a present entry: the old translation could stay cached.
    update_va_mapping(virtual_address(g_window), 0);
    set_up_grants();
    g_ref = allocate_grant_ref();
    grant_access(g_ref, g_self, mfn_of(granted), false);
    Page* const exchanged = allocate_page();
    g_pfn = pfn_of(exchanged);
    update_va_mapping(virtual_address(exchanged), 0);
    // What happens once (dom0 wrote to these frames, and may remember that) happens before the first stretch.
    for (Kind& kind : g_kinds)
        kind.failures += kind.operation() ? 0 : 1;
}

void measure(Kind& kind, uint64_t start, bool marks) {
    sleep_until(start);
    // A tick is a nanosecond where the counter counts instructions.
    const uint64_t end = read_tsc() + start + kStretch - system_time();
    if (marks) asm volatile("nopl 0x70727401(%rax)");
    while (read_tsc() < end) {
        for (unsigned turn = 0; turn < kBurst; ++turn)
            kind.failures += kind.operation() ? 0 : 1;
        kind.count += kBurst;
    }
    if (marks) asm volatile("nopl 0x70727402(%rax)");
}

uint64_t number_option(const char* name) {
    uint64_t number = 0;
    for (const char digit : option(name))
        number = number * 10 + static_cast<uint64_t>(digit - '0');
    return number;
}

}  // namespace

void torii::guest::guest_main() {
    const uint64_t index = number_option("index");
    uint64_t start = number_option("start") * kMillisecond;
    prepare();
    if (system_time() >= start) print("curve: {} is late\n", index);
    for (Kind& kind : g_kinds) {
        measure(kind, start, index == 0);
        start += kStretch + kPause;
    }
    for (const Kind& kind : g_kinds) {
        print("CURVE {} {} n={} failed={}\n", index, kind.name, kind.count, kind.failures);
        sleep_until(system_time() + 2 * kMillisecond);
    }
    print("MARK guest-done\n");
    sleep_until(system_time() + 100 * kMillisecond);
}
