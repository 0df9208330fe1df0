// Start of day and every way in from the hypervisor. The kernel is linked like any 64-bit PV kernel and finds, at its entry,
// rsi = virtual address of the start info page (public xen.h) and a flat address space.

#include "elf_notes.inc"

        .section .text.start, "ax"
        .global torii_guest_entry
torii_guest_entry:
        cld
        lea     torii_boot_stack_top(%rip), %rsp
        xor     %ebp, %ebp
        mov     %rsi, %rdi
        call    torii_guest_start
1:      jmp     1b

// The hypervisor fills this page before the first instruction runs, if it honours the note.
        .section .text.hypercall_page, "ax"
        .balign 4096
        .global torii_hypercall_page
torii_hypercall_page:
        .fill   4096, 1, 0xCC

// Common part of all entries. On the stack, from the top of the interrupted frame down: ss rsp rflags cs rip, then an error
// code (zero where there is none) and a vector. rcx and r11, which the hypervisor pushed, are back in their registers.
        .text
torii_trap_common:
        push    %rdi
        push    %rsi
        push    %rdx
        push    %rcx
        push    %rax
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $-16, %rsp
        call    torii_guest_trap
        mov     %rbx, %rsp

        .global torii_resume_context
torii_resume_context:
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rsi
        pop     %rdi
        add     $16, %rsp
        // The rest of the iret frame (public arch-x86/xen-x86_64.h, iret_context): flags, rcx, r11, rax downwards.
        pushq   $0
        push    %rcx
        push    %r11
        push    %rax
        mov     $23, %eax
        syscall
        ud2

        .macro trap_entry vector, has_error_code
        .balign 16
torii_trap_\vector:
        pop     %rcx
        pop     %r11
        .if \has_error_code == 0
        pushq   $0
        .endif
        pushq   $\vector
        jmp     torii_trap_common
        .pushsection .rodata.traps, "a"
        .quad   torii_trap_\vector
        .popsection
        .endm

        .pushsection .rodata.traps, "a"
        .balign 8
        .global torii_trap_entries
torii_trap_entries:
        .popsection

        trap_entry 0, 0
        trap_entry 1, 0
        trap_entry 2, 0
        trap_entry 3, 0
        trap_entry 4, 0
        trap_entry 5, 0
        trap_entry 6, 0
        trap_entry 7, 0
        trap_entry 8, 1
        trap_entry 9, 0
        trap_entry 10, 1
        trap_entry 11, 1
        trap_entry 12, 1
        trap_entry 13, 1
        trap_entry 14, 1
        trap_entry 15, 0
        trap_entry 16, 0
        trap_entry 17, 1
        trap_entry 18, 0
        trap_entry 19, 0
        trap_entry 20, 0
        trap_entry 21, 1
        // Software interrupts: 0x80 is for int $0x80 from user mode.
        trap_entry 128, 0
        // Callbacks, numbered beyond every vector.
        trap_entry 256, 0
        trap_entry 258, 0

// The failsafe callback also gets the selectors that the hypervisor could not load (or found at a bad iret).
        .balign 16
        .global torii_failsafe_entry
torii_failsafe_entry:
        pop     %rcx
        pop     %r11
        popq    torii_failsafe_selectors(%rip)
        popq    torii_failsafe_selectors+8(%rip)
        popq    torii_failsafe_selectors+16(%rip)
        popq    torii_failsafe_selectors+24(%rip)
        pushq   $0
        pushq   $257
        jmp     torii_trap_common

// bool torii_run_catching(void (*function)(void*), void* argument): true when a trap ended the function. The trap handler
// resumes at torii_catch_landing with rsp = torii_catch_stack.
        .global torii_run_catching
torii_run_catching:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        pushq   torii_catch_stack(%rip)
        mov     %rsp, torii_catch_stack(%rip)
        mov     %rdi, %rax
        mov     %rsi, %rdi
        call    *%rax
        xor     %eax, %eax
        jmp     1f
        .global torii_catch_landing
torii_catch_landing:
        mov     $1, %eax
1:      popq    torii_catch_stack(%rip)
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .bss
        .balign 4096
        .skip   65536
        .global torii_boot_stack_top
torii_boot_stack_top:
        .balign 8
        .global torii_catch_stack
torii_catch_stack:
        .quad   0
        .global torii_failsafe_selectors
torii_failsafe_selectors:
        .skip   32

        .section .note.GNU-stack, "", @progbits
