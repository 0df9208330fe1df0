#include "core/interrupt/interrupts.h"

#include <new>

#include "base/log.h"
#include "core/event/hooks.h"
#include "core/memory/heap.h"
#include "core/memory/io_frames.h"
#include "port/devices.h"
#include "port/machine.h"

namespace torii {

constinit DeviceInterrupts device_interrupts;

namespace {

// An event may be handled elsewhere for a moment; a vCPU that has moved stays for longer.
constexpr uint8_t kPatience = 16;

// What vectors stand for: zero is nobody.
uint32_t id_of(uint32_t pirq) {
    return pirq + 1;
}

bool is_level(const Interrupt& interrupt) {
    return interrupt.trigger == Interrupt::Trigger::kLevel;
}

LineRoute route_of(const Interrupt& interrupt) {
    return {interrupt.cpu, interrupt.vector, is_level(interrupt), interrupt.active_low};
}

void set_masked(const Interrupt& interrupt, bool masked) {
    masked = masked || interrupt.masked_by_domain;
    if (interrupt.kind == Interrupt::Kind::kLine) {
        mask_line(interrupt.pirq, masked);
    } else {
        mask_message(interrupt.place, masked);
    }
}

bool is_of(const Interrupt& interrupt, DomId domain) {
    return interrupt.is_mapped && interrupt.mapped_by == domain;
}

// An edge would be lost behind the mask.
bool is_held_back(const Interrupt& interrupt) {
    return interrupt.held_back && is_level(interrupt);
}

// What nobody described behaves as its bus does (ISA up to 15, PCI above).
void assume_trigger(Interrupt& interrupt) {
    constexpr uint32_t kIsaLines = 16;
    if (interrupt.trigger != Interrupt::Trigger::kUnknown) return;
    const bool isa = interrupt.pirq < kIsaLines;
    interrupt.trigger = isa ? Interrupt::Trigger::kEdge : Interrupt::Trigger::kLevel;
    interrupt.active_low = !isa;
}

// By who has set `held_back`, with no lock held. Kept apart, since it would burden the way of every end.
[[gnu::cold, gnu::noinline]] void hold_back(Interrupt& interrupt, Nanoseconds time, bool is_news) {
    timer_set(interrupt.release, time + StormGuard::kHold);
    if (is_news)
        log(LogLevel::kWarning, "interrupt line {} comes again at once after its end: held back",
            interrupt.pirq);
}

}  // namespace

[[gnu::cold]] Result<> DeviceInterrupts::start() {
    lines_ = line_count() < kMost ? line_count() : kMost;
    all_ = static_cast<Published<Interrupt>*>(TRY(heap_allocate(kMost * sizeof(Published<Interrupt>))));
    return vectors_.start(cpu_count());
}

Interrupt* DeviceInterrupts::of_domain(DomId domain, uint32_t pirq) const {
    Interrupt* const interrupt = at(pirq);
    return interrupt != nullptr && interrupt->is_mapped && interrupt->mapped_by == domain ? interrupt
                                                                                          : nullptr;
}

// --- which interrupts there are: mapping_lock_ held

[[gnu::cold]] Result<Interrupt*> DeviceInterrupts::line(uint32_t number) {
    if (number >= lines_) return Errno::kEINVAL;
    if (at(number) == nullptr)
        all_[number].publish(*TRY(heap_new<Interrupt>(Interrupt::Kind::kLine, number)));
    return at(number);
}

[[gnu::cold]] Result<> DeviceInterrupts::describe_line(uint32_t number, bool level, bool active_low) {
    const LockGuard mapping(mapping_lock_);
    Interrupt& interrupt = *TRY(line(number));
    if (line_is_reserved(number)) return Errno::kEEXIST;
    const LockGuard guard(interrupt.lock);
    const auto trigger = level ? Interrupt::Trigger::kLevel : Interrupt::Trigger::kEdge;
    if (interrupt.trigger == trigger && interrupt.active_low == active_low) return Errno::kEEXIST;
    if (interrupt.listener != nullptr) return Errno::kEBUSY;
    interrupt.trigger = trigger;
    interrupt.active_low = active_low;
    if (interrupt.vector != 0) set_up_line(number, route_of(interrupt));
    return {};
}

[[gnu::cold]] Result<> DeviceInterrupts::map_line(DomId domain, uint32_t number) {
    const LockGuard mapping(mapping_lock_);
    Interrupt& interrupt = *TRY(line(number));
    const LockGuard guard(interrupt.lock);
    if (interrupt.is_mapped) {
        if (interrupt.mapped_by != domain) return Errno::kEBUSY;
        return {};
    }
    if (!line_is_reserved(number)) {
        assume_trigger(interrupt);
        const Place place = TRY(claim(number, 1));
        interrupt.vector = place.vector;
        interrupt.cpu = place.cpu;
        set_up_line(number, route_of(interrupt));
    }
    interrupt.mapped_by = domain;
    interrupt.is_mapped = true;
    return {};
}

[[gnu::cold]] Result<uint32_t> DeviceInterrupts::free_numbers(unsigned count) const {
    unsigned found = 0;
    for (uint32_t number = lines_; number < kMost; ++number) {
        const Interrupt* const interrupt = at(number);
        found = interrupt == nullptr || !interrupt->is_mapped ? found + 1 : 0;
        if (found == count) return number + 1 - count;
    }
    return Errno::kENOSPC;
}

bool DeviceInterrupts::has_messages(PciAddress device, MessageKind kind) {
    const LockGuard mapping(mapping_lock_);
    return is_set_up(device, kind);
}

bool DeviceInterrupts::is_set_up(PciAddress device, MessageKind kind) const {
    for (uint32_t number = lines_; number < kMost; ++number) {
        const Interrupt* const interrupt = at(number);
        if (interrupt != nullptr && interrupt->is_mapped && interrupt->place.device == device &&
            interrupt->place.kind == kind)
            return true;
    }
    return false;
}

// An entry of a table is one message; all of a function's MSI messages are one place. Two functions whose
// tables overlap would share entries.
[[gnu::cold]] Result<> DeviceInterrupts::check_place(const MessagePlace& place) const {
    const auto other = place.kind == MessageKind::kMsi ? MessageKind::kMsiX : MessageKind::kMsi;
    if (is_set_up(place.device, other)) return Errno::kEBUSY;
    if (place.kind == MessageKind::kMsi && is_set_up(place.device, place.kind)) return Errno::kEEXIST;
    for (uint32_t number = lines_; number < kMost && place.kind == MessageKind::kMsiX; ++number) {
        const Interrupt* const interrupt = at(number);
        if (interrupt == nullptr || !interrupt->is_mapped || interrupt->place.kind != MessageKind::kMsiX)
            continue;
        if (interrupt->place.entry == place.entry)
            return interrupt->place.device == place.device ? Errno::kEEXIST : Errno::kEBUSY;
    }
    return {};
}

[[gnu::cold]] Result<> DeviceInterrupts::make_room(uint32_t first, unsigned count) {
    for (uint32_t number = first; number < first + count; ++number) {
        if (at(number) == nullptr)
            all_[number].publish(*TRY(heap_new<Interrupt>(Interrupt::Kind::kMessage, number)));
    }
    return {};
}

// On the calling CPU, or on the next one that has room and can be named by a message.
[[gnu::cold]] Result<DeviceInterrupts::Place> DeviceInterrupts::claim(uint32_t first, unsigned count) {
    for (unsigned i = 0; i < cpu_count(); ++i) {
        const CpuId cpu((this_cpu().raw() + i) % cpu_count());
        if (!message_address(cpu).ok()) continue;
        Result<uint8_t> vector = vectors_.claim(cpu, id_of(first), count);
        if (vector.ok()) return Place{cpu, vector.value()};
    }
    return Errno::kENOSPC;
}

[[gnu::cold]] Result<uint32_t> DeviceInterrupts::map_message(DomId domain, const MessageRequest& request) {
    const bool msi = request.kind == MessageKind::kMsi;
    const unsigned count = msi ? request.count : 1;
    if (count == 0 || count > VectorSpace::kMostTogether) return Errno::kEINVAL;
    unsigned together = 1;
    while (together < count)
        together *= 2;

    const LockGuard mapping(mapping_lock_);
    const MessagePlace place = TRY(msi ? msi_place(request.device, together)
                                       : msix_place(request.device, request.index, request.table));
    TRY(check_place(place));
    guard_table(request.device);
    if (!msi && !is_set_up(request.device, MessageKind::kMsiX)) mask_all_entries(msix_table(request.device));
    // Vectors and numbers for all that the device may send, wanted or not.
    const uint32_t first = TRY(free_numbers(together));
    TRY(make_room(first, together));
    const Place claimed = TRY(claim(first, together));
    const uint32_t address = TRY(message_address(claimed.cpu));
    set_up_message(place, address, claimed.vector, together);
    for (unsigned i = 0; i < together; ++i) {
        Interrupt& interrupt = *at(first + i);
        const LockGuard guard(interrupt.lock);
        interrupt.place = place;
        interrupt.place.index = static_cast<uint8_t>(i);
        interrupt.cpu = claimed.cpu;
        interrupt.vector = static_cast<uint8_t>(claimed.vector + i);
        interrupt.together = static_cast<uint8_t>(together);
        interrupt.mapped_by = domain;
        interrupt.is_mapped = true;
    }
    return first;
}

// The device, or the line, sends nothing any more; then the interrupt and those that share its address go.
[[gnu::cold]] void DeviceInterrupts::retire(Interrupt& interrupt, unsigned count) {
    if (interrupt.kind == Interrupt::Kind::kMessage) retire_message(interrupt.place);
    for (unsigned i = 0; i < count; ++i) {
        Interrupt& each = *at(interrupt.pirq + i);
        const LockGuard guard(each.lock);
        // Under the lock: whoever takes masks away must not do so between this and the end of its listener.
        if (each.kind == Interrupt::Kind::kLine && each.vector != 0) mask_line(each.pirq, true);
        if (each.vector != 0) vectors_.release(each.cpu, each.vector);
        each.vector = 0;
        each.is_mapped = false;
        each.in_service = each.masked_by_domain = each.was_held_back = false;
        each.listener = nullptr;
        each.trigger = Interrupt::Trigger::kUnknown;
    }
}

[[gnu::cold]] Result<> DeviceInterrupts::unmap(DomId domain, uint32_t pirq) {
    const LockGuard mapping(mapping_lock_);
    Interrupt* const interrupt = of_domain(domain, pirq);
    if (interrupt == nullptr || interrupt->place.index != 0) return Errno::kEINVAL;
    retire(*interrupt, interrupt->together);
    return {};
}

[[gnu::cold]] void DeviceInterrupts::unmap_all(DomId domain) {
    for (uint32_t pirq = 0; pirq < kMost; ++pirq) {
        if (at(pirq) != nullptr) (void)unmap(domain, pirq);  // EINVAL: not its own, or it went with the first
    }
}

[[gnu::cold]] Result<> DeviceInterrupts::restore(PciAddress device) {
    const LockGuard mapping(mapping_lock_);
    bool any = false;
    for (uint32_t number = lines_; number < kMost; ++number) {
        Interrupt* const interrupt = at(number);
        if (interrupt == nullptr || !interrupt->is_mapped || interrupt->place.device != device) continue;
        any = true;
        const LockGuard guard(interrupt->lock);
        if (interrupt->place.index == 0)
            set_up_message(interrupt->place, TRY(message_address(interrupt->cpu)), interrupt->vector,
                           interrupt->together);
        if (interrupt->listener != nullptr) set_masked(*interrupt, false);
    }
    if (!any) return Errno::kEINVAL;
    return {};
}

// --- who hears of them

[[gnu::cold]] void Interrupt::Release::fire(Timer& timer) {
    Interrupt& interrupt = static_cast<Release&>(timer).interrupt;
    const LockGuard guard(interrupt.lock);
    interrupt.held_back = false;
    // Nobody may listen any more, and what came before the mask was in force is still to be ended.
    if (interrupt.listener != nullptr && !interrupt.in_service) mask_line(interrupt.pirq, false);
}

[[gnu::cold]] Result<> DeviceInterrupts::bind(EventTable& listener, uint32_t pirq) {
    Interrupt* const interrupt = at(pirq);
    if (interrupt == nullptr) return Errno::kEINVAL;
    const LockGuard guard(interrupt->lock);
    if (!is_of(*interrupt, listener.id())) return Errno::kEINVAL;
    if (interrupt->listener != nullptr || interrupt->vector == 0) return Errno::kEBUSY;
    interrupt->listener = &listener;
    interrupt->in_service = false;
    interrupt->elsewhere = 0;
    interrupt->storm.forget();
    set_masked(*interrupt, is_held_back(*interrupt));
    return {};
}

[[gnu::cold]] void DeviceInterrupts::unbind(EventTable& listener, uint32_t pirq) {
    Interrupt* const interrupt = at(pirq);
    if (interrupt == nullptr) return;
    const LockGuard guard(interrupt->lock);
    if (interrupt->listener != &listener) return;
    set_masked(*interrupt, true);
    interrupt->listener = nullptr;
    interrupt->in_service = false;
}

Result<> DeviceInterrupts::end_of(DomId domain, uint32_t pirq) {
    Interrupt* const interrupt = at(pirq);
    if (interrupt == nullptr) return Errno::kEINVAL;
    LockGuard guard(interrupt->lock);
    if (!is_of(*interrupt, domain)) return Errno::kEINVAL;
    if (!interrupt->in_service) return {};
    interrupt->in_service = false;
    if (interrupt->held_back) [[unlikely]]
        return {};
    const Nanoseconds time = now();
    if (interrupt->storm.ended(time)) [[unlikely]] {
        interrupt->held_back = true;
        const bool is_news = !interrupt->was_held_back;
        interrupt->was_held_back = true;
        guard.unlock();
        hold_back(*interrupt, time, is_news);
        return {};
    }
    if (interrupt->listener != nullptr) mask_line(pirq, false);
    return {};
}

Result<bool> DeviceInterrupts::needs_end(DomId domain, uint32_t pirq) {
    Interrupt* const interrupt = at(pirq);
    if (interrupt == nullptr) return Errno::kEINVAL;
    const LockGuard guard(interrupt->lock);
    if (!is_of(*interrupt, domain)) return Errno::kEINVAL;
    return interrupt->kind == Interrupt::Kind::kLine && is_level(*interrupt);
}

[[gnu::cold]] void DeviceInterrupts::mask_for_domain(MachineAddr entry, bool masked) {
    const LockGuard mapping(mapping_lock_);
    for (uint32_t number = lines_; number < kMost; ++number) {
        Interrupt* const interrupt = at(number);
        if (interrupt == nullptr || !interrupt->is_mapped || interrupt->place.kind != MessageKind::kMsiX ||
            interrupt->place.entry != entry)
            continue;
        const LockGuard guard(interrupt->lock);
        interrupt->masked_by_domain = masked;
        set_masked(*interrupt, interrupt->listener == nullptr);
    }
}

[[gnu::cold]] void DeviceInterrupts::guard_table(PciAddress device) {
    const GuardedRange table = msix_table(device);
    if (table.bytes != 0 && !guard_io_range(table).ok())
        log(LogLevel::kWarning, "no room to guard the messages of device {x}:{x}", device.bus, device.devfn);
}

// --- when they come

bool DeviceInterrupts::arrive(CpuId cpu, unsigned vector) {
    const uint32_t id = vectors_.holder(cpu, vector);
    if (id == VectorSpace::kNobody) return false;
    Interrupt& interrupt = *all_[bounded<kMost>(id - 1)];
    const LockGuard guard(interrupt.lock);
    interrupt.arrived.store(interrupt.arrived.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    const bool level = is_level(interrupt);
    if (level) mask_line(interrupt.pirq, true);
    if (interrupt.listener == nullptr) [[unlikely]] {
        interrupt.strays.fetch_add(1, std::memory_order_relaxed);
        return true;
    }
    if (level) {
        // It had come again before the mask was in force.
        if (interrupt.in_service) return true;
        interrupt.in_service = true;
        interrupt.storm.came(now());
    }
    EventVcpu* const told = interrupt.listener->raise_pirq(interrupt.pirq);
    if (told == nullptr) return true;
    const CpuId wanted = event_cpu_of(*told);
    if (wanted == cpu) [[likely]] {
        interrupt.elsewhere = 0;
    } else if (++interrupt.elsewhere == kPatience) {
        interrupt.elsewhere = 0;
        move(interrupt, wanted);
    }
    return true;
}

// Where that can't be, it stays. Messages that share an address would have to move together, and stay too.
[[gnu::cold]] void DeviceInterrupts::move(Interrupt& interrupt, CpuId to) {
    if (interrupt.together != 1 || to == interrupt.cpu) return;
    const bool is_line = interrupt.kind == Interrupt::Kind::kLine;
    Result<uint32_t> address = message_address(to);
    if (!address.ok() || !vectors_.claim_at(to, interrupt.vector, id_of(interrupt.pirq))) return;
    if (is_line) {
        send_line_to(interrupt.pirq, to);
    } else {
        send_message_to(interrupt.place, address.value());
    }
    vectors_.leave(interrupt.cpu, interrupt.vector);
    interrupt.cpu = to;
}

void event_pirq_closed(EventTable& table, uint32_t pirq) {
    device_interrupts.unbind(table, pirq);
}

}  // namespace torii
