#pragma once
// Sets of CPUs as people write them: "0-3,6", "all,^2". The same on both ends of the control socket.

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace torii {

// More CPUs than any machine here has: a larger number in a list is a slip of the hand.
inline constexpr uint32_t kMaxCpus = 8192;

using CpuSet = std::set<uint32_t>;

// The CPUs 0 to count - 1.
CpuSet first_cpus(uint32_t count);

// A list as it was written, before anybody knows which CPUs there are.
class CpuList {
public:
    // "all", numbers and ranges, separated by commas, each added to what stands before it; with ^ in front
    // it is taken away instead. Throws Failure (kInvalidArgument) with a sentence that quotes `text`.
    static CpuList parse(std::string_view text);

    // The CPUs meant, "all" being `existing`. Throws Failure (kInvalidArgument) when a named CPU is not among
    // `existing`, or nothing is left.
    CpuSet among(const CpuSet& existing) const;

private:
    struct Term {
        bool remove = false;
        bool all = false;
        uint32_t first = 0;
        uint32_t last = 0;
    };
    std::string text_;
    std::vector<Term> terms_;
};

// "0-3,6"; "none" for the empty set.
std::string format_cpus(const CpuSet& cpus);

// The other way: what format_cpus() has written. Throws Failure (kInvalidArgument).
CpuSet read_cpus(std::string_view text);

// The CPUs of `left` that are in `right` too; those of `left` that are not.
CpuSet common_cpus(const CpuSet& left, const CpuSet& right);
CpuSet cpus_without(const CpuSet& left, const CpuSet& right);

}  // namespace torii
