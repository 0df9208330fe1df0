#include "kit/recount.h"

#include <map>
#include <set>
#include <sstream>
#include <unordered_map>

#include "arch/x86/pv/page_type.h"  // for hypervisor_slots, the contents to expect
#include "core/memory/reservation.h"
#include "fakes/fake_machine.h"
#include "fakes/fake_tlb.h"

namespace torii::test {
namespace {

constexpr uint64_t kPresent = 1;
constexpr uint64_t kWrite = 2;
constexpr uint64_t kAddressBits = 0x000f'ffff'ffff'f000;
constexpr unsigned kSlots = 512;

struct Uses {
    uint64_t general = 0;
    uint64_t writable = 0;
    uint64_t descriptors = 0;
    uint64_t table[5]{};  // by level
    bool walked = false;

    [[nodiscard]] uint64_t tables() const { return table[1] + table[2] + table[3] + table[4]; }
};

bool is_hypervisor_slot(unsigned level, unsigned slot) {
    return level == 4 && slot >= 256 && slot <= 271;
}

unsigned level_of(FrameType type) {
    switch (type) {
        case FrameType::kL1:
            return 1;
        case FrameType::kL2:
            return 2;
        case FrameType::kL3:
            return 3;
        case FrameType::kL4:
            return 4;
        default:
            return 0;
    }
}

class Recount {
public:
    explicit Recount(std::span<Domain* const> domains) : domains_(domains) {}

    std::vector<std::string> run() {
        for (Domain* const domain : domains_)
            count_holdings(*domain);
        for (Domain* const domain : domains_)
            count_vcpus(*domain);
        for (Domain* const domain : domains_)
            count_handles(*domain);
        for (Domain* const domain : domains_)
            compare(*domain);
        for (Domain* const domain : domains_)
            check_undo_list(*domain);
        for (unsigned cpu = 0; cpu < fakes::kFakeCpus; ++cpu)
            check_translations(cpu);
        return std::move(findings_);
    }

private:
    template <class... Parts>
    void find(Mfn mfn, const Parts&... parts) {
        std::ostringstream text;
        text << "frame " << std::hex << mfn.raw() << std::dec << ": ";
        (text << ... << parts);
        findings_.push_back(text.str());
    }

    // Each use of a table is a general and a type reference; its entries count once, however often it is
    // used.
    void use_table(Domain& holder, Mfn mfn, unsigned level) {
        Uses& uses = uses_[mfn.raw()];
        ++uses.general;
        ++uses.table[level];
        if (frame_at(mfn).owner() != holder.id)
            find(mfn, "a table of d", holder.id.raw(), " that it doesn't own");
        walk(holder, mfn, level, kSlots);
    }

    void walk(Domain& holder, Mfn mfn, unsigned level, unsigned end) {
        if (uses_[mfn.raw()].walked) return;
        uses_[mfn.raw()].walked = true;
        const auto* const entries = fakes::machine().guest_view<uint64_t>(mfn);
        for (unsigned slot = 0; slot < end; ++slot) {
            const uint64_t entry = entries[slot];
            if (entry == 0 && level != 4) continue;  // most
            if (is_hypervisor_slot(level, slot)) {
                if (end == kSlots && entry != pv::hypervisor_slots[slot - 256] && !dying_[mfn.raw()])
                    find(mfn, "slot ", slot, " of an L4 isn't the hypervisor's");
                continue;
            }
            if ((entry & kPresent) == 0) continue;
            const Mfn target((entry & kAddressBits) >> kPageShift);
            if (level > 1) {
                use_table(holder, target, level - 1);
            } else {
                map(holder, mfn, slot, target, (entry & kWrite) != 0);
            }
        }
    }

    void map(Domain& holder, Mfn table, unsigned slot, Mfn target, bool writable) {
        if (!frame_exists(target) || frame_at(target).owner() == kOwnerIo) {
            if (!holder.io.all_memory) find(target, "I/O memory mapped by d", holder.id.raw());
            return;
        }
        Uses& uses = uses_[target.raw()];
        ++uses.general;
        uses.writable += writable;
        const Frame& frame = frame_at(target);
        if (frame.owner() == kOwnerNone || frame.owner() == kOwnerXen)
            find(target, "is nobody's, and is mapped by d", holder.id.raw());
        if (frame.owner() == holder.id || holder.privileged) return;
        if (!has_grant(holder, address_of(table) + slot * sizeof(uint64_t), writable))
            find(target, "of d", frame.owner().raw(), " is mapped by d", holder.id.raw(), " without a grant");
    }

