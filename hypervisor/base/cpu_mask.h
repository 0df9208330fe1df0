// Sets of CPUs.
//
// Room for kMostCpus; work for as many words as the machine needs (cover_cpus), which is one on nearly every
// machine. Each word is atomic, so single CPUs may be added and removed by anyone at any time; a set as a
// whole is not read or written at one instant.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/ids.h"

namespace torii {

inline constexpr unsigned kMostCpus = 8192;

// Words of a CpuMask that can hold a CPU of this machine. Written at boot, before another CPU runs.
inline constinit unsigned cpu_mask_words = 1;
inline void cover_cpus(unsigned count) {
    cpu_mask_words = (count + 63) / 64;
}

class CpuMask {
public:
    constexpr CpuMask() = default;
    explicit CpuMask(CpuId only) { add(only); }
    CpuMask(const CpuMask&) = delete;  // 1 KiB: see assign()
    CpuMask& operator=(const CpuMask&) = delete;

    [[nodiscard]] bool contains(CpuId cpu) const { return (word(cpu.raw() / 64) & bit_of(cpu)) != 0; }
    void add(CpuId cpu) { words_[cpu.raw() / 64].fetch_or(bit_of(cpu)); }
    void remove(CpuId cpu) { words_[cpu.raw() / 64].fetch_and(~bit_of(cpu)); }
    // CPUs [0, count) and no other.
    void assign_first(unsigned count) {
        for (unsigned i = 0; i < cpu_mask_words; ++i) {
            const unsigned left = count > i * 64 ? count - i * 64 : 0;
            set_word(i, left >= 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1);
        }
    }
    void assign(const CpuMask& other) {
        for (unsigned i = 0; i < cpu_mask_words; ++i)
            set_word(i, other.word(i));
    }
    void clear() { assign_first(0); }
    void add_all(const CpuMask& other) {
        for (unsigned i = 0; i < cpu_mask_words; ++i)
            words_[i].fetch_or(other.word(i));
    }
    void remove_all(const CpuMask& other) {
        for (unsigned i = 0; i < cpu_mask_words; ++i)
            words_[i].fetch_and(~other.word(i));
    }
    // Leaves those that are in `other` too.
    void keep(const CpuMask& other) {
        for (unsigned i = 0; i < cpu_mask_words; ++i)
            words_[i].fetch_and(other.word(i));
    }

    [[nodiscard]] bool is_empty() const {
        return !any_word([](uint64_t bits, unsigned) { return bits != 0; });
    }
    [[nodiscard]] bool intersects(const CpuMask& other) const {
        return any_word([&](uint64_t bits, unsigned i) { return (bits & other.word(i)) != 0; });
    }
    [[nodiscard]] bool is_within(const CpuMask& other) const {
        return !any_word([&](uint64_t bits, unsigned i) { return (bits & ~other.word(i)) != 0; });
    }
    [[nodiscard]] bool equals(const CpuMask& other) const {
        return !any_word([&](uint64_t bits, unsigned i) { return bits != other.word(i); });
    }
    [[nodiscard]] bool has_others_than(CpuId cpu) const {
        return any_word([cpu](uint64_t bits, unsigned i) {
            return (i == cpu.raw() / 64 ? bits & ~bit_of(cpu) : bits) != 0;
        });
    }
    [[nodiscard]] unsigned count() const {
        unsigned sum = 0;
        // Not by the compiler's popcount, which without the instruction is a function of its library.
        for_each([&sum](CpuId) { ++sum; });
        return sum;
    }
    // Calls visit(CpuId) for each, lowest first.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (unsigned i = 0; i < cpu_mask_words; ++i) {
            for (uint64_t bits = word(i); bits != 0; bits &= bits - 1)
                visit(CpuId(i * 64 + static_cast<unsigned>(__builtin_ctzll(bits))));
        }
    }

    // 64 CPUs from 64 * index on; index is below cpu_mask_words.
    [[nodiscard]] uint64_t word(unsigned index) const {
        return words_[index].load(std::memory_order_relaxed);
    }
    void set_word(unsigned index, uint64_t bits) { words_[index].store(bits, std::memory_order_relaxed); }

private:
    static constexpr uint64_t bit_of(CpuId cpu) { return uint64_t{1} << (cpu.raw() % 64); }
    template <class Test>
    [[nodiscard]] bool any_word(Test&& test) const {
        for (unsigned i = 0; i < cpu_mask_words; ++i) {
            if (test(word(i), i)) return true;
        }
        return false;
    }

    std::atomic<uint64_t> words_[kMostCpus / 64]{};
};

}  // namespace torii
