// The smallest paravirtual kernel: it makes many hypercalls, says so on the console and powers the machine off.
// Booted as dom0 it shows within seconds whether an accelerator runs a hypervisor at a usable speed.
// Facts: public xen.h (hypercall numbers, CONSOLEIO_write, SHUTDOWN_poweroff), elfnote.h (note numbers);
// a 64-bit hypercall is `syscall` with the number in rax and arguments in rdi, rsi, rdx.

#define HYPERCALL_XEN_VERSION 17
#define HYPERCALL_CONSOLE_IO 18
#define HYPERCALL_SCHED_OP 29
#define CALLS 200000
#define VIRTUAL_BASE 0xffffffff80000000

    .text
    .globl _start
_start:
    movl $CALLS, %ebx
1:  movl $HYPERCALL_XEN_VERSION, %eax
    xorl %edi, %edi                     // XENVER_version
    xorl %esi, %esi
    syscall
    decl %ebx
    jnz 1b

    movl $HYPERCALL_CONSOLE_IO, %eax
    xorl %edi, %edi                     // CONSOLEIO_write
    movl $(message_end - message), %esi
    movq $message, %rdx
    syscall

    movl $HYPERCALL_SCHED_OP, %eax
    movl $2, %edi                       // SCHEDOP_shutdown
    movq $reason, %rsi
    syscall
2:  jmp 2b

reason:
    .long 0                             // SHUTDOWN_poweroff
message:
    .ascii "torii probe: done\n"
message_end:

    .macro note type, value:vararg
    .long 4, 9f - 8f, \type
    .asciz "Xen"
8:  \value
9:  .balign 4
    .endm

    .section .note.Xen, "a", @note
    note 5, .asciz "xen-3.0"            // XEN_VERSION
    note 6, .asciz "torii-probe"        // GUEST_OS
    note 8, .asciz "generic"            // LOADER
    note 3, .quad VIRTUAL_BASE          // VIRT_BASE
    note 4, .quad VIRTUAL_BASE          // PADDR_OFFSET
    note 1, .quad _start                // ENTRY
