#include "native_runner.h"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>

namespace torii::test {
namespace {

struct Page {
    Page()
        : code(static_cast<uint8_t*>(
              mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
        if (code == MAP_FAILED) throw std::runtime_error("no executable page for the native runner");
    }
    ~Page() { munmap(code, 4096); }
    uint8_t* code;
};

}  // namespace

extern "C" {
// In the order that the assembly below knows: rax rcx rdx rbx rbp rsi rdi r8 .. r15 rflags.
uint64_t native_registers[16];
void* native_code;
void native_call();
}

// pushsection: the compiler goes on in the section that it was in, and does not look into this text.
asm(R"(
    .pushsection .text
    .globl native_call
native_call:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    sub $8, %rsp
    pushq native_registers+120(%rip)
    popfq
    mov native_registers(%rip), %rax
    mov native_registers+8(%rip), %rcx
    mov native_registers+16(%rip), %rdx
    mov native_registers+24(%rip), %rbx
    mov native_registers+32(%rip), %rbp
    mov native_registers+40(%rip), %rsi
    mov native_registers+48(%rip), %rdi
    mov native_registers+56(%rip), %r8
    mov native_registers+64(%rip), %r9
    mov native_registers+72(%rip), %r10
    mov native_registers+80(%rip), %r11
    mov native_registers+88(%rip), %r12
    mov native_registers+96(%rip), %r13
    mov native_registers+104(%rip), %r14
    mov native_registers+112(%rip), %r15
    call *native_code(%rip)
    mov %rax, native_registers(%rip)
    mov %rcx, native_registers+8(%rip)
    mov %rdx, native_registers+16(%rip)
    mov %rbx, native_registers+24(%rip)
    mov %rbp, native_registers+32(%rip)
    mov %rsi, native_registers+40(%rip)
    mov %rdi, native_registers+48(%rip)
    mov %r8, native_registers+56(%rip)
    mov %r9, native_registers+64(%rip)
    mov %r10, native_registers+72(%rip)
    mov %r11, native_registers+80(%rip)
    mov %r12, native_registers+88(%rip)
    mov %r13, native_registers+96(%rip)
    mov %r14, native_registers+104(%rip)
    mov %r15, native_registers+112(%rip)
    pushfq
    popq native_registers+120(%rip)
    cld
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
    .popsection
)");

void run_natively(std::span<const uint8_t> bytes, pv::GuestRegisters& r) {
    static Page page;
    std::memcpy(page.code, bytes.data(), bytes.size());
    page.code[bytes.size()] = 0xC3;
    uint64_t* const places[] = {&r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rbp, &r.rsi, &r.rdi, &r.r8,
                                &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14, &r.r15, &r.rflags};
    for (unsigned i = 0; i < 16; ++i)
        native_registers[i] = *places[i];
    native_code = page.code;
    native_call();
    for (unsigned i = 0; i < 16; ++i)
        *places[i] = native_registers[i];
}

}  // namespace torii::test
