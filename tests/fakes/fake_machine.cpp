#include "fakes/fake_machine.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "base/lock.h"
#include "base/once.h"
#include "core/call/counters.h"
#include "core/memory/allocator.h"
#include "core/memory/m2p.h"
#include "fakes/fake_tlb.h"
#include "port/frames.h"
#include "port/machine.h"

#ifdef __SANITIZE_THREAD__
// Of its run-time library, which has no header for them.
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#endif

namespace torii {

constinit DirectMap direct_map{};
constinit uint64_t* m2p_table = nullptr;

namespace fakes {
namespace {

struct HeldLock {
    LockRank rank;
    const void* lock;
};

thread_local Vcpu* current = nullptr;
thread_local CpuId current_cpu{0};
thread_local std::vector<HeldLock> held_locks;
thread_local unsigned windows_open = 0;

FlushClock flush_clock;
std::atomic<FlushEpoch> flushed_at[kFakeCpus]{1, 1, 1, 1};
CpuCounters cpu_counters[kFakeCpus]{};

std::mutex tlb_mutex;

// What others want of a CPU. The work itself is theirs, and stays until it is served.
struct Requests {
    std::mutex mutex;
    bool online = false;                             // under mutex
    std::vector<const std::function<void()>*> work;  // under mutex
    std::atomic<uint64_t> asked{0};
    std::atomic<uint64_t> served{0};
    std::atomic<bool> reschedule{false};
    std::atomic<Nanoseconds> timer{kNever};