    static bool has_grant(const Domain& holder, MachineAddr entry, bool writable) {
        const Maptrack& track = holder.grants.handles;
        for (uint32_t i = 0; i < track.used_so_far(); ++i) {
            const GrantMapping& mapping = track.at(GrantHandle(i));
            const uint16_t state = mapping.state.load();
            if ((state & GrantMapping::kHost) != 0 && mapping.entry == entry &&
                (!writable || (state & GrantMapping::kReadonly) == 0))
                return true;
        }
        return false;
    }

    // What the frame table alone can know: what is owned, pinned, half-validated.
    void count_holdings(Domain& domain) {
        for (uint32_t at = domain.first_frame; at != 0; at = frame_at(Mfn(at)).next) {
            const Frame& frame = frame_at(Mfn(at));
            const uint64_t count = frame.count.load();
            const bool shared = (count & kSharedByHypervisor) != 0;
            Uses& uses = uses_[at];
            if ((count & CountWord::kAllocated) != 0) ++uses.general;
            // What the hypervisor shares it writes to: that is a use as writable memory.
            if ((count & CountWord::kAllocated) != 0 && shared) ++uses.writable;
            const TypeWord word = frame.type_word();
            if (word.pinned()) use_table(domain, Mfn(at), level_of(word.type()));
            if (!word.partial()) continue;
            ++uses_[at].general;
            dying_[at] = true;
            walk(domain, Mfn(at), level_of(word.type()), frame.validated_entries);
        }
        for (uint32_t i = domain.grants.closed_frame_count(); i < domain.grants.frame_count(); ++i)
            ++uses_[domain.grants.frame(i).raw()].writable;
    }

    void count_vcpus(Domain& domain) {
        for (uint32_t i = 0; i < domain.vcpu_count; ++i) {
            const Vcpu* const vcpu = domain.vcpus[i];
            if (vcpu == nullptr) continue;
            for (const Mfn root : {vcpu->pv.kernel_root, vcpu->pv.user_root}) {
                if (root != Mfn{}) use_table(domain, root, 4);
            }
            for (const Mfn mfn : vcpu->pv.gdt_frames)
                use_descriptors(mfn);
            for (const Mfn mfn : vcpu->pv.ldt_frames)
                use_descriptors(mfn);
            if (vcpu->info_frame != kInvalidMfn) {
                ++uses_[vcpu->info_frame.raw()].general;
                ++uses_[vcpu->info_frame.raw()].writable;
            }
            use_pinned(vcpu->events.control_page);
        }
        const FifoState* const fifo = domain.events.fifo();
        for (uint32_t i = 0; fifo != nullptr && i < fifo->page_count; ++i)
            use_pinned(fifo->pages[i]);
    }

    // Guest memory that holds event words.
    void use_pinned(const PinnedGuestPage& page) {
        if (page.address == nullptr) return;
        ++uses_[page.reference].general;
        ++uses_[page.reference].writable;
    }

    void use_descriptors(Mfn mfn) {
        if (mfn == Mfn{}) return;
        ++uses_[mfn.raw()].general;
        ++uses_[mfn.raw()].descriptors;
    }

    void count_handles(Domain& domain) {
        const Maptrack& track = domain.grants.handles;
        for (uint32_t i = 0; i < track.used_so_far(); ++i) {
            const GrantMapping& mapping = track.at(GrantHandle(i));
            const uint16_t state = mapping.state.load();
            for (Domain* const granter : domains_) {
                if ((state & GrantMapping::kParts) == 0 || granter->id != mapping.granter) continue;
                Uses& uses = uses_[mfn_of(granter->grants.pinned_frame(mapping.ref)).raw()];
                const unsigned pins =
                    ((state & GrantMapping::kHost) != 0) + ((state & GrantMapping::kDevice) != 0);
                uses.general += pins;
                if ((state & GrantMapping::kReadonly) == 0) uses.writable += pins;
            }
        }
    }

