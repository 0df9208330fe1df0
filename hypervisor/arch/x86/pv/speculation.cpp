#include "arch/x86/pv/speculation.h"

#include <algorithm>

namespace torii::pv {
namespace {

// In-order Atoms, which don't run ahead of a fault (Intel, "Affected Processors: Transient Execution
// Attacks").
constexpr unsigned kInOrderModels[] = {0x1c, 0x26, 0x27, 0x35, 0x36};

constexpr uint32_t bit(unsigned n) {
    return uint32_t{1} << n;
}

bool in_order(const HostCpuid& host) {
    const CpuSignature signature = signature_of(host.find(1));
    return signature.family == 6 &&
           std::ranges::find(kInOrderModels, signature.model) != std::end(kInOrderModels);
}

std::string_view next_word(std::string_view& text) {
    const size_t end = text.find(',');
    const std::string_view word = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    return word;
}

bool read_boolean(std::string_view text, Wish& wish) {
    for (const std::string_view on : {"yes", "on", "true", "enable", "1"})
        if (text == on) return wish = Wish::kOn, true;
    for (const std::string_view off : {"no", "off", "false", "disable", "0"})
        if (text == off) return wish = Wish::kOff, true;
    return false;
}

// `word` as NAME, no-NAME or NAME=BOOLEAN.
bool read_named(std::string_view word, std::string_view name, Wish& wish) {
    if (word == name) return wish = Wish::kOn, true;
    if (word.starts_with("no-") && word.substr(3) == name) return wish = Wish::kOff, true;
    return word.size() > name.size() && word.starts_with(name) && word[name.size()] == '=' &&
           read_boolean(word.substr(name.size() + 1), wish);
}

// BOOLEAN, default, or dom0= and domu=; what is on for one is on for all.
bool read_per_domain(std::string_view value, Wish& wish) {
    if (value.empty()) return wish = Wish::kOn, true;
    bool all_known = true;
    bool named = false;
    bool named_on = false;
    while (!value.empty()) {
        const std::string_view word = next_word(value);
        Wish one = Wish::kByCpu;
        if (word == "default") {
            wish = Wish::kByCpu;
        } else if (read_named(word, "dom0", one) || read_named(word, "domu", one)) {
            named = true;
            named_on |= one == Wish::kOn;
        } else if (!read_boolean(word, wish)) {
            all_known = false;
        }
    }
    if (named) wish = named_on ? Wish::kOn : Wish::kOff;
    return all_known;
}

bool decide(Wish wish, bool by_cpu) {
    return wish == Wish::kByCpu ? by_cpu : wish == Wish::kOn;
}

}  // namespace

bool has_arch_capabilities(const HostCpuid& host) {
    return (host.find(7).d & bit(29)) != 0;
}

SpeculationFacts speculation_facts(const HostCpuid& host, uint64_t arch_capabilities) {
    const CpuVendor vendor = vendor_of(host.find(0));
    const bool intel = vendor == CpuVendor::kIntel;
    const bool amd = vendor == CpuVendor::kAmd || vendor == CpuVendor::kHygon;
    const bool safe = amd || (arch_capabilities & kArchCapabilitiesRdclNo) != 0 || (intel && in_order(host));
    SpeculationFacts facts;
    facts.meltdown = !safe;
    facts.l1tf = intel && !safe;
    facts.prediction_barrier = (host.find(7).d & bit(26)) != 0 || (host.find(0x80000008).b & bit(12)) != 0;
    return facts;
}

bool read_xpti(std::string_view value, SpeculationWishes& wishes) {
    return read_per_domain(value, wishes.isolate_guests);
}

bool read_pv_l1tf(std::string_view value, SpeculationWishes& wishes) {
    return read_per_domain(value, wishes.refuse_l1tf);
}

bool read_spec_ctrl(std::string_view value, SpeculationWishes& wishes) {
    bool all_known = true;
    Wish all = Wish::kByCpu;
    if (value.empty()) return true;
    while (!value.empty()) {
        const std::string_view word = next_word(value);
        if (read_named(word, "ibpb", wishes.prediction_barrier)) continue;
        if (read_boolean(word, all)) {
            if (all == Wish::kOff) wishes = {Wish::kOff, Wish::kOff, Wish::kOff};
        } else {
            all_known = false;
        }
    }
    return all_known;
}

SpeculationPlan plan_speculation(const SpeculationFacts& facts, const SpeculationWishes& wishes) {
    SpeculationPlan plan;
    plan.isolate_guests = decide(wishes.isolate_guests, facts.meltdown);
    plan.refuse_l1tf = decide(wishes.refuse_l1tf, facts.l1tf);
    // Asked for or not: a CPU without it faults.
    plan.prediction_barrier = facts.prediction_barrier && wishes.prediction_barrier != Wish::kOff;
    return plan;
}

}  // namespace torii::pv