    // Under mutex, on the CPU itself.
    void serve() {
        for (const std::function<void()>* const one : work)
            (*one)();
        work.clear();
        served.store(asked.load(std::memory_order_relaxed), std::memory_order_release);
    }
};
Requests requests[kFakeCpus];
thread_local bool is_cpu = false;

constexpr uint64_t kArenaFrames = kFirstHighFrame.raw() + kHighFrames;

// Address space for `bytes`; memory comes where it is touched.
template <class T>
T* map_lazily(uint64_t bytes, int file = -1) {
    const int kind = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* const view = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, file, 0);
    if (view == MAP_FAILED) {
        std::perror("mapping the machine");
        std::abort();
    }
    return static_cast<T*>(view);
}

bool is_ram(uint64_t index) {
    const uint64_t high = index - kFirstHighFrame.raw();
    return (index != 0 && index < kLowFrames) || (index >= kFirstHighFrame.raw() && high < kHighFrames);
}

// The entries of one section. What lies in RAM at first is as dirty as on a machine after its firmware.
void describe_section(uint64_t section, uint64_t* bits) {
    bits[section / 64] |= uint64_t{1} << (section % 64);
    for (uint64_t i = section << kSectionShift; i < (section + 1) << kSectionShift; ++i) {
        Frame& frame = frame_at(Mfn(i));
        m2p_clear(Mfn(i));
        frame.set_owner(is_ram(i) ? kOwnerNone : kOwnerIo);
        if (!is_ram(i)) frame.count.store(CountWord::kAllocated | 1);
    }
}

void flush_cpu_here(unsigned cpu) {
    bool all_must_flush = false;
    const FlushEpoch epoch = flush_clock.begin_flush(all_must_flush);
    const std::lock_guard guard(tlb_mutex);
    tlb().forget_all(cpu);
    flushed_at[cpu].store(epoch);
}
void flush_cpu(unsigned cpu) {
    on_cpu(CpuId(cpu), [cpu] { flush_cpu_here(cpu); });
}

unsigned char* hypervisor_view(Mfn mfn) {
    return direct_map.base + (mfn.raw() << kPageShift);
}

}  // namespace

Machine::Machine() {
    const int file = memfd_create("arena", 0);
    if (file < 0 || ftruncate(file, static_cast<off_t>(kArenaFrames << kPageShift)) != 0) {
        std::perror("creating the arena");
        std::abort();
    }
    direct_map = {map_lazily<unsigned char>(kArenaFrames << kPageShift, file), kLowFrames};
    guest_view_ = map_lazily<unsigned char>(kArenaFrames << kPageShift, file);
    close(file);
    ASAN_POISON_MEMORY_REGION(hypervisor_view(kFirstHighFrame), kHighFrames << kPageShift);

    static uint64_t section_bits[(kFrameTableEnd >> kSectionShift) / 64 + 1];
    frame_table = {map_lazily<Frame>(kFrameTableEnd * sizeof(Frame)), kFrameTableEnd, section_bits};
    m2p_table = map_lazily<uint64_t>(kFrameTableEnd * sizeof(uint64_t));
    describe_section(0, section_bits);
    describe_section(kFirstHighFrame.raw() >> kSectionShift, section_bits);
    memset(guest_view_, 0xa5, kLowFrames << kPageShift);
    memset(guest_view(kFirstHighFrame), 0xa5, kHighFrames << kPageShift);
    allocator_add(Mfn(1), kLowFrames - 1, true);
    allocator_add(kFirstHighFrame, kHighFrames, true);
}

void Machine::set_current(Vcpu* vcpu, CpuId cpu) {
    current = vcpu;
    current_cpu = cpu;
}

unsigned Machine::open_windows() {
    return windows_open;
}
size_t Machine::locks_held() {
    return held_locks.size();
}

void enter_cpu(CpuId cpu) {
    const std::lock_guard guard(requests[cpu.raw()].mutex);
    requests[cpu.raw()].online = true;
}
void leave_cpu(CpuId cpu) {
    const std::lock_guard guard(requests[cpu.raw()].mutex);
    requests[cpu.raw()].serve();
    requests[cpu.raw()].online = false;
}
void act_as_cpu() {
    is_cpu = true;
}

void on_cpu(CpuId cpu, const std::function<void()>& work) {
    if (is_cpu && cpu == current_cpu) return work();
    Requests& other = requests[cpu.raw()];
    uint64_t number = 0;
    {
        const std::lock_guard guard(other.mutex);
        if (!other.online) return work();
        other.work.push_back(&work);
        number = other.asked.fetch_add(1) + 1;
    }
    while (other.served.load(std::memory_order_acquire) < number)
        serve_while_waiting();
}

void serve_others() {
    if (!is_cpu) return;
    Requests& mine = requests[current_cpu.raw()];
    if (mine.asked.load() == mine.served.load(std::memory_order_relaxed)) return;
    const std::lock_guard guard(mine.mutex);
    mine.serve();
}

bool take_reschedule_request() {
    return requests[current_cpu.raw()].reschedule.exchange(false);
}
bool take_cpu_timer(Nanoseconds time) {
    std::atomic<Nanoseconds>& timer = requests[current_cpu.raw()].timer;
    if (timer.load() > time) return false;
    timer.store(kNever);
    return true;
}

Machine& machine() {
    static Machine* const only = new Machine;
    return *only;
}

}  // namespace fakes

using namespace fakes;  // NOLINT: the definitions below are the fakes

void panic_at(const char* reason, const char* file, unsigned line) {
    std::fprintf(stderr, "panic: %s at %s:%u\n", reason, file, line);
    std::abort();
}

// --- locks ---

void serve_while_waiting() {
    serve_others();
    std::this_thread::yield();
}
// Falling ranks; two locks of one rank by rising address, as LockBoth takes them.
void lock_rank_enter(LockRank rank, const void* lock) {
    for (const HeldLock& held : held_locks)
        BUG_ON(held.rank < rank || (held.rank == rank && held.lock >= lock));
    held_locks.push_back({rank, lock});
}
void lock_rank_leave(LockRank, const void* lock) {
    for (size_t i = held_locks.size(); i-- > 0;) {
        if (held_locks[i].lock != lock) continue;
        held_locks.erase(held_locks.begin() + static_cast<ptrdiff_t>(i));
        return;
    }
    BUG("a lock is given back that this thread doesn't hold");
}

// --- frames ---

