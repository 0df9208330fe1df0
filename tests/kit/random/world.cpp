#include "kit/random/world.h"

#include <gtest/gtest.h>

#include "core/interrupt/interrupts.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "fakes/fake_tlb.h"
#include "hypercall_table.h"
#include "kit/recount.h"

namespace torii::test {
namespace {

constexpr uint32_t kLines = 16;  // that the control domain may bind

// Each domain that there is, the dying ones too.
std::vector<DomainRef> every_domain() {
    std::vector<DomainRef> found;
    for (uint32_t from = 0;; from = found.back()->id.raw() + 1u) {
        Domain* const domain = next_domain(DomId(static_cast<uint16_t>(from)));
        if (domain == nullptr) return found;
        found.emplace_back(domain);
    }
}

}  // namespace

uint64_t RandomWorld::frames_there() {
    return free_frame_count() + heap_frames_in_use();
}

RandomWorld::RandomWorld(Chooser& chooser) : chooser_(chooser) {
    (void)fakes::machine();
    frames_before_ = frames_there();
    for (uint16_t id = 0; id < kSlots; ++id) {
        Slot& slot = slots_[id];
        slot.domain =
            std::make_unique<HostedDomain>(id, id, id == 0, kFrames, DomainLimits{2, kPorts - 1, 4, 4});
        slot.first_root = slot.domain->vcpu().pv.kernel_root;
        slot.domain->domain().events.limit_pirqs(id == 0 ? kLines : 0);
    }
    if (device_interrupts.lines() == 0) {
        EXPECT_TRUE(device_interrupts.start().ok());
    }
    for (uint32_t line = 0; line < kLines; ++line)
        EXPECT_TRUE(device_interrupts.map_line(DomId(0), line).ok());
}

RandomWorld::RandomWorld(Chooser& chooser, SharedDomains& shared, Vcpu& running)
    : chooser_(chooser), shared_(&shared) {
    const std::lock_guard guard(shared.lock);
    while (own_ < kSlots && shared.entries[own_].id != running.domain->id)
        ++own_;
    if (own_ == kSlots) std::abort();
    slots_[own_].domain = std::make_unique<HostedDomain>(running, shared.entries[own_].tables);
    slots_[own_].first_root = running.pv.kernel_root;
    builds_guests_ = own_ == 0 && running.id == VcpuId(0);
}

RandomWorld::~RandomWorld() {
    if (is_alone()) {
        (void)end();
    } else {
        slots_[own_].domain->forget();
    }
}

// Who is there changes under a vCPU's feet; so do everyone's frames.
void RandomWorld::follow_others() {
    if (const uint64_t changes = shared_->changes.load(); changes != seen_changes_) {
        seen_changes_ = changes;
        const std::lock_guard guard(shared_->lock);
        for (unsigned slot = 0; slot < kSlots; ++slot) {
            const DomId id = shared_->entries[slot].id;
            if (slot == own_ || (slots_[slot].domain != nullptr && slots_[slot].domain->id() == id)) continue;
            slots_[slot].domain = std::make_unique<HostedDomain>(id);
        }
    }
    const uint64_t turn = steps_++ % 8;
    for (unsigned slot = 0; slot < kSlots; ++slot) {
        if (turn == 0 || (slot == own_ && turn % 2 == 0)) slots_[slot].domain->refresh_frames();
    }
}

bool RandomWorld::end() {
    for (unsigned slot = kSlots; slot-- > 0;) {
        if (slots_[slot].domain != nullptr && slots_[slot].dying) {
            while (!destroy_part(slots_[slot].domain->id(), 10'000)) {
            }
            slots_[slot].domain->forget();
        }
        slots_[slot].domain.reset();
    }
    mappings_.clear();
    budget_divisor = 1;
    EXPECT_TRUE(every_domain().empty()) << "a domain stays that nobody holds";
    return frames_there() == frames_before_;
}

bool RandomWorld::can_call(const Slot& slot) const {
    if (!is_alone()) return slot.domain->frames() != 0;
    return slot.domain != nullptr && !slot.dying && !slot.domain->domain().is_shut_down();
}

HostedDomain& RandomWorld::some() {
    Slot& slot = slots_[pick(kSlots)];
    return can_call(slot) ? *slot.domain : *slots_[own_].domain;
}

HostedDomain& RandomWorld::guest() {
    const unsigned first = 1 + pick(kSlots - 1);
    if (can_call(slots_[first])) return *slots_[first].domain;
    return can_call(slots_[3 - first]) ? *slots_[3 - first].domain : *slots_[own_].domain;
}

RandomWorld::Slot& RandomWorld::slot_of(HostedDomain& domain) {
    for (Slot& slot : slots_) {
        if (slot.domain.get() == &domain) return slot;
    }
    std::abort();
}

// A frame of the domain that is of the type now, or any.
Mfn RandomWorld::frame_of_type(HostedDomain& domain, FrameType type) {
    const unsigned first = pick(domain.frames());
    for (unsigned i = 0; i < domain.frames(); ++i) {
        const Mfn mfn = domain.mfn((first + i) % domain.frames());
        const TypeWord word = frame_at(mfn).type_word();
        if (word.type() == type && word.count() != 0) return mfn;
    }
    return domain.mfn(first);
}

Mfn RandomWorld::unused_frame(HostedDomain& domain) {
    const unsigned first = pick(domain.frames());
    for (unsigned i = 0; i < domain.frames(); ++i) {
        const Mfn mfn = domain.mfn((first + i) % domain.frames());
        const TypeWord word = frame_at(mfn).type_word();
        if (word.count() == 0 && !word.partial()) return mfn;
    }
    return domain.mfn(first);
}

void RandomWorld::note(const char* name, Number number, int64_t result) {
    last = std::string(name) + " = " + std::to_string(result);
    Tally& tally = tallies[name];
    Tally& same_number = by_number[static_cast<uint32_t>(number)];
    ++tally.calls;
    ++same_number.calls;
    tally.succeeded += result >= 0;
    same_number.succeeded += result >= 0;
}

void RandomWorld::note_status(const char* name, bool succeeded) {
    note(name, Number::kGrantTableOp, succeeded ? 0 : -1);
}

int64_t RandomWorld::call(HostedDomain& domain, const char* name, Number number,
                          std::initializer_list<uint64_t> arguments) {
    const bool alone = number == Number::kMulticall || number == Number::kIret;
    domain.batch_next = !alone && chance(8);
    if (domain.batch_next) {
        Tally& batches = by_number[static_cast<uint32_t>(Number::kMulticall)];
        ++batches.calls;
        ++batches.succeeded;
    }
    const int64_t result = domain.hypercall(number, arguments, chance(10) ? 1 + pick(3) : 10'000);
    if (domain.unfinished) {
        ++unfinished_calls;
        last = std::string(name) + " unfinished";
        return 0;
    }
    note(name, number, result);
    return result;
}

int64_t RandomWorld::mmuext(HostedDomain& domain, const char* name, Command command, uint64_t mfn,
                            uint64_t second, uint16_t about) {
    abi::MmuextOp operation{};
    operation.cmd = static_cast<uint32_t>(command);
    operation.arg1.mfn = mfn;
    operation.arg2.src_mfn = second;
    return call(domain, name, Number::kMmuextOp, {address(operation), 1, 0, about});
}

// The guests run: each CPU uses some addresses.
void RandomWorld::use_memory() {
    for (unsigned i = 0; i < 3; ++i) {
        const HostedDomain& domain = caller();
        domain.touch(chance(80) ? CallDomain::va(pick(kPages)) : chooser_.number() & 0x7fff'ffff'f000);
    }
}

void RandomWorld::forget_mappings_of(const HostedDomain& mapper) {
    std::erase_if(mappings_, [&](const Mapping& mapping) { return mapping.mapper == &mapper; });
}

// Size: mostly a table.
void RandomWorld::step() {
    budget_divisor = chance(30) ? 32 : 1;
    if (!is_alone()) {
        follow_others();
        if (caller().frames() < kFewestFrames) return populate(caller(), caller());
        if (chance(30)) take_events();
        // Quick ones, of which many have to meet.
        if (chance(20)) return use_ports();
        if (chance(5)) return change_ports();
        if (chance(5)) return bind_ports();
    }
    use_memory();
    struct Choice {
        unsigned weight;
        void (RandomWorld::*step)();
    };
    static constexpr Choice kChoices[] = {
        {90, &RandomWorld::pin},
        {90, &RandomWorld::unpin},
        {160, &RandomWorld::update},
        {40, &RandomWorld::foreign_update},
        {80, &RandomWorld::map_page},
        {30, &RandomWorld::map_foreign_page},
        {60, &RandomWorld::base_pointer},
        {40, &RandomWorld::page_operation},
        {10, &RandomWorld::flush},
        {20, &RandomWorld::build_tree},
        {30, &RandomWorld::set_gdt},
        {30, &RandomWorld::set_ldt},
        {25, &RandomWorld::update_descriptor},
        {15, &RandomWorld::set_handlers},
        {15, &RandomWorld::set_registers},
        {5, &RandomWorld::iret},
        {25, &RandomWorld::small_call},
        {5, &RandomWorld::refused_call},
        {40, &RandomWorld::change_memory},
        {15, &RandomWorld::exchange},
        {10, &RandomWorld::ask_about_memory},
        {10, &RandomWorld::acquire_resource},
        {60, &RandomWorld::map_grant},
        {60, &RandomWorld::unmap_grant},
        {30, &RandomWorld::copy_grant},
        {20, &RandomWorld::transfer_grant},
        {15, &RandomWorld::manage_grants},
        {30, &RandomWorld::bind_ports},
        {40, &RandomWorld::use_ports},
        {20, &RandomWorld::change_ports},
        {15, &RandomWorld::set_up_fifo},
        {15, &RandomWorld::sched},
        {20, &RandomWorld::vcpu},
        {15, &RandomWorld::second_vcpu},
        {10, &RandomWorld::pass_time},
        {6, &RandomWorld::stop_guest},
        {15, &RandomWorld::control_guest},
        {10, &RandomWorld::ask_about_domains},
        {10, &RandomWorld::control_machine},
        {20, &RandomWorld::end_guest},
    };
    static constexpr unsigned kTotal = [] {
        unsigned sum = 0;
        for (const Choice& choice : kChoices)
            sum += choice.weight;
        return sum;
    }();
    unsigned at = pick(kTotal);
    for (const Choice& choice : kChoices) {
        if (at < choice.weight) return (this->*choice.step)();
        at -= choice.weight;
    }
}

void RandomWorld::page_table_step() {
    budget_divisor = chance(50) ? 32 : 1;
    use_memory();
    switch (pick(8)) {
        case 0:
            return pin();
        case 1:
            return unpin();
        case 2:
            return update();
        case 3:
            return map_page();
        case 4:
            return base_pointer();
        case 5:
            return chance(50) ? foreign_update() : map_foreign_page();
        case 6:
            return chance(50) ? page_operation() : change_memory();
        default:
            return build_tree();
    }
}

std::vector<std::string> RandomWorld::findings() {
    const std::vector<DomainRef> held = every_domain();
    std::vector<Domain*> all;
    for (const DomainRef& domain : held)
        all.push_back(&*domain);
    std::vector<std::string> found = recount(all);
    for (Domain* const domain : all) {
        if (domain->life.load() < Life::kDying) check_ports(*domain, found);
    }
    return found;
}

void RandomWorld::note_types() {
    for (const Slot& slot : slots_) {
        if (slot.domain == nullptr || slot.dying) continue;
        for (unsigned i = 0; i < slot.domain->frames(); ++i) {
            const TypeWord word = frame_at(slot.domain->mfn(i)).type_word();
            if (word.count() != 0) ++types[word.type()];
        }
    }
}

}  // namespace torii::test
