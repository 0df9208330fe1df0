// From the boot loader to 64-bit C++: Multiboot 1 and 2 headers, boot page tables, long mode.
//
// Runs at its load address in 32-bit mode; the symbols are linked high, so each is turned into a physical address here.
#include "arch/x86/hw/layout.h"

#define PHYSICAL(symbol) ((symbol) - TORII_IMAGE_BASE)
#define PTE_TABLE 0x003   /* present, writable */
#define PTE_LARGE 0x083   /* present, writable, 2 MiB */

    .section .boot.header, "a", @progbits
// Multiboot 1 specification, section 3.1: pages aligned modules, memory map.
    .balign 4
multiboot1_header:
    .long 0x1badb002
    .long 0x00000003
    .long -(0x1badb002 + 0x00000003)

// Multiboot 2 specification, section 3.1; architecture 0: i386 protected mode.
    .balign 8
multiboot2_header:
    .long 0xe85250d6
    .long 0
    .long multiboot2_end - multiboot2_header
    .long -(0xe85250d6 + 0 + (multiboot2_end - multiboot2_header))
    // Entry address (tag 3): the ELF entry of the container is the same.
    .balign 8
    .short 6            // module alignment
    .short 0
    .long 8
    .balign 8
    .short 0
    .short 0
    .long 8
multiboot2_end:

    .section .boot.text, "ax", @progbits
    .code32
    .globl boot_entry
boot_entry:
    cli
    cld
    movl $PHYSICAL(boot_stack_end), %esp
    movl %eax, PHYSICAL(boot_loader_magic)
    movl %ebx, PHYSICAL(boot_loader_information)

    // A CPU without long mode can't run any guest of ours: stop.
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb no_long_mode
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc no_long_mode
    movl %edx, %ebp             // its no-execute bit decides on EFER below

    // The low 4 GiB by 2 MiB pages: at their own address (until C++ runs high) and in the direct map.
    movl $PHYSICAL(boot_l2), %edi
    movl $PTE_LARGE, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $8, %edi
    addl $0x200000, %eax
    loop 1b
    movl $PHYSICAL(boot_l2) + PTE_TABLE, %eax
    movl %eax, PHYSICAL(boot_l3_low)
    addl $0x1000, %eax
    movl %eax, PHYSICAL(boot_l3_low) + 8
    addl $0x1000, %eax
    movl %eax, PHYSICAL(boot_l3_low) + 16
    addl $0x1000, %eax
    movl %eax, PHYSICAL(boot_l3_low) + 24

    // The image: its first 1 GiB window maps physical memory from 0, so that link address minus base is physical.
    movl $PHYSICAL(boot_l2) + PTE_TABLE, %eax
    movl %eax, PHYSICAL(boot_l3_image) + 8 * ((TORII_IMAGE_BASE >> 30) & 511)

    movl $PHYSICAL(boot_l3_low) + PTE_TABLE, %eax
    movl %eax, PHYSICAL(boot_l4)
    movl %eax, PHYSICAL(boot_l4) + 8 * ((TORII_DIRECT_MAP >> 39) & 511)
    movl $PHYSICAL(boot_l3_image) + PTE_TABLE, %eax
    movl %eax, PHYSICAL(boot_l4) + 8 * ((TORII_IMAGE_BASE >> 39) & 511)

    movl %cr4, %eax
    orl $0x20, %eax             // PAE
    movl %eax, %cr4
    movl $PHYSICAL(boot_l4), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx      // EFER: long mode, system calls
    rdmsr
    orl $0x101, %eax
    btl $20, %ebp
    jnc 1f
    orl $0x800, %eax            // no-execute
1:  wrmsr
    movl $0x80050033, %eax      // PG, AM, WP, NE, ET, MP, PE
    movl %eax, %cr0
    lgdt PHYSICAL(boot_gdt_pointer)
    ljmp $8, $PHYSICAL(long_mode)

no_long_mode:
    movl $PHYSICAL(no_long_mode_text), %esi
    movw $0x3f8, %dx
2:  lodsb
    testb %al, %al
    jz 3f
    outb %al, %dx
    jmp 2b
3:  hlt
    jmp 3b

    .code64
long_mode:
    movabsq $1f, %rax
    jmp *%rax
1:  movl $0, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    leaq boot_stack_end - 16(%rip), %rsp
    movq $0, (%rsp)             // StackTop: no vCPU, no CpuLocal yet
    movq $0, 8(%rsp)
    xorl %ebp, %ebp
    call boot_main
    ud2

// Where the other CPUs start: copied to TORII_TRAMPOLINE, entered there in real mode. Straight to long mode on the boot page
// tables, which map this page at its own address.
    .code16
    .balign 16
    .globl ap_trampoline, ap_trampoline_end
#define IN_TRAMPOLINE(symbol) (TORII_TRAMPOLINE + (symbol) - ap_trampoline)
ap_trampoline:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    movl $0x20, %eax            // PAE
    movl %eax, %cr4
    movl ap_boot_root - ap_trampoline, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    movl ap_efer - ap_trampoline, %eax
    xorl %edx, %edx
    wrmsr
    lgdtl ap_gdt_pointer - ap_trampoline
    movl $0x80050033, %eax
    movl %eax, %cr0
    ljmpl $8, $IN_TRAMPOLINE(ap_long_mode)
    .code64
ap_long_mode:
    movl $0, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movq IN_TRAMPOLINE(ap_stack), %rsp
    movq IN_TRAMPOLINE(ap_root), %rax
    movabsq $ap_high, %rcx
    jmp *%rcx
    .balign 8
ap_gdt:
    .quad 0
    .quad 0x00209a0000000000    // 64-bit code
ap_gdt_pointer:
    .short 15
    .long IN_TRAMPOLINE(ap_gdt)
    .balign 8
ap_boot_root: .long PHYSICAL(boot_l4)
    .long 0
    .globl ap_efer, ap_stack, ap_root
ap_efer: .quad 0
ap_stack: .quad 0
ap_root: .quad 0
ap_trampoline_end:
// At its linked address, on the boot tables still.
ap_high:
    movq %rax, %cr3
    xorl %ebp, %ebp
    call ap_main
    ud2

    .section .boot.rodata, "a", @progbits
no_long_mode_text:
    .asciz "Torii needs a 64-bit CPU; this one has no long mode.\r\n"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00209a0000000000    // 64-bit code
boot_gdt_pointer:
    .short 15
    .long PHYSICAL(boot_gdt)

    .section .boot.data, "aw", @progbits
    .balign 4
    .globl boot_loader_magic, boot_loader_information
boot_loader_magic: .long 0
boot_loader_information: .long 0

    .section .boot.bss, "aw", @nobits
    .balign 16384
boot_stack: .skip 16384
boot_stack_end:
    .balign 4096
    .globl boot_l4
boot_l4: .skip 4096
boot_l3_low: .skip 4096
boot_l3_image: .skip 4096
boot_l2: .skip 4 * 4096

    .section .note.GNU-stack, "", @progbits
