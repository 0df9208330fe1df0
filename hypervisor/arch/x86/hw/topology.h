// Which CPUs are threads of one core, and cores of one package: what the bits of an APIC id mean. Computed
// from CPUID words alone, so that tests on the host can hold up other machines' words.
#pragma once

#include <bit>
#include <cstdint>

namespace torii::hw {

struct Topology {
    unsigned thread_bits = 0;   // lowest bits of an APIC id: the thread of a core
    unsigned package_bits = 0;  // threads and cores together; what lies above is the package

    [[nodiscard]] constexpr uint32_t core_of(uint32_t apic_id) const {
        return (apic_id & ((1u << package_bits) - 1)) >> thread_bits;
    }
    [[nodiscard]] constexpr uint32_t package_of(uint32_t apic_id) const { return apic_id >> package_bits; }
    [[nodiscard]] constexpr uint32_t threads_per_core() const { return 1u << thread_bits; }
    [[nodiscard]] constexpr uint32_t cores_per_package() const { return 1u << (package_bits - thread_bits); }
};

// `cpuid(leaf, subleaf)` gives words a, b, c, d. By the extended topology leaf (Intel SDM vol. 2, CPUID 0xb)
// where there is one, else by the counts of logical CPUs and cores (leaves 1 and 4; AMD64 manual vol. 3, leaf
// 0x80000008).
template <class Cpuid>
[[nodiscard]] constexpr Topology read_topology(Cpuid&& cpuid) {
    constexpr unsigned kMostBits = 16;
    const auto bits_for = [](uint32_t count) {
        return count <= 1 ? 0u : 32u - static_cast<unsigned>(std::countl_zero(count - 1));
    };
    Topology found;
    const uint32_t highest = cpuid(0, 0).a;
    if (highest >= 0xb && (cpuid(0xb, 0).b & 0xffff) != 0) {
        constexpr uint32_t kThreads = 1, kCores = 2;
        for (uint32_t level = 0; level < 8; ++level) {
            const auto words = cpuid(0xb, level);
            const uint32_t type = (words.c >> 8) & 0xff;
            const unsigned shift = words.a & 0x1f;
            if (type == 0) break;
            if (type == kThreads) found.thread_bits = shift;
            if (type == kThreads || type == kCores) found.package_bits = shift;
        }
    } else if (const auto basic = cpuid(1, 0); (basic.d & (1u << 28)) != 0) {
        found.package_bits = bits_for((basic.b >> 16) & 0xff);
        uint32_t cores = 1;
        if (cpuid(0x80000000, 0).a >= 0x80000008) cores = (cpuid(0x80000008, 0).c & 0xff) + 1;
        if (cores == 1 && highest >= 4) cores = (cpuid(4, 0).a >> 26) + 1;
        const unsigned core_bits = bits_for(cores);
        found.thread_bits = core_bits < found.package_bits ? found.package_bits - core_bits : 0;
    }
    // Words that make no sense (a hypervisor below may tell anything) are taken for "every CPU a package".
    if (found.package_bits > kMostBits || found.thread_bits > found.package_bits) found = Topology{};
    return found;
}

}  // namespace torii::hw
