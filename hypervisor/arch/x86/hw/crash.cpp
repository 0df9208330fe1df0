#include "arch/x86/hw/crash.h"

#include "arch/x86/hw/cpu_local.h"
#include "arch/x86/hw/efi.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/options.h"
#include "arch/x86/hw/power.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/hw/screen.h"
#include "arch/x86/hw/smp.h"
#include "base/log.h"
#include "core/call/boot_options.h"
#include "core/console/console.h"
#include "core/domain/domain.h"
#include "core/trace/symbols.h"
#include "port/machine.h"

extern "C" {
extern const char text_start[], text_end[], boot_start[], boot_text_end[];
extern const uint8_t symbol_table_start[], symbol_table_end[];
}

namespace torii::hw {
namespace {

constexpr unsigned kDeepest = 16;
constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr unsigned kSecondsShown = 5;

// A crash within the report of one.
constinit bool reporting = false;

struct Place {
    ImagePart part;
    uint64_t offset;
};

// Where in the image's code an address lies, whether that part is still there or not.
[[gnu::noinline]] std::optional<Place> place_of(uint64_t address) {
    const auto place_in = [address](ImagePart part, const char* start,
                                    const char* end) -> std::optional<Place> {
        const auto first = reinterpret_cast<uint64_t>(start);
        if (address < first || address >= reinterpret_cast<uint64_t>(end)) return {};
        return Place{part, address - first};
    };
    if (const auto place = place_in(ImagePart::kResident, text_start, text_end)) return place;
    return place_in(ImagePart::kBoot, boot_start, boot_text_end);
}

void print_place(std::string_view how, uint64_t address, uint64_t looked_up) {
    const std::span table(symbol_table_start, static_cast<size_t>(symbol_table_end - symbol_table_start));
    char room[kLongestSymbol];
    std::optional<FoundSymbol> found;
    if (const std::optional<Place> place = place_of(looked_up))
        found = find_symbol(table, place->part, place->offset, room);
    if (found) {
        log(LogLevel::kError, "  {} {}+{x} [{x}]", how, found->name, found->offset + (address - looked_up),
            address);
    } else {
        log(LogLevel::kError, "  {} [{x}]", how, address);
    }
}

// Lines of at most 80 characters, for screens.
void print_registers(const pv::GuestRegisters& r) {
    log(LogLevel::kError, "vector {} error {x} cr2 {x}", r.entry_vector, r.error_code, read_cr2());
    log(LogLevel::kError, "rip {x} rsp {x} flags {x}", r.rip, r.rsp, r.rflags);
    log(LogLevel::kError, "rax {x} rbx {x} rcx {x}", r.rax, r.rbx, r.rcx);
    log(LogLevel::kError, "rdx {x} rsi {x} rdi {x}", r.rdx, r.rsi, r.rdi);
    log(LogLevel::kError, "rbp {x} r8 {x} r9 {x}", r.rbp, r.r8, r.r9);
    log(LogLevel::kError, "r10 {x} r11 {x} r12 {x}", r.r10, r.r11, r.r12);
    log(LogLevel::kError, "r13 {x} r14 {x} r15 {x}", r.r13, r.r14, r.r15);
}

void print_whose() {
    log(LogLevel::kError, "Torii {}, cr0 {x} cr3 {x} cr4 {x}", kSourceRevision, read_cr0(), read_cr3(),
        read_cr4());
    if (efi_runtime.table != 0 && frame_of(MachineAddr(read_cr3())) == efi_runtime.root)
        log(LogLevel::kError, "while EFI's runtime services ran, which dom0 called");
    if (const Vcpu* const vcpu = current_vcpu(); vcpu != nullptr)
        log(LogLevel::kError, "on behalf of d{}v{}, guest rip {x}", vcpu->events.table->id(), vcpu->id,
            vcpu->pv.registers->rip);
}

}  // namespace

void print_backtrace(uint64_t instruction, uint64_t frame_pointer) {
    if (instruction != 0) print_place("at", instruction, instruction);
    for (unsigned depth = 0; depth < kDeepest; ++depth) {
        if (frame_pointer < TORII_PER_CPU_BASE || (frame_pointer & 7) != 0 ||
            frame_pointer >= TORII_DIRECT_MAP_END)
            return;
        const auto* const frame = reinterpret_cast<const uint64_t*>(frame_pointer);
        const uint64_t caller = frame[1];
        if (!place_of(caller)) return;
        // A call that never returns may be the last instruction of its function: the byte before is in it for
        // sure.
        print_place("called from", caller, caller - 1);
        frame_pointer = frame[0];
    }
}

void crash(std::string_view reason, const char* file, unsigned line, const pv::GuestRegisters* trapped) {
    asm volatile("cli");
    stop_other_cpus();  // another CPU that comes here stays there
    if (reporting && options.no_reboot) halt_for_ever();
    if (reporting) reset_machine();
    reporting = true;
    console_enter_panic();
    screen_take_back();
    log(LogLevel::kError, "PANIC on CPU {}: {} ({}:{})", this_cpu(), reason, file, line);
    print_whose();
    if (trapped != nullptr) print_registers(*trapped);
    if (trapped != nullptr) {
        print_backtrace(trapped->rip, trapped->rbp);
    } else {
        print_backtrace(0, reinterpret_cast<uint64_t>(__builtin_frame_address(0)));
    }
    report_other_cpus();
    if (options.no_reboot) {
        log(LogLevel::kError, "The machine stays as it is (option noreboot): switch it off or reset it.");
        halt_for_ever();
    }
    log(LogLevel::kError, "The machine restarts in {} seconds; with the option noreboot it stays.",
        kSecondsShown);
    wait_for_device(kSecondsShown * kSecond);
    reset_machine();
}

}  // namespace torii::hw

namespace torii {

void panic_at(const char* reason, const char* file, unsigned line) {
    hw::crash(reason, file, line, nullptr);
}

}  // namespace torii