void* window_map(Mfn mfn) {
    BUG_ON(!is_ram(mfn.raw()) || directly_mapped(mfn));
    BUG_ON(++windows_open > kMostWindows);
    ASAN_UNPOISON_MEMORY_REGION(hypervisor_view(mfn), kPageSize);
    return hypervisor_view(mfn);
}
// Another window, of this or another thread, may show the frame too: only a lone window hides it again.
void window_unmap(void* address) {
    if (--windows_open == 0) ASAN_POISON_MEMORY_REGION(address, kPageSize);
}
void* permanent_map(Mfn mfn) {
    return machine().guest_view<void>(mfn);
}
void permanent_unmap(void*) {}

// Word by word: guests write to their memory meanwhile.
void zero_frame(Mfn mfn) {
    auto* const words = machine().guest_view<uint64_t>(mfn);
    for (unsigned i = 0; i < kPageSize / 8; ++i)
        write_once(words[i], 0);
}
void copy_frame(Mfn to, Mfn from) {
    for (unsigned i = 0; i < kPageSize / 8; ++i)
        write_once(machine().guest_view<uint64_t>(to)[i], read_once(machine().guest_view<uint64_t>(from)[i]));
}
// The copy races with what its guests do, and may. ThreadSanitizer is told not to look: a suppression would
// have to find this function in the history of a thread, which may have forgotten it.
void move_guest_bytes(void* to, const void* from, uint64_t bytes) {
#ifdef __SANITIZE_THREAD__
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    memmove(to, from, bytes);
#ifdef __SANITIZE_THREAD__
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

// --- machine ---

Nanoseconds now() {
    return machine().time();
}
int64_t timestamp_offset() {
    return machine().timestamp_offsets[current_cpu.raw()];
}
CpuId this_cpu() {
    return current_cpu;
}
unsigned cpu_count() {
    return kFakeCpus;
}
const CpuMask& running_cpus() {
    static const CpuMask* const all = [] {
        auto* const mask = new CpuMask;
        mask->assign_first(kFakeCpus);
        return mask;
    }();
    return *all;
}
Vcpu* current_vcpu() {
    return current;
}
void request_reschedule(CpuId cpu) {
    requests[cpu.raw()].reschedule.store(true);
    ++machine().counts.reschedules;
}
void set_cpu_timer(CpuId cpu, Nanoseconds deadline) {
    requests[cpu.raw()].timer.store(deadline);
}

CpuCounters& counters() {
    return cpu_counters[current_cpu.raw()];
}
CpuCounters& counters_of(CpuId cpu) {
    return cpu_counters[cpu.raw()];
}

FlushEpoch take_flush_stamp() {
    return flush_clock.take_stamp();
}
void flush_stale(FlushEpoch stamp, Rememberers whose) {
    for (unsigned cpu = 0; cpu < kFakeCpus; ++cpu) {
        const bool remembers =
            !FlushClock::is_after(flushed_at[cpu].load(), stamp) && tlb().held(cpu).may_share(whose);
        if (remembers) flush_cpu(cpu);
    }
}
void flush_tlb(const CpuMask& cpus) {
    cpus.for_each([](CpuId cpu) { flush_cpu(cpu.raw()); });
    ++machine().counts.full_flushes;
}
void flush_tlb_page(const CpuMask& cpus, GuestVa page) {
    cpus.for_each([page](CpuId cpu) {
        on_cpu(cpu, [cpu, page] {
            const std::lock_guard guard(tlb_mutex);
            tlb().forget_page(cpu.raw(), page.raw());
        });
    });
    ++machine().counts.page_flushes;
}
void flush_this_cpu() {
    flush_cpu_here(current_cpu.raw());
    ++machine().counts.full_flushes;
}
void flush_page_on_this_cpu(GuestVa page) {
    flush_tlb_page(CpuMask(current_cpu), page);
}
void wait_for_all_cpus() {
    for (unsigned cpu = 0; cpu < kFakeCpus; ++cpu)
        on_cpu(CpuId(cpu), [] {});
}
void console_device_write(std::string_view) {}

}  // namespace torii
