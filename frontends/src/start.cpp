#include <torii/guest/console.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

#include <atomic>

namespace torii::guest {

HypercallWay hypercall_way = HypercallWay::kSyscall;

namespace {

const abi::StartInfo* g_start_info;

// Its frame is replaced by the shared info frame.
Page g_shared_info_page;

bool is_separator(char character) {
    return character == ' ';
}

}  // namespace

const abi::StartInfo& start_info() {
    return *g_start_info;
}

abi::SharedInfo& shared_info() {
    return *reinterpret_cast<abi::SharedInfo*>(&g_shared_info_page);
}

bool is_control_domain() {
    return (g_start_info->flags & abi::kStartInitialDomain) != 0;
}

std::string_view option(std::string_view name) {
    const char* text = g_start_info->cmd_line;
    const char* end = text + abi::kMaxGuestCommandLine;
    while (text < end && *text != 0) {
        const char* start = text;
        while (text < end && *text != 0 && !is_separator(*text)) {
            ++text;
        }
        const std::string_view word(start, static_cast<size_t>(text - start));
        if (word.starts_with(name) && word.size() > name.size() && word[name.size()] == '=') {
            return {start + name.size() + 1, word.size() - name.size() - 1};
        }
        while (text < end && is_separator(*text)) {
            ++text;
        }
    }
    return {};
}

uint64_t system_time() {
    const abi::VcpuTimeInfo& time = vcpu_info().time;
    std::atomic_ref<const uint32_t> version(time.version);
    for (;;) {
        const uint32_t before = version.load(std::memory_order_acquire);
        uint32_t low;
        uint32_t high;
        asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
        uint64_t delta = (uint64_t{high} << 32 | low) - time.tsc_timestamp;
        const int8_t shift = time.tsc_shift;
        delta = shift < 0 ? delta >> -shift : delta << shift;
        const auto scaled =
            static_cast<uint64_t>(static_cast<unsigned __int128>(delta) * time.tsc_to_system_mul >> 32);
        const uint64_t now = time.system_time + scaled;
        std::atomic_thread_fence(std::memory_order_acquire);
        if ((before & 1) == 0 && version.load(std::memory_order_relaxed) == before) return now;
    }
}

uint64_t wall_clock() {
    const abi::SharedInfo& shared = shared_info();
    std::atomic_ref<const uint32_t> version(shared.wc_version);
    for (;;) {
        const uint32_t before = version.load(std::memory_order_acquire);
        const uint64_t seconds = uint64_t{shared.wc_sec_hi} << 32 | shared.wc_sec;
        const uint64_t at_zero = seconds * 1'000'000'000 + shared.wc_nsec;
        std::atomic_thread_fence(std::memory_order_acquire);
        if ((before & 1) == 0 && version.load(std::memory_order_relaxed) == before)
            return at_zero + system_time();
    }
}

void shutdown(abi::ShutdownReason reason) {
    abi::SchedShutdown argument{static_cast<uint32_t>(reason)};
    for (;;) {
        sched_op(abi::SchedOp::kShutdown, argument);
    }
}

}  // namespace torii::guest

extern "C" [[noreturn]] void torii_guest_start(const torii::abi::StartInfo* info) {
    using namespace torii;
    using namespace torii::guest;
    g_start_info = info;
    // Before this the upcall mask is out of our sight; the domain starts with upcalls masked.
    update_va_mapping(virtual_address(&g_shared_info_page), info->shared_info | kPtePage);
    register_traps();
    guest_main();
    // A control domain that powers off would leave the machine halted; a restart ends an emulator that
    // forbids restarts.
    shutdown(is_control_domain() ? abi::ShutdownReason::kReboot : abi::ShutdownReason::kPoweroff);
}
