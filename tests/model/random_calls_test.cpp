// Random calls of direct paging and grants over a control domain and two guests, on a CPU each, which use
// their memory in between. After each call a recount from scratch must agree with the frame table and with
// what the CPUs remember. Most inputs are valid: each domain's address space has places for tables of each
// level, and a call picks what fits.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "arch/x86/pv/address_space.h"
#include "core/memory/allocator.h"
#include "core/memory/heap.h"
#include "core/memory/reservation.h"
#include "fakes/fake_tlb.h"
#include "kit/hosted_domain.h"
#include "kit/recount.h"

namespace torii::test {
namespace {

using abi::GrantTableOp;
using Command = abi::MmuextOpCommand;

constexpr unsigned kDomains = 3;
constexpr unsigned kFrames = 20;
constexpr unsigned kPages = 8;
constexpr uint32_t kRefs = 6;
constexpr uint16_t kSelf = 0x7ff0;

uint64_t from_environment(const char* name, uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

struct Tally {
    uint64_t calls = 0;
    uint64_t succeeded = 0;
};

class RandomCalls : public testing::Test {
protected:
    unsigned pick(unsigned below) { return static_cast<unsigned>(random() % below); }
    bool chance(unsigned percent) { return pick(100) < percent; }
    HostedDomain& some() { return *domains[pick(kDomains)]; }
    Mfn some_frame(HostedDomain& domain) { return domain.mfn(pick(kFrames)); }

    void note(const char* name, int64_t result) {
        Tally& tally = tallies[name];
        ++tally.calls;
        tally.succeeded += result >= 0;
        last = std::string(name) + " = " + std::to_string(result);
    }

    // A frame of the domain that is of the type now, or any.
    Mfn frame_of_type(HostedDomain& domain, FrameType type) {
        const unsigned first = pick(kFrames);
        for (unsigned i = 0; i < kFrames; ++i) {
            const Mfn mfn = domain.mfn((first + i) % kFrames);
            const TypeWord word = frame_at(mfn).type_word();
            if (word.type() == type && word.count() != 0) return mfn;
        }
        return domain.mfn(first);
    }
    Mfn unused_frame(HostedDomain& domain) {
        const unsigned first = pick(kFrames);
        for (unsigned i = 0; i < kFrames; ++i) {
            const Mfn mfn = domain.mfn((first + i) % kFrames);
            const TypeWord word = frame_at(mfn).type_word();
            if (word.count() == 0 && !word.partial()) return mfn;
        }
        return domain.mfn(first);
    }

    uint64_t some_flags() {
        uint64_t flags = chance(50) ? kTableFlags : kReadOnly;
        if (chance(3)) flags |= uint64_t{1} << pick(12);
        if (chance(2)) flags |= uint64_t{1} << (52 + pick(12));
        return flags;
    }
    uint64_t l1_entry(HostedDomain& domain) {
        if (chance(20)) return 0;
        if (chance(3)) return HostedDomain::entry(some_frame(some()), some_flags());
        if (chance(10)) return HostedDomain::entry(domain.table(1 + pick(4)), kReadOnly);
        const Mfn mfn = chance(60) ? unused_frame(domain) : some_frame(domain);
        const bool plain = frame_at(mfn).type_word().type() <= FrameType::kWritable;
        return HostedDomain::entry(mfn, chance(85) && !plain ? kReadOnly : some_flags());
    }

    // What a guest writes to its own memory before it offers a frame as a table.
    void prepare_table(HostedDomain& domain, Mfn mfn, unsigned level) {
        if (frame_at(mfn).type_word().count() != 0 || frame_at(mfn).type_word().partial()) return;
        // Makes it writable memory first, as the guest must.
        if (domain.mmuext(Command::kClearPage, mfn.raw()) != 0) return;
        for (unsigned i = pick(5); i > 0; --i) {
            unsigned slot = chance(50) ? pick(8) : pick(512);
            if (level == 4 && slot >= 256 && slot <= 271 && chance(95)) slot = 0;
            domain.entries(mfn)[slot] = entry_for(domain, level);
        }
    }
    uint64_t entry_for(HostedDomain& domain, unsigned level) {
        if (level == 1) return l1_entry(domain);
        const auto below = static_cast<FrameType>(level);  // kL1 is 2: the type below is the level
        if (chance(25)) return HostedDomain::entry(domain.table(level - 1));
        return HostedDomain::entry(frame_of_type(domain, below));
    }

    void pin() {
        HostedDomain& domain = some();
        const unsigned level = 1 + pick(4);
        const Mfn mfn = chance(90) ? unused_frame(domain) : some_frame(domain);
        prepare_table(domain, mfn, level);
        static constexpr const char* kNames[] = {"pin L1", "pin L2", "pin L3", "pin L4"};
        HostedDomain& caller = chance(10) ? *domains[0] : domain;
        note(kNames[level - 1],
             caller.mmuext(static_cast<Command>(level - 1), mfn.raw(), 0, domain.id().raw()));
    }
    void unpin() {
        HostedDomain& domain = some();
        Mfn mfn = some_frame(domain);
        for (unsigned i = 0; i < kFrames && chance(97) && !frame_at(mfn).type_word().pinned(); ++i)
            mfn = some_frame(domain);
        note("unpin", domain.mmuext(Command::kUnpinTable, mfn.raw()));
    }

    abi::MmuUpdate some_update(HostedDomain& domain) {
        const unsigned level = chance(50) ? 1 : 1 + pick(4);
        Mfn table =
            chance(60) ? domain.table(level) : frame_of_type(domain, static_cast<FrameType>(level + 1));
        if (chance(2)) table = some_frame(some());
        unsigned slot = chance(80) ? pick(kPages) : pick(512);
        // Only what the domain can lose: its own way to its L1 stays.
        if (level > 1 && slot == ((CallDomain::kVirtualBase >> (12 + 9 * (level - 1))) & 511)) slot += 1;
        if (level == 4 && slot >= 256 && slot <= 271 && chance(90)) slot = 100;
        const uint64_t value = chance(25) ? 0 : entry_for(domain, level);
        return {HostedDomain::place(table, slot) | (chance(20) ? 2u : 0u), value};
    }
    void update() {
        HostedDomain& domain = some();
        abi::MmuUpdate requests[8];
        const unsigned count = 1 + pick(chance(50) ? 1 : 8);
        for (unsigned i = 0; i < count; ++i)
            requests[i] = some_update(domain);
        // A table that is given up and wanted again, and one that the batch had at hand.
        if (count > 2 && chance(40)) requests[count - 1] = requests[0];
        if (count > 3 && chance(40)) {
            requests[2].ptr = requests[1].ptr;
            requests[2].val = 0;
            requests[3].val = requests[1].val;
        }
        uint32_t done = 0;
        const int64_t result = domain.hypercall(
            abi::Hypercall::kMmuUpdate,
            {reinterpret_cast<uint64_t>(requests), count, reinterpret_cast<uint64_t>(&done), kSelf});
        EXPECT_TRUE(result != 0 || done == count);
        note(count == 1 ? "mmu_update" : "mmu_update batch", result);
    }
    void foreign_update() {
        HostedDomain& caller = chance(90) ? *domains[0] : some();
        HostedDomain& owner = some();
        note("mmu_update foreign",
             caller.update(caller.pte_address(pick(kPages)),
                           HostedDomain::entry(unused_frame(owner), some_flags()), owner.id().raw()));
    }
    void map_page() {
        HostedDomain& domain = some();
        const uint64_t flush =
            chance(70) ? 0 : (chance(50) ? abi::kUvmfTlbFlush : abi::kUvmfInvlpg) | abi::kUvmfAll;
        note("update_va_mapping", domain.hypercall(abi::Hypercall::kUpdateVaMapping,
                                                   {CallDomain::va(pick(kPages)), l1_entry(domain), flush}));
    }

    void base_pointer() {
        HostedDomain& domain = some();
        const bool user = chance(60);
        Mfn root = chance(40) ? frame_of_type(domain, FrameType::kL4) : unused_frame(domain);
        if (chance(15)) root = Mfn{};
        if (root != Mfn{}) {
            prepare_table(domain, root, 4);
            // A kernel takes its mappings along.
            const TypeWord word = frame_at(root).type_word();
            if (word.count() == 0 && !word.partial())
                domain.entries(root)[0] = domain.entries(domain.table(4))[0];
        }
        if (user) return note("new_user_baseptr", domain.mmuext(Command::kNewUserBaseptr, root.raw()));
        if (root == Mfn{} || domain.entries(root)[0] != domain.entries(first_roots[&domain])[0])
            root = first_roots[&domain];
        note("new_baseptr", domain.mmuext(Command::kNewBaseptr, root.raw()));
    }

    void page_operation() {
        HostedDomain& domain = some();
        const Mfn target = chance(80) ? unused_frame(domain) : some_frame(some());
        if (chance(50)) return note("clear_page", domain.mmuext(Command::kClearPage, target.raw()));
        note("copy_page", domain.mmuext(Command::kCopyPage, target.raw(), some_frame(domain).raw()));
    }

    void set_gdt() {
        HostedDomain& domain = some();
        const unsigned pages = pick(3);
        uint64_t list[2]{};
        for (unsigned i = 0; i < pages; ++i) {
            const Mfn mfn = unused_frame(domain);
            if (chance(90)) (void)domain.mmuext(Command::kClearPage, mfn.raw());
            list[i] = mfn.raw();
        }
        note("set_gdt",
             domain.hypercall(abi::Hypercall::kSetGdt, {reinterpret_cast<uint64_t>(list), pages * 512}));
    }
    void set_ldt() {
        HostedDomain& domain = some();
        const uint64_t at = CallDomain::va(pick(kPages));
        const int64_t result = domain.mmuext(Command::kSetLdt, at, chance(70) ? 512 * (1 + pick(2)) : 0);
        note("set_ldt", result);
        if (domain.vcpu().pv.ldt_entries == 0) return;
        fakes::Machine::set_current(&domain.vcpu(), domain.cpu());
        (void)pv::fault_in_ldt_page(domain.vcpu(), pick(2));
        fakes::Machine::set_current(nullptr);
    }
    void update_descriptor() {
        HostedDomain& domain = some();
        const Mfn mfn = chance(50) ? frame_of_type(domain, FrameType::kSegDesc) : unused_frame(domain);
        const uint64_t value = chance(70) ? 0x00cf'fb00'0000'ffff : random();
        note("update_descriptor", domain.hypercall(abi::Hypercall::kUpdateDescriptor,
                                                   {HostedDomain::place(mfn, pick(512)), value}));
    }

    void grant() {
        HostedDomain& granter = some();
        const uint16_t flags = chance(30) ? abi::kGtfPermitAccess | abi::kGtfReadonly : abi::kGtfPermitAccess;
        granter.grant(pick(kRefs), some().id(), unused_frame(granter), flags);
    }
    void map_grant() {
        HostedDomain& mapper = some();
        HostedDomain& granter = some();
        const uint32_t ref = pick(kRefs);
        if (chance(80)) granter.grant(ref, mapper.id(), unused_frame(granter));
        constexpr uint32_t kKinds[] = {abi::kGrantMapHost, abi::kGrantMapHost | abi::kGrantMapContainsPte,
                                       abi::kGrantMapDevice};
        uint32_t flags = kKinds[pick(3)];
        if (chance(40)) flags |= abi::kGrantMapReadonly;
        const unsigned page = pick(kPages);
        const uint64_t at =
            (flags & abi::kGrantMapContainsPte) != 0 ? mapper.pte_address(page) : CallDomain::va(page);
        const abi::GrantMap done = mapper.map(granter.id(), ref, at, flags);
        note("grant map", done.status == 0 ? 0 : -1);
        if (done.status == 0) handles.push_back({&mapper, done});
    }
    void unmap_grant() {
        if (handles.empty()) return map_grant();
        const size_t index = pick(static_cast<unsigned>(handles.size()));
        auto [mapper, map] = handles[index];
        const bool host = (map.flags & abi::kGrantMapHost) != 0;
        const int16_t status =
            mapper->unmap(map.handle, host ? map.host_addr : 0, host ? 0 : map.dev_bus_addr);
        note("grant unmap", status == 0 ? 0 : -1);
        if (mapper->domain().grants.handles.at(GrantHandle(map.handle)).state.load() == 0)
            handles.erase(handles.begin() + static_cast<ptrdiff_t>(index));
    }

    // The guests run: each CPU uses some addresses.
    void use_memory() {
        for (unsigned i = 0; i < 3; ++i) {
            HostedDomain& domain = some();
            const uint64_t va = chance(80) ? CallDomain::va(pick(kPages)) : random() & 0x7fff'ffff'f000;
            (void)fakes::tlb().touch(domain.cpu(), domain.id(), domain.vcpu().pv.kernel_root, va);
        }
    }

    void step() {
        use_memory();
        const unsigned choice = pick(100);
        if (choice < 12) return pin();
        if (choice < 24) return unpin();
        if (choice < 44) return update();
        if (choice < 49) return foreign_update();
        if (choice < 62) return map_page();
        if (choice < 70) return base_pointer();
        if (choice < 76) return page_operation();
        if (choice < 80) return set_gdt();
        if (choice < 84) return set_ldt();
        if (choice < 88) return update_descriptor();
        if (choice < 94) return map_grant();
        unmap_grant();
    }

    void note_types() {
        for (const auto& domain : domains) {
            for (unsigned i = 0; i < kFrames; ++i) {
                const TypeWord word = frame_at(domain->mfn(i)).type_word();
                if (word.count() != 0) ++types[word.type()];
            }
        }
    }

    void run(uint64_t calls) {
        Domain* all[kDomains];
        for (unsigned i = 0; i < kDomains; ++i)
            all[i] = &domains[i]->domain();
        for (uint64_t call = 0; call < calls; ++call) {
            step();
            for (const std::string& finding : recount(all))
                ADD_FAILURE() << finding;
            ASSERT_FALSE(HasFailure()) << "seed " << seed << ", call " << call << ": " << last;
            if (call % 64 == 0) note_types();
        }
    }

    const uint64_t seed = from_environment("TORII_RANDOM_SEED", 2026);
    std::mt19937_64 random{seed};
    std::vector<std::unique_ptr<HostedDomain>> domains = make_domains();
    std::map<HostedDomain*, Mfn> first_roots = make_roots();
    std::vector<std::pair<HostedDomain*, abi::GrantMap>> handles;
    std::map<std::string, Tally> tallies;
    std::map<FrameType, uint64_t> types;
    std::string last;

private:
    static std::vector<std::unique_ptr<HostedDomain>> make_domains() {
        std::vector<std::unique_ptr<HostedDomain>> made;
        for (uint16_t id = 0; id < kDomains; ++id)
            made.push_back(std::make_unique<HostedDomain>(id, id, id == 0, kFrames));
        return made;
    }
    std::map<HostedDomain*, Mfn> make_roots() {
        std::map<HostedDomain*, Mfn> roots;
        for (const auto& domain : domains)
            roots[domain.get()] = domain->vcpu().pv.kernel_root;
        return roots;
    }
};

TEST_F(RandomCalls, RecountAgreesAfterEach) {
    const uint64_t calls = from_environment("TORII_RANDOM_CALLS", 100'000);
    std::printf("%llu calls, seed %llu\n", static_cast<unsigned long long>(calls),
                static_cast<unsigned long long>(seed));
    run(calls);
    Tally sum;
    for (const auto& [name, tally] : tallies) {
        std::printf("%-20s %8llu calls, %8llu succeeded\n", name.c_str(),
                    static_cast<unsigned long long>(tally.calls),
                    static_cast<unsigned long long>(tally.succeeded));
        EXPECT_GT(tally.succeeded, 0u) << name;
        sum.calls += tally.calls;
        sum.succeeded += tally.succeeded;
    }
    EXPECT_GE(tallies.size(), 17u);
    EXPECT_GE(sum.succeeded * 2, sum.calls) << "too few valid inputs";
    for (const FrameType type : {FrameType::kWritable, FrameType::kL1, FrameType::kL2, FrameType::kL3,
                                 FrameType::kL4, FrameType::kSegDesc})
        EXPECT_GT(types[type], 0u) << "type " << static_cast<unsigned>(type);
    // They end with whatever they hold of each other.
    domains.clear();
}

}  // namespace
}  // namespace torii::test
