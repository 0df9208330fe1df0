// sysctl: what the hypervisor says about itself.
#include <torii/abi/hypercall_numbers.h>

#include <cstring>

#include "core/call/counters.h"
#include "core/call/debug_keys.h"
#include "core/call/sysctl_ops.h"
#include "core/console/console.h"
#include "hypercall_table.h"

namespace torii::call {
namespace {

using abi::SysctlPerfcDescription;

// One counter for each hypercall, each trap and each kind of event, with its name.
constexpr uint32_t kCounters = abi::kHypercallCount + kCountedTraps + kEventKinds;

size_t name_counter(uint32_t index, std::span<char> name) {
    if (index < abi::kHypercallCount)
        return format_to(name, "hypercall {} {}", index, hypercall_table[index].name);
    index -= abi::kHypercallCount;
    if (index < kCountedTraps) return format_to(name, "trap {}", index);
    return format_to(name, "{}", name_of(static_cast<EventKind>(index - kCountedTraps)));
}

uint32_t value_of(const CounterTotals& totals, uint32_t index) {
    if (index < abi::kHypercallCount) return static_cast<uint32_t>(totals.hypercalls[index]);
    index -= abi::kHypercallCount;
    if (index < kCountedTraps) return static_cast<uint32_t>(totals.traps[index]);
    return static_cast<uint32_t>(totals.events[index - kCountedTraps]);
}

Result<> write_descriptions(const GuestArray<SysctlPerfcDescription>& places) {
    for (uint32_t i = 0; i < kCounters; ++i) {
        SysctlPerfcDescription description{};
        (void)name_counter(i, std::span<char>(description.name, sizeof(description.name) - 1));
        description.nr_vals = 1;
        TRY(places.write(i, description));
    }
    return {};
}

Result<> write_values(const GuestArray<uint32_t>& places) {
    const CounterTotals totals = total_counters();
    for (uint32_t i = 0; i < kCounters; ++i)
        TRY(places.write(i, value_of(totals, i)));
    return {};
}

}  // namespace

// The log ring, as much of it as the buffer takes. With `incremental` from `index` on; `index` comes back as
// where to go on.
CallResult read_console(SysctlCall& call) {
    auto& request = call.request.u.readconsole;
    const GuestArray<char> buffer(request.buffer);
    constexpr size_t kPiece = 256;
    char piece[kPiece];
    uint32_t position = request.index;
    uint32_t copied = 0;
    bool from_position = request.incremental != 0;
    while (copied < request.count) {
        const uint32_t room = request.count - copied;
        const size_t size = console_read_ring(position, from_position, request.clear != 0,
                                              std::span<char>(piece, room < kPiece ? room : kPiece));
        if (size == 0) break;
        from_position = true;
        TRY(buffer.write_many(copied, piece, size));
        copied += static_cast<uint32_t>(size);
    }
    request.index = position;
    request.count = copied;
    return 0;
}

// Null buffers ask for the sizes alone.
CallResult performance_counters(SysctlCall& call) {
    auto& request = call.request.u.perfc_op;
    const GuestArray<SysctlPerfcDescription> descriptions(request.desc);
    const GuestArray<uint32_t> values(request.val);
    switch (static_cast<abi::PerfCounterOp>(request.cmd)) {
        case abi::PerfCounterOp::kReset:
            reset_counters();
            break;
        case abi::PerfCounterOp::kQuery:
            break;
        default:
            return Errno::kEINVAL;
    }
    // The caller says how much room it has; one that asks before it knows passes null.
    if (!descriptions.is_null() && request.nr_counters >= kCounters) TRY(write_descriptions(descriptions));
    if (!values.is_null() && request.nr_vals >= kCounters) TRY(write_values(values));
    request.nr_counters = kCounters;
    request.nr_vals = kCounters;
    return 0;
}

CallResult debug_keys(SysctlCall& call) {
    const auto& request = call.request.u.debug_keys;
    constexpr uint32_t kMost = 32;
    const GuestArray<char> keys(request.keys);
    for (uint32_t i = 0; i < request.nr_keys && i < kMost; ++i) {
        char key = 0;
        TRY(keys.read(i, key));
        handle_debug_key(key);
    }
    call.answers = false;
    return 0;
}

// Traces are kept per vCPU and shown when a domain dies; there is no buffer to map.
CallResult trace_buffers(SysctlCall& call) {
    auto& request = call.request.u.tbuf_op;
    if (request.cmd != static_cast<uint32_t>(abi::TraceBufferOp::kGetInfo)) return Errno::kEINVAL;
    request.evt_mask = 0;
    request.buffer_mfn = 0;
    request.size = 0;
    return 0;
}

}  // namespace torii::call
