// Random grant calls over three domains. After each, every count is recounted from what can be seen: the
// entries of all L1 tables, and the handles.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "core/domain/domain.h"
#include "kit/call_domain.h"

namespace torii::test {
namespace {

using abi::GrantTableOp;

constexpr unsigned kDomains = 3;
constexpr uint32_t kRefs = 6;
constexpr unsigned kPages = 6;  // of each domain's address space that the test uses

struct Counts {
    uint64_t all = 0;
    uint64_t writing = 0;
};

class CallModel : public testing::Test {
protected:
    unsigned pick(unsigned below) { return static_cast<unsigned>(random() % below); }
    bool chance(unsigned percent) { return pick(100) < percent; }
    CallDomain& some() { return *domains[pick(kDomains)]; }

    uint64_t place(CallDomain& domain, bool by_entry) {
        const unsigned page = pick(kPages);
        return by_entry ? domain.pte_address(page) : domain.va(page);
    }

    void rewrite_grant() {
        CallDomain& granter = some();
        uint16_t flags = abi::kGtfPermitAccess;
        if (chance(30)) flags |= abi::kGtfReadonly;
        if (chance(5)) flags = static_cast<uint16_t>(random());
        const Mfn mfn = chance(8) ? granter.l1() : (chance(5) ? some() : granter).mfn(pick(4));
        granter.grant(pick(kRefs), some().id(), mfn, flags);
    }

    void map() {
        CallDomain& mapper = some();
        constexpr uint32_t kFlags[] = {abi::kGrantMapHost, abi::kGrantMapHost | abi::kGrantMapContainsPte,
                                       abi::kGrantMapDevice, abi::kGrantMapHost | abi::kGrantMapDevice};
        uint32_t flags = kFlags[pick(4)];
        if (chance(40)) flags |= abi::kGrantMapReadonly;
        const bool by_entry = (flags & abi::kGrantMapContainsPte) != 0;
        const uint64_t at = place(chance(97) ? mapper : some(), by_entry);
        const abi::GrantMap done = mapper.map(some().id(), pick(kRefs + 1), at, flags);
        if (done.status != 0) return;
        handles.push_back({&mapper, done});
        ++succeeded;
    }

    // Mostly with the right address; wrong ones must change nothing that recount() doesn't know.
    void unmap() {
        if (handles.empty()) return;
        const size_t index = pick(static_cast<unsigned>(handles.size()));
        auto [mapper, map] = handles[index];
        const bool by_entry = (map.flags & abi::kGrantMapContainsPte) != 0;
        uint64_t host = (map.flags & abi::kGrantMapHost) != 0 && chance(85) ? map.host_addr : 0;
        if (host != 0 && chance(10)) host = place(*mapper, by_entry);
        const uint64_t device = (map.flags & abi::kGrantMapDevice) != 0 && chance(70) ? map.dev_bus_addr : 0;
        CallDomain& caller = chance(95) ? *mapper : some();
        if (host != 0 && !by_entry && chance(15)) {
            abi::GrantUnmapAndReplace element{host, place(caller, false), map.handle, 1, 0};
            EXPECT_EQ(caller.call(GrantTableOp::kUnmapAndReplace, element), 0);
        } else {
            (void)caller.unmap(map.handle, host, device);
        }
        if (mapper->domain().grants.handles.at(GrantHandle(map.handle)).state.load() == 0)
            handles.erase(handles.begin() + static_cast<ptrdiff_t>(index));
    }

    // What a guest does to its page tables on its own: clear, map its own frames, copy entries, change bits.
    void write_pte() {
        CallDomain& domain = some();
        const unsigned page = pick(kPages);
        pv::Pte entry{};
        if (chance(30)) entry.raw = address_of(domain.mfn(pick(4))).raw() | pv::kPtePresent | pv::kPteUser;
        if (chance(20)) entry = domain.pte(pick(kPages));
        if (chance(50)) entry.raw |= pv::kPteWrite;
        (void)domain.write_pte(page, entry);
    }

    void copy() {
        CallDomain& caller = some();
        abi::GrantCopy element{};
        element.flags = static_cast<uint16_t>(pick(4));
        for (abi::GrantCopyPointer* end : {&element.source, &element.dest}) {
            const bool by_ref = (element.flags & (end == &element.source ? 1 : 2)) != 0;
            if (by_ref) {
                end->u.ref = pick(kRefs);
            } else {
                end->u.gmfn = (chance(90) ? caller : some()).mfn(pick(4)).raw();
            }
            end->domid = by_ref ? some().id().raw() : abi::kDomIdSelf;
            end->offset = static_cast<uint16_t>(pick(4096));
        }
        element.len = static_cast<uint16_t>(pick(64));
        EXPECT_EQ(caller.call(GrantTableOp::kCopy, element), 0);
    }