    void compare(Domain& domain) {
        for (uint32_t at = domain.first_frame; at != 0; at = frame_at(Mfn(at)).next) {
            const Frame& frame = frame_at(Mfn(at));
            const Uses& uses = uses_[at];
            compare_frame(Mfn(at), frame, uses);
        }
    }

    void compare_frame(Mfn mfn, const Frame& frame, const Uses& uses) {
        const TypeWord word = frame.type_word();
        if (frame.references() != uses.general)
            find(mfn, "counted ", frame.references(), " times, used ", uses.general, " times");
        const unsigned kinds = (uses.writable != 0) + (uses.descriptors != 0) + (uses.table[1] != 0) +
                               (uses.table[2] != 0) + (uses.table[3] != 0) + (uses.table[4] != 0);
        if (kinds > 1)
            find(mfn, "used in ", kinds, " ways at once: writable ", uses.writable, ", as table ",
                 uses.tables(), ", for descriptors ", uses.descriptors);
        const uint64_t of_type = uses.writable + uses.descriptors + uses.tables();
        if (word.count() != of_type) find(mfn, "type count ", word.count(), ", used so ", of_type, " times");
        if (of_type == 0) return;
        const unsigned level = level_of(word.type());
        const bool right = level != 0
                               ? uses.table[level] != 0
                               : (word.type() == FrameType::kSegDesc ? uses.descriptors : uses.writable) != 0;
        if (!right) find(mfn, "of type ", static_cast<unsigned>(word.type()), ", which nobody uses it as");
        if (word.partial()) find(mfn, "half-validated and in use");
        if ((level != 0 || uses.descriptors != 0) && !word.validated()) find(mfn, "in use and not validated");
    }

    void check_undo_list(Domain& domain) {
        std::set<uint32_t> seen;
        for (uint32_t at = domain.undo_first; at != 0; at = frame_at(Mfn(at)).stamp()) {
            if (!seen.insert(at).second) return find(Mfn(at), "twice in the undo list");
            const Frame& frame = frame_at(Mfn(at));
            if (!frame.type_word().partial() || frame.owner() != domain.id)
                return find(Mfn(at), "in the undo list, and no table to be undone");
        }
    }

    void check_translations(unsigned cpu) {
        for (const fakes::Translation& entry : fakes::tlb().entries(CpuId(cpu))) {
            if (!frame_exists(entry.mfn)) continue;
            const Frame& frame = frame_at(entry.mfn);
            const TypeWord word = frame.type_word();
            const bool privileged = is_privileged(entry.domain);
            const bool table = (word.count() != 0 || word.partial()) &&
                               (level_of(word.type()) != 0 || word.type() == FrameType::kSegDesc);
            if (entry.writable && table)
                find(entry.mfn, "of type ", static_cast<unsigned>(word.type()), " is writable by d",
                     entry.domain.raw(), " through the TLB of CPU ", cpu);
            // A free frame's next user flushes before it writes.
            const bool used = frame.references() != 0 && frame.owner() != kOwnerIo;
            if (used && frame.owner() != entry.domain && !privileged && !still_granted(entry))
                find(entry.mfn, "of d", frame.owner().raw(), " is reached by d", entry.domain.raw(),
                     " through the TLB of CPU ", cpu);
            const Frame& l1 = frame_at(entry.l1_table);
            if (l1.references() != 0 && l1.type_word().type() != FrameType::kL1)
                find(entry.l1_table, "is walked as L1 table by CPU ", cpu, ", and is of type ",
                     static_cast<unsigned>(l1.type_word().type()));
        }
    }

    bool is_privileged(DomId id) const {
        for (const Domain* const domain : domains_) {
            if (domain->id == id) return domain->privileged;
        }
        return false;
    }

    bool still_granted(const fakes::Translation& entry) const {
        for (const Domain* const domain : domains_) {
            if (domain->id != entry.domain) continue;
            const MachineAddr place =
                address_of(entry.l1_table) + ((entry.va >> kPageShift) & 511) * sizeof(uint64_t);
            if (has_grant(*domain, place, entry.writable)) return true;
        }
        return false;
    }

    std::span<Domain* const> domains_;
    std::unordered_map<uint64_t, Uses> uses_;
    std::unordered_map<uint64_t, bool> dying_;
    std::vector<std::string> findings_;
};

}  // namespace

std::vector<std::string> recount(std::span<Domain* const> domains) {
    return Recount(domains).run();
}

}  // namespace torii::test
