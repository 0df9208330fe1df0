#include "core/call/cpu_policy_leaves.h"

namespace torii::call {
namespace {

using abi::CpuidLeafEntry;
using pv::CpuidRegisters;

constexpr uint32_t kExtended = 0x8000'0000;
constexpr uint32_t kCaches = 4;
constexpr uint32_t kFeatures = 7;
constexpr uint32_t kXsave = 0xd;
constexpr uint32_t kMostBasic = 0xd;
constexpr uint32_t kMostExtended = kExtended + 0x21;
constexpr uint32_t kMostSubleaves = 8;

CpuidRegisters ask(const pv::CpuPolicy& policy, uint32_t leaf, uint32_t subleaf) {
    return policy.query(leaf, subleaf, pv::CpuidViewer{});
}

// Subleaves of a leaf: zero for one that has none.
uint32_t subleaves_of(const pv::CpuPolicy& policy, uint32_t leaf) {
    switch (leaf) {
        case kCaches: {
            uint32_t count = 0;
            while (count < kMostSubleaves && (ask(policy, leaf, count).a & 0x1f) != 0)
                ++count;
            return count + 1;  // the one that ends the list too
        }
        case kFeatures: {
            const uint32_t last = ask(policy, leaf, 0).a;
            return last < kMostSubleaves ? last + 1 : kMostSubleaves;
        }
        case kXsave:
            return kMostSubleaves;
        default:
            return 0;
    }
}

// Calls `visit(entry)` for each leaf in rising order, until it fails.
template <class Visit>
Result<> for_each_leaf(const pv::CpuPolicy& policy, Visit&& visit) {
    const auto one = [&](uint32_t leaf, uint32_t subleaf, uint32_t shown_subleaf) -> Result<> {
        const CpuidRegisters r = ask(policy, leaf, subleaf);
        return visit(CpuidLeafEntry{leaf, shown_subleaf, r.a, r.b, r.c, r.d});
    };
    const auto range = [&](uint32_t first, uint32_t most) -> Result<> {
        const uint32_t last = ask(policy, first, 0).a;
        for (uint32_t leaf = first; leaf <= last && leaf <= most; ++leaf) {
            const uint32_t subleaves = subleaves_of(policy, leaf);
            if (subleaves == 0) TRY(one(leaf, 0, abi::kCpuidNoSubleaf));
            for (uint32_t i = 0; i < subleaves; ++i)
                TRY(one(leaf, i, i));
        }
        return {};
    };
    TRY(range(0, kMostBasic));
    return range(kExtended, kMostExtended);
}

bool same(const CpuidLeafEntry& a, const CpuidLeafEntry& b) {
    return a.a == b.a && a.b == b.b && a.c == b.c && a.d == b.d;
}

}  // namespace

Result<uint32_t> write_policy(const pv::CpuPolicy& policy, abi::GuestPtr64 array, uint32_t room) {
    if (array.address == 0) return kMostPolicyLeaves;
    const GuestArray<CpuidLeafEntry> places(array);
    uint32_t count = 0;
    TRY(for_each_leaf(policy, [&](const CpuidLeafEntry& entry) -> Result<> {
        if (count == room) return Errno::kENOBUFS;
        return places.write(count++, entry);
    }));
    return count;
}

Result<> compare_policy(const pv::CpuPolicy& policy, abi::GuestPtr64 array, uint32_t count, uint32_t& leaf,
                        uint32_t& subleaf) {
    if (count > kMostPolicyLeaves) return Errno::kE2BIG;
    const GuestArray<CpuidLeafEntry> entries(array);
    for (uint32_t i = 0; i < count; ++i) {
        CpuidLeafEntry wanted;
        TRY(entries.read(i, wanted));
        leaf = wanted.leaf;
        subleaf = wanted.subleaf;
        const uint32_t asked = wanted.subleaf == abi::kCpuidNoSubleaf ? 0 : wanted.subleaf;
        const CpuidRegisters r = ask(policy, wanted.leaf, asked);
        if (!same(wanted, {wanted.leaf, wanted.subleaf, r.a, r.b, r.c, r.d})) return Errno::kEINVAL;
    }
    return {};
}

}  // namespace torii::call
