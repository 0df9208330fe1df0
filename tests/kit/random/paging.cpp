// Page tables of random shape, most of them valid.
#include <gtest/gtest.h>

#include "base/once.h"
#include "kit/random/world.h"

namespace torii::test {

uint64_t RandomWorld::some_flags() {
    uint64_t flags = chance(50) ? kTableFlags : kReadOnly;
    if (chance(3)) flags |= uint64_t{1} << pick(12);
    if (chance(2)) flags |= uint64_t{1} << (52 + pick(12));
    return flags;
}

uint64_t RandomWorld::l1_entry(HostedDomain& domain) {
    if (chance(20)) return 0;
    if (chance(3)) return HostedDomain::entry(some_frame(some()), some_flags());
    if (chance(10)) return HostedDomain::entry(domain.table(1 + pick(4)), kReadOnly);
    const Mfn mfn = chance(60) ? unused_frame(domain) : some_frame(domain);
    const bool plain = frame_at(mfn).type_word().type() <= FrameType::kWritable;
    return HostedDomain::entry(mfn, chance(85) && !plain ? kReadOnly : some_flags());
}

uint64_t RandomWorld::entry_for(HostedDomain& domain, unsigned level) {
    if (level == 1) return l1_entry(domain);
    const auto below = static_cast<FrameType>(level);  // kL1 is 2: the type below is the level
    if (chance(25)) return HostedDomain::entry(domain.table(level - 1));
    return HostedDomain::entry(frame_of_type(domain, below));
}

// Makes the frame writable memory for a moment, as a guest must before it writes a table there.
bool RandomWorld::make_writable(HostedDomain& domain, Mfn mfn) {
    const TypeWord word = frame_at(mfn).type_word();
    if (word.count() != 0 || word.partial()) return false;
    return domain.mmuext(Command::kClearPage, mfn.raw()) == 0;
}

void RandomWorld::prepare_table(HostedDomain& domain, Mfn mfn, unsigned level) {
    if (!make_writable(domain, mfn)) return;
    for (unsigned i = pick(5); i > 0; --i) {
        unsigned slot = chance(50) ? pick(8) : pick(512);
        if (level == 4 && slot >= 256 && slot <= 271 && chance(95)) slot = 0;
        (void)domain.write(mfn, slot, entry_for(domain, level));
    }
}

void RandomWorld::pin() {
    HostedDomain& domain = caller();
    const unsigned level = 1 + pick(4);
    const Mfn mfn = chance(90) ? unused_frame(domain) : some_frame(domain);
    prepare_table(domain, mfn, level);
    static constexpr const char* kNames[] = {"pin L1", "pin L2", "pin L3", "pin L4"};
    HostedDomain& by = chance(10) ? caller_with_rights() : domain;
    (void)mmuext(by, kNames[level - 1], static_cast<Command>(level - 1), mfn.raw(), 0, domain.id().raw());
}

void RandomWorld::unpin() {
    HostedDomain& domain = caller();
    Mfn mfn = some_frame(domain);
    for (unsigned i = 0; i < domain.frames() && chance(98) && !frame_at(mfn).type_word().pinned(); ++i)
        mfn = domain.mfn(i);
    (void)mmuext(domain, "unpin", Command::kUnpinTable, mfn.raw());
}

abi::MmuUpdate RandomWorld::some_update(HostedDomain& domain) {
    const unsigned level = chance(50) ? 1 : 1 + pick(4);
    Mfn table = chance(60) ? domain.table(level) : frame_of_type(domain, static_cast<FrameType>(level + 1));
    if (chance(2)) table = some_frame(some());
    unsigned slot = chance(80) ? pick(kPages) : pick(512);
    // Only what the domain can lose: its own way to its L1 stays. The frame may be of another level than was
    // meant.
    if (frame_at(table).type_word().type() > FrameType::kL1 && slot % 128 == 0) ++slot;
    if (level == 4 && slot >= 256 && slot <= 271 && chance(90)) slot = 100;
    const uint64_t value = chance(25) ? 0 : entry_for(domain, level);
    return {HostedDomain::place(table, slot) | (chance(20) ? 2u : 0u), value};
}

void RandomWorld::update() {
    HostedDomain& domain = caller();
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
    const int64_t result = call(domain, count == 1 ? "mmu_update" : "mmu_update batch", Number::kMmuUpdate,
                                {address(requests), count, address(done), kSelf});
    EXPECT_TRUE(result != 0 || domain.unfinished || done == count);
}

void RandomWorld::foreign_update() {
    HostedDomain& by = chance(90) ? caller_with_rights() : caller();
    HostedDomain& owner = some();
    const abi::MmuUpdate request{by.pte_address(pick(kPages)),
                                 HostedDomain::entry(unused_frame(owner), some_flags())};
    (void)call(by, "mmu_update foreign", Number::kMmuUpdate, {address(request), 1, 0, owner.id().raw()});
}

void RandomWorld::map_page() {
    HostedDomain& domain = caller();
    const uint64_t flush =
        chance(70) ? 0 : (chance(50) ? abi::kUvmfTlbFlush : abi::kUvmfInvlpg) | abi::kUvmfAll;
    (void)call(domain, "update_va_mapping", Number::kUpdateVaMapping,
               {CallDomain::va(pick(kPages)), l1_entry(domain), flush});
}

void RandomWorld::map_foreign_page() {
    HostedDomain& by = chance(95) ? caller_with_rights() : caller();
    HostedDomain& owner = some();
    const uint64_t entry = chance(20) ? 0 : HostedDomain::entry(unused_frame(owner), some_flags());
    (void)call(by, "update_va_mapping_otherdomain", Number::kUpdateVaMappingOtherdomain,
               {CallDomain::va(pick(kPages)), entry, abi::kUvmfInvlpg, owner.id().raw()});
}

void RandomWorld::base_pointer() {
    HostedDomain& domain = caller();
    const bool user = chance(60);
    Mfn root = chance(40) ? frame_of_type(domain, FrameType::kL4) : unused_frame(domain);
    if (chance(15)) root = Mfn{};
    if (root != Mfn{}) {
        prepare_table(domain, root, 4);
        // A kernel takes its mappings along.
        const TypeWord word = frame_at(root).type_word();
        if (word.count() == 0 && !word.partial())
            (void)domain.write(root, 0, read_once(domain.entries(domain.table(4))[0]));
    }
    if (user) {
        (void)mmuext(domain, "new_user_baseptr", Command::kNewUserBaseptr, root.raw());
        return;
    }
    const Mfn first = slot_of(domain).first_root;
    if (root == Mfn{} || read_once(domain.entries(root)[0]) != read_once(domain.entries(first)[0]))
        root = first;
    (void)mmuext(domain, "new_baseptr", Command::kNewBaseptr, root.raw());
}

void RandomWorld::page_operation() {
    HostedDomain& domain = caller();
    const Mfn target = chance(80) ? unused_frame(domain) : some_frame(some());
    if (chance(50)) {
        (void)mmuext(domain, "clear_page", Command::kClearPage, target.raw());
        return;
    }
    (void)mmuext(domain, "copy_page", Command::kCopyPage, target.raw(), some_frame(domain).raw());
}

void RandomWorld::flush() {
    HostedDomain& domain = caller();
    const uint64_t mask = 1;
    const bool several = chance(40);
    const auto command = several ? one_of({Command::kTlbFlushMulti, Command::kInvlpgMulti})
                                 : one_of({Command::kTlbFlushLocal, Command::kInvlpgLocal,
                                           Command::kTlbFlushAll, Command::kInvlpgAll, Command::kFlushCache});
    (void)mmuext(domain, "flush", command, CallDomain::va(pick(kPages)), several ? address(mask) : 0);
}

// A whole tree at once, which a guest builds in its own memory and then offers: several tables of each level,
// shared and not, and at times one that leads to itself or stands at two levels.
void RandomWorld::build_tree() {
    HostedDomain& domain = caller();
    std::vector<Mfn> levels[5];
    const unsigned shapes[5] = {0, 1 + pick(4), 1 + pick(3), 1 + pick(2), 1};
    unsigned next = pick(domain.frames());
    for (unsigned level = 1; level <= 4; ++level) {
        for (unsigned i = 0; i < shapes[level]; ++i) {
            const Mfn mfn = domain.mfn(next++ % domain.frames());
            if (!make_writable(domain, mfn)) continue;
            levels[level].push_back(mfn);
        }
    }
    const auto any_of = [&](unsigned level) {
        return levels[level][pick(static_cast<unsigned>(levels[level].size()))];
    };
    for (unsigned level = 1; level <= 4; ++level) {
        for (const Mfn table : levels[level]) {
            for (unsigned i = pick(5); i > 0; --i) {
                unsigned slot = chance(60) ? pick(4) : pick(512);
                if (level == 4 && slot >= 256 && slot <= 271 && chance(97)) slot -= 200;
                unsigned below = level - 1;
                if (chance(2)) below = 1 + pick(4);
                (void)domain.write(table, slot,
                                   level == 1 || levels[below].empty() ? l1_entry(domain)
                                                                       : HostedDomain::entry(any_of(below)));
            }
        }
    }
    unsigned top = 1 + pick(4);
    while (levels[top].empty()) {
        if (--top == 0) return;
    }
    static constexpr const char* kNames[] = {"pin L1", "pin L2", "pin L3", "pin L4"};
    const Mfn root = any_of(top);
    if (top == 4 && chance(40)) {
        (void)mmuext(domain, "new_user_baseptr", Command::kNewUserBaseptr, root.raw());
        return;
    }
    (void)mmuext(domain, kNames[top - 1], static_cast<Command>(top - 1), root.raw());
}

}  // namespace torii::test
