// uint64_t call_firmware(const uint64_t arguments[5], uint64_t function, uint64_t stack_top)
//
// EFI's functions take their arguments in rcx, rdx, r8, r9 and on the stack behind 32 bytes of their own, and keep all that ours
// keep (UEFI specification 2.10, section 2.3.4). They run with interrupts off, whatever they do meanwhile.
    .text
    .globl call_firmware
    .type call_firmware, @function
call_firmware:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rbx
    movq %rsp, %rbx
    movq %rdx, %rsp
    subq $48, %rsp
    movq 32(%rdi), %rax
    movq %rax, 32(%rsp)
    movq (%rdi), %rcx
    movq 8(%rdi), %rdx
    movq 16(%rdi), %r8
    movq 24(%rdi), %r9
    movq %rsi, %rax
    cld
    call 1f
    cli
    cld
    movq %rbx, %rsp
    popq %rbx
    popq %rbp
    ret
    int3
// Jumps to rax, without a guess of where that is.
1:  call 3f
2:  pause
    lfence
    jmp 2b
3:  movq %rax, (%rsp)
    ret
    int3

    .section .note.GNU-stack, "", @progbits
