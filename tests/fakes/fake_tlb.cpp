#include "fakes/fake_tlb.h"

#include <algorithm>

#include "base/once.h"
#include "fakes/fake_machine.h"

namespace torii::fakes {
namespace {

constexpr uint64_t kPresent = 1;
constexpr uint64_t kWrite = 2;
constexpr uint64_t kAddressBits = 0x000f'ffff'ffff'f000;
constexpr uint64_t kRegion = uint64_t{1} << 21;
constexpr size_t kMostEntries = 64;  // of a CPU; the oldest is replaced

uint64_t entry_of(Mfn table, uint64_t va, unsigned level) {
    return read_once(machine().guest_view<uint64_t>(table)[(va >> (kPageShift + 9 * (level - 1))) & 511]);
}

}  // namespace

bool Tlb::touch(CpuId cpu, DomId domain, Mfn root, uint64_t va) {
    const Rememberers before = held(cpu.raw()), whose = Rememberers::only(domain);
    if (before != whose)
        held_[cpu.raw()].store((before == Rememberers::nobody() ? whose : Rememberers::anyone()).raw());
    std::vector<Translation>& known = entries_[cpu.raw()];
    va &= kPageMask;
    Mfn table = root;
    bool writable = true;
    unsigned level = 4;
    for (const Translation& entry : known) {
        if (entry.domain != domain) continue;
        if (entry.va == va) return true;
        if (entry.va / kRegion != va / kRegion) continue;
        table = entry.l1_table;  // the paging-structure caches shorten the walk
        level = 1;
    }
    for (; level > 0; --level) {
        if (table == Mfn{} || !(frame_exists(table))) return false;
        const uint64_t entry = entry_of(table, va, level);
        if ((entry & kPresent) == 0) return false;
        writable = writable && (entry & kWrite) != 0;
        if (level == 1) {
            if (known.size() == kMostEntries) known.erase(known.begin());
            known.push_back({domain, va, table, Mfn((entry & kAddressBits) >> kPageShift), writable});
            return true;
        }
        table = Mfn((entry & kAddressBits) >> kPageShift);
    }
    return false;
}

// INVLPG drops the paging-structure caches as a whole (Intel SDM vol. 3, section 4.10.4.1). Here those are
// part of the translations; other pages' final translations stay.
void Tlb::forget_page(unsigned cpu, uint64_t va) {
    std::erase_if(entries_[cpu], [va](const Translation& entry) { return entry.va == (va & kPageMask); });
}

Tlb& tlb() {
    static Tlb* const only = new Tlb;
    return *only;
}

}  // namespace torii::fakes