    void recount() {
        std::map<uint64_t, Counts> expected;
        const auto count = [&](Mfn mfn, bool writing) {
            ++expected[mfn.raw()].all;
            expected[mfn.raw()].writing += writing;
        };
        for (const auto& domain : domains) {
            for (unsigned page = 0; page < CallDomain::kVirtualPages; ++page) {
                const pv::Pte entry = domain->pte(page);
                if (entry.present()) count(entry.mfn(), entry.writable());
            }
            const Maptrack& track = domain->domain().grants.handles;
            for (uint32_t i = 0; i < track.used_so_far(); ++i)
                count_handle(track.at(GrantHandle(i)), count);
        }
        for (const auto& domain : domains) {
            for (uint32_t i = 0; i < 4; ++i) {
                const Counts& counts = expected[domain->mfn(i).raw()];
                const Frame& frame = domain->frame(i);
                ASSERT_EQ(frame.references(), 1 + counts.all) << "d" << domain->id().raw() << " frame " << i;
                ASSERT_EQ(frame.type_word().count(), counts.writing)
                    << "d" << domain->id().raw() << " frame " << i;
                ASSERT_TRUE(counts.writing == 0 || frame.type_word().type() == FrameType::kWritable);
            }
            // No page table is writable by anyone.
            ASSERT_EQ(expected[domain->l1().raw()].writing, 0u);
        }
    }

    // A mapped frame is granted, its own, or reached through a handle that records exactly that place.
    void check_rights() {
        for (const auto& domain : domains) {
            for (unsigned page = 0; page < kPages; ++page) {
                const pv::Pte entry = domain->pte(page);
                if (!entry.present() || frame_at(entry.mfn()).owner() == domain->id()) continue;
                bool recorded = false;
                const Maptrack& track = domain->domain().grants.handles;
                for (uint32_t i = 0; i < track.used_so_far() && !recorded; ++i) {
                    const GrantMapping& mapping = track.at(GrantHandle(i));
                    const uint16_t state = mapping.state.load();
                    recorded = (state & GrantMapping::kHost) != 0 &&
                               mapping.entry.raw() == domain->pte_address(page) &&
                               (!entry.writable() || (state & GrantMapping::kReadonly) == 0);
                }
                ASSERT_TRUE(recorded) << "d" << domain->id().raw() << " page " << page;
            }
        }
    }

    std::mt19937 random{2024};
    std::vector<std::unique_ptr<CallDomain>> domains = make_domains();
    std::vector<std::pair<CallDomain*, abi::GrantMap>> handles;
    unsigned succeeded = 0;

private:
    static std::vector<std::unique_ptr<CallDomain>> make_domains() {
        std::vector<std::unique_ptr<CallDomain>> made;
        for (uint16_t id = 1; id <= kDomains; ++id)
            made.push_back(std::make_unique<CallDomain>(id));
        return made;
    }

    template <class Count>
    void count_handle(const GrantMapping& mapping, const Count& count) const {
        const uint16_t state = mapping.state.load();
        const bool writing = (state & GrantMapping::kReadonly) == 0;
        for (const uint16_t part : {GrantMapping::kHost, GrantMapping::kDevice}) {
            if ((state & part) == 0) continue;
            const auto& granter = domains.at(mapping.granter.raw() - 1);
            count(mfn_of(granter->domain().grants.pinned_frame(mapping.ref)), writing);
        }
    }
};

TEST_F(CallModel, RandomCallsKeepEveryCount) {
    for (unsigned step = 0; step < 30'000; ++step) {
        const unsigned choice = pick(100);
        if (choice < 15) {
            rewrite_grant();
        } else if (choice < 45) {
            map();
        } else if (choice < 70) {
            unmap();
        } else if (choice < 85) {
            write_pte();
        } else {
            copy();
        }
        recount();
        check_rights();
        ASSERT_FALSE(HasFailure()) << "step " << step;
    }
    EXPECT_GT(succeeded, 1500u);
    // Each domain ends with maps held on all sides, in turn; everything must come back.
    domains.clear();
    for (uint16_t id = 1; id <= kDomains; ++id)
        EXPECT_EQ(find_domain(DomId(id)), nullptr);
}

}  // namespace
}  // namespace torii::test
