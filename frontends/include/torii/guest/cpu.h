#pragma once
// Instructions that a PV kernel may try; several trap and are emulated, or refused with a fault.

#include <torii/abi/trap.h>

#include <cstdint>

namespace torii::guest {

struct CpuidAnswer {
    uint32_t eax, ebx, ecx, edx;
};

inline CpuidAnswer plain_cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    CpuidAnswer answer;
    asm volatile("cpuid"
                 : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
                 : "a"(leaf), "c"(subleaf));
    return answer;
}

// With the prefix that asks for the hypervisor's answer.
inline CpuidAnswer emulated_cpuid(uint32_t leaf, uint32_t subleaf = 0) {
    CpuidAnswer answer;
    asm volatile(".byte 0x0F, 0x0B, 0x78, 0x65, 0x6E; cpuid"
                 : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
                 : "a"(leaf), "c"(subleaf));
    return answer;
}

inline uint64_t read_msr(uint32_t index) {
    uint32_t low;
    uint32_t high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return uint64_t{high} << 32 | low;
}

inline void write_msr(uint32_t index, uint64_t value) {
    asm volatile("wrmsr"
                 :
                 : "c"(index), "a"(static_cast<uint32_t>(value)), "d"(static_cast<uint32_t>(value >> 32))
                 : "memory");
}

inline uint64_t read_cr0() {
    uint64_t value;
    asm volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}
inline void write_cr0(uint64_t value) {
    asm volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}
inline uint64_t read_cr2() {
    uint64_t value;
    asm volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}
inline uint64_t read_cr3() {
    uint64_t value;
    asm volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}
inline void write_cr3(uint64_t value) {
    asm volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}
inline uint64_t read_cr4() {
    uint64_t value;
    asm volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}
inline void write_cr4(uint64_t value) {
    asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

inline uint64_t read_tsc() {
    uint32_t low;
    uint32_t high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return uint64_t{high} << 32 | low;
}

inline uint64_t read_flags() {
    uint64_t value;
    asm volatile("pushfq; pop %0" : "=r"(value));
    return value;
}

inline uint16_t read_cs() {
    uint16_t value;
    asm volatile("mov %%cs, %0" : "=r"(value));
    return value;
}

inline uint8_t read_port_8(uint16_t port) {
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
inline void write_port_8(uint16_t port, uint8_t value) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
inline uint32_t read_port_32(uint16_t port) {
    uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
inline void write_port_32(uint16_t port, uint32_t value) {
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

inline constexpr uint32_t kMsrEfer = 0xC000'0080;
inline constexpr uint32_t kMsrFsBase = 0xC000'0100;
inline constexpr uint32_t kMsrGsBase = 0xC000'0101;
inline constexpr uint32_t kMsrKernelGsBase = 0xC000'0102;

}  // namespace torii::guest
