// From the boot loader to 64-bit C++: Multiboot 1 and 2 headers, boot page tables, long mode.
//
// Begins in 32-bit mode, wherever the loader has put the image: at the address that it is linked to be loaded at, or, by Multiboot 2,
// at any other multiple of 2 MiB below 4 GiB (under EFI the usual place may be in use by the firmware). %ebp holds the difference from
// here to long mode, and LOADED(symbol) is where a symbol lies.
#include "arch/x86/hw/layout.h"

#define PHYSICAL(symbol) ((symbol) - TORII_IMAGE_BASE)
#define LOADED(symbol) PHYSICAL(symbol)(%ebp)
#define PTE_TABLE 0x003   /* present, writable */
#define PTE_LARGE 0x083   /* present, writable, 2 MiB */
#define LARGE_PAGE 0x200000
#define MULTIBOOT1_MAGIC 0x2badb002
#define MULTIBOOT2_MAGIC 0x36d76289

    .section .boot.header, "a", @progbits
// Multiboot 1 specification, section 3.1: pages aligned modules, memory map.
    .balign 4
multiboot1_header:
    .long 0x1badb002
    .long 0x00000003
    .long -(0x1badb002 + 0x00000003)

// Multiboot 2 specification, section 3.1; architecture 0: i386 protected mode, which an EFI loader enters too once it has ended the
// boot services. The entry is that of the ELF file.
    .balign 8
multiboot2_header:
    .long 0xe85250d6
    .long 0
    .long multiboot2_end - multiboot2_header
    .long -(0xe85250d6 + 0 + (multiboot2_end - multiboot2_header))
    .balign 8
    .short 10           // relocatable: where it may lie, aligned, the lowest place preferred
    .short 0
    .long 24
    .long LARGE_PAGE
    .long 0xffffffff
    .long LARGE_PAGE
    .long 1
    .balign 8
    .short 5            // a screen of pixels is welcome: any size, 32 bits
    .short 1            // not needed
    .long 20
    .long 0
    .long 0
    .long 32
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
    // Where are we? The first word of the loader's information is borrowed as a stack for one call.
    xorl %ebp, %ebp
    cmpl $MULTIBOOT1_MAGIC, %eax
    je 1f
    cmpl $MULTIBOOT2_MAGIC, %eax
    jne 3f                      // there is no such information; C++ says so
1:  movl (%ebx), %ecx
    leal 4(%ebx), %esp
    call 2f
2:  popl %ebp
    movl %ecx, (%ebx)
    subl $PHYSICAL(2b), %ebp
3:  leal LOADED(boot_stack_end), %esp
    movl %eax, LOADED(boot_loader_magic)
    movl %ebx, LOADED(boot_loader_information)
    movl %ebp, LOADED(image_displacement)
    movl $PHYSICAL(misplaced_text), %esi
    testl $(LARGE_PAGE - 1), %ebp
    jnz refuse

    // A CPU without long mode can't run any guest of ours: stop.
    movl $PHYSICAL(no_long_mode_text), %esi
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb refuse
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc refuse
    movl %edx, LOADED(boot_cpu_features) // its no-execute bit decides on EFER below

    // The low 4 GiB by 2 MiB pages: at their own address (until C++ runs high) and in the direct map.
    leal LOADED(boot_l2), %edi
    movl $PTE_LARGE, %eax
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $8, %edi
    addl $LARGE_PAGE, %eax
    loop 1b
    leal LOADED(boot_l2), %eax
    orl $PTE_TABLE, %eax
    movl %eax, LOADED(boot_l3_low)
    addl $0x1000, %eax
    movl %eax, LOADED(boot_l3_low + 8)
    addl $0x1000, %eax
    movl %eax, LOADED(boot_l3_low + 16)
    addl $0x1000, %eax
    movl %eax, LOADED(boot_l3_low + 24)

    // The image, where it was linked to be. It begins with a large page and is no longer than two (torii.lds).
    leal LOADED(image_start), %eax
    orl $PTE_LARGE, %eax
    movl $PHYSICAL(image_start), %ecx
    shrl $21, %ecx
    leal LOADED(boot_l2_image), %edi
    movl %eax, (%edi, %ecx, 8)
    addl $LARGE_PAGE, %eax
    movl %eax, 8(%edi, %ecx, 8)
    orl $PTE_TABLE, %edi
    movl %edi, LOADED(boot_l3_image + 8 * ((TORII_IMAGE_BASE >> 30) & 511))

    leal LOADED(boot_l3_low), %eax
    orl $PTE_TABLE, %eax
    movl %eax, LOADED(boot_l4)
    movl %eax, LOADED(boot_l4 + 8 * ((TORII_DIRECT_MAP >> 39) & 511))
    leal LOADED(boot_l3_image), %eax
    orl $PTE_TABLE, %eax
    movl %eax, LOADED(boot_l4 + 8 * ((TORII_IMAGE_BASE >> 39) & 511))

    movl %cr4, %eax
    orl $0x20, %eax             // PAE
    movl %eax, %cr4
    leal LOADED(boot_l4), %eax
    movl %eax, LOADED(ap_boot_root)
    movl %eax, %cr3
    movl $0xc0000080, %ecx      // EFER: long mode, system calls
    rdmsr
    orl $0x101, %eax
    btl $20, LOADED(boot_cpu_features)
    jnc 1f
    orl $0x800, %eax            // no-execute
1:  wrmsr
    movl $0x80050033, %eax      // PG, AM, WP, NE, ET, MP, PE
    movl %eax, %cr0
    leal LOADED(boot_gdt), %eax
    movl %eax, LOADED(boot_gdt_pointer + 2)
    lgdt LOADED(boot_gdt_pointer)
    leal LOADED(long_mode), %eax
    pushl $8
    pushl %eax
    lret

// Says the text at the linked address %esi on the first serial port, and stops.
refuse:
    addl %ebp, %esi
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
ap_boot_root: .long 0             // by boot_entry
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
misplaced_text:
    .asciz "Torii was loaded at an address that is not a multiple of 2 MiB, against its Multiboot header.\r\n"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00209a0000000000    // 64-bit code
boot_gdt_pointer:
    .short 15
    .long 0                     // by boot_entry

    .section .boot.data, "aw", @progbits
    .balign 4
    .globl boot_loader_magic, boot_loader_information
boot_loader_magic: .long 0
boot_loader_information: .long 0
boot_cpu_features: .long 0

    .section .data, "aw", @progbits
    .balign 8
    .globl image_displacement
image_displacement: .quad 0

    .section .boot.bss, "aw", @nobits
    .balign 16384
boot_stack: .skip 16384
boot_stack_end:
    .balign 4096
    .globl boot_l4
boot_l4: .skip 4096
boot_l3_low: .skip 4096
boot_l3_image: .skip 4096
boot_l2_image: .skip 4096
boot_l2: .skip 4 * 4096

    .section .note.GNU-stack, "", @progbits
