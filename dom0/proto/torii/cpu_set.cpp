#include "torii/cpu_set.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "torii/failure.h"

namespace torii {
namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
    throw Failure(ErrorCode::kInvalidArgument, "\"" + std::string(text) + "\" is not a list of CPUs: " + why +
                                                   ". Write numbers and ranges, for example 0-3,6 or all,^2");
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ')
        text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ')
        text.remove_suffix(1);
    return text;
}

uint32_t cpu_number(std::string_view text, std::string_view digits) {
    uint32_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (digits.empty() || stop != end || error == std::errc::invalid_argument) {
        refuse(text, digits.empty() ? "a number is missing in it"
                                    : "\"" + std::string(digits) + "\" is no CPU's number");
    }
    if (error != std::errc() || number >= kMaxCpus) {
        refuse(text, "no machine has a CPU " + std::string(digits));
    }
    return number;
}

std::string range_text(uint32_t first, uint32_t last) {
    std::string text = std::to_string(first);
    if (last != first) text += "-" + std::to_string(last);
    return text;
}

}  // namespace

CpuSet first_cpus(uint32_t count) {
    CpuSet cpus;
    for (uint32_t cpu = 0; cpu < count; cpu++)
        cpus.insert(cpus.end(), cpu);
    return cpus;
}

CpuList CpuList::parse(std::string_view text) {
    CpuList list;
    list.text_ = text;
    std::string_view rest = text;
    while (true) {
        const size_t comma = rest.find(',');
        std::string_view word = trimmed(rest.substr(0, comma));
        Term term;
        if (word.starts_with('^')) {
            term.remove = true;
            word.remove_prefix(1);
            if (list.terms_.empty()) refuse(text, "it takes CPUs away before it names any");
        }
        if (word == "all") {
            term.all = true;
        } else {
            const size_t dash = word.find('-');
            term.first = cpu_number(text, word.substr(0, dash));
            term.last = dash == std::string_view::npos ? term.first : cpu_number(text, word.substr(dash + 1));
            if (term.last < term.first) refuse(text, "the range " + std::string(word) + " runs backwards");
        }
        list.terms_.push_back(term);
        if (comma == std::string_view::npos) return list;
        rest.remove_prefix(comma + 1);
    }
}

CpuSet CpuList::among(const CpuSet& existing) const {
    CpuSet chosen;
    for (const Term& term : terms_) {
        if (term.all) {
            chosen = term.remove ? CpuSet() : existing;
            continue;
        }
        for (uint32_t cpu = term.first; cpu <= term.last; cpu++) {
            if (!existing.contains(cpu)) {
                throw Failure(ErrorCode::kInvalidArgument, "there is no CPU " + std::to_string(cpu) + " (\"" +
                                                               text_ + "\" was asked for): the CPUs are " +
                                                               format_cpus(existing));
            }
            if (term.remove) {
                chosen.erase(cpu);
            } else {
                chosen.insert(cpu);
            }
        }
    }
    if (chosen.empty()) {
        throw Failure(ErrorCode::kInvalidArgument,
                      "\"" + text_ + "\" leaves no CPU: the CPUs are " + format_cpus(existing));
    }
    return chosen;
}

std::string format_cpus(const CpuSet& cpus) {
    if (cpus.empty()) return "none";
    std::string text;
    for (auto cpu = cpus.begin(); cpu != cpus.end();) {
        const uint32_t first = *cpu;
        uint32_t last = first;
        for (++cpu; cpu != cpus.end() && *cpu == last + 1; ++cpu)
            last = *cpu;
        text += (text.empty() ? "" : ",") + range_text(first, last);
    }
    return text;
}

CpuSet read_cpus(std::string_view text) {
    if (text == "none" || text.empty()) return {};
    return CpuList::parse(text).among(first_cpus(kMaxCpus));
}

CpuSet common_cpus(const CpuSet& left, const CpuSet& right) {
    CpuSet common;
    std::set_intersection(left.begin(), left.end(), right.begin(), right.end(),
                          std::inserter(common, common.end()));
    return common;
}

CpuSet cpus_without(const CpuSet& left, const CpuSet& right) {
    CpuSet rest;
    std::set_difference(left.begin(), left.end(), right.begin(), right.end(),
                        std::inserter(rest, rest.end()));
    return rest;
}

}  // namespace torii
