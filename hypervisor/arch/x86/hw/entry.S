// Into the hypervisor and out of it: system calls, exceptions, interrupts, context switches.
#include "asm_offsets.h"
#include "arch/x86/hw/layout.h"

#define FLAT_SS 0xe02b
#define FLAT_CS64 0xe033
#define FLAT_CS32 0xe023

// In the order of pv::GuestRegisters, from its end.
.macro push_registers
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
.endm
.macro pop_registers
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
.endm

// The stub page: this page is mapped at the beginning of each CPU's area, with that CPU's CpuLocal in the page behind it.
    .section .stub, "ax", @progbits
    .balign 4096
    .globl stub_page
stub_page:
#define LOCAL(offset) stub_page + TORII_AREA_LOCAL + offset(%rip)
    .globl syscall_stub
syscall_stub:
    movq %rsp, LOCAL(LOCAL_SCRATCH)
    movq LOCAL(LOCAL_STACK_TOP), %rsp
    pushq $FLAT_SS
    pushq LOCAL(LOCAL_SCRATCH)
    pushq %r11
    pushq $FLAT_CS64
    pushq %rcx
    jmp *LOCAL(LOCAL_SYSCALL_TARGET)
    .globl syscall32_stub
    .balign 16
syscall32_stub:
    movq %rsp, LOCAL(LOCAL_SCRATCH)
    movq LOCAL(LOCAL_STACK_TOP), %rsp
    pushq $FLAT_SS
    pushq LOCAL(LOCAL_SCRATCH)
    pushq %r11
    pushq $FLAT_CS32
    pushq %rcx
    jmp *LOCAL(LOCAL_SYSCALL32_TARGET)


// The same with isolated guests: the stack of the vCPU is out of sight before CR3 is changed, for which rsp serves as well.
.macro isolated_stub name, code_segment, target
    .globl \name
    .balign 16
\name:
    movq %rsp, LOCAL(LOCAL_SCRATCH)
    movq LOCAL(LOCAL_HYPERVISOR_CR3), %rsp
    movq %rsp, %cr3
    movq LOCAL(LOCAL_STACK_TOP), %rsp
    pushq $FLAT_SS
    pushq LOCAL(LOCAL_SCRATCH)
    pushq %r11
    pushq $\code_segment
    pushq %rcx
    jmp *LOCAL(\target)
.endm
    isolated_stub isolated_syscall_stub, FLAT_CS64, LOCAL_SYSCALL_TARGET
    isolated_stub isolated_syscall32_stub, FLAT_CS32, LOCAL_SYSCALL32_TARGET

// What follows, up to entry_text_end, is in the view of isolated guests too.
    .section .entry_text, "ax", @progbits
    .balign 4096
    .globl entry_text_start
entry_text_start:
    .globl syscall_entry
syscall_entry:
    pushq $0
    push_registers
    movq FRAME_SIZE(%rsp), %rdi          // StackTop::vcpu
    cmpb $0, ENTRY_IN_KERNEL_MODE(%rdi)
    movq %rsp, %rsi
    je 1f
    call dispatch_hypercall
    jmp return_to_guest
1:  movl $TORII_VECTOR_SYSCALL, FRAME_VECTOR(%rsp)
    call on_guest_syscall
    jmp return_to_guest

    .globl syscall32_entry
syscall32_entry:
    pushq $0
    push_registers
    movq FRAME_SIZE(%rsp), %rdi
    movq %rsp, %rsi
    movl $TORII_VECTOR_SYSCALL32, FRAME_VECTOR(%rsp)
    call on_guest_syscall32
    jmp return_to_guest

// The one way back to a guest. The vCPU's frame is at the top of its stack, and rsp points at it.
    .globl return_to_guest
return_to_guest:
    movq FRAME_SIZE(%rsp), %rbx
    cmpw $0, ENTRY_EXIT_WORK(%rbx)       // and PvEntryState::isolated behind it
    jne 2f
    movq VCPU_INFO(%rbx), %rax
    testq %rax, %rax
    jz 1f
    movzwl (%rax), %eax                  // evtchn_upcall_pending, evtchn_upcall_mask: one read of both
    testb %al, %al
    jnz 3f
1:  pop_registers
    addq $8, %rsp
    .globl guest_iretq
guest_iretq:
    iretq
2:  cmpb $0, ENTRY_EXIT_WORK(%rbx)
    je return_to_isolated_guest
    movq %rbx, %rdi
    movq %rsp, %rsi
    call do_exit_work
    jmp return_to_guest
3:  testb %ah, %ah
    jnz 1b
4:  movq %rbx, %rdi
    movq %rsp, %rsi
    call on_upcall_due
    jmp return_to_guest

// As above, but the guest runs on a view of its tables: brought up to date, the frame of the iret moved to where the view
// shows it, CR3 changed last.
return_to_isolated_guest:
    movq VCPU_INFO(%rbx), %rax
    testq %rax, %rax
    jz 1f
    movzwl (%rax), %eax
    testb %al, %al
    jz 1f
    testb %ah, %ah
    jz 4b
1:  movq FRAME_SIZE + 8(%rsp), %rbp      // StackTop::cpu
    movq root_changes(%rip), %rax
    cmpq %rax, LOCAL_VIEW_STAMP(%rbp)
    jne 2f
    movq LOCAL_EXIT_FRAME(%rbp), %rdi
    movq FRAME_RAX(%rsp), %rax
    movq %rax, (%rdi)
    leaq FRAME_RIP(%rsp), %rsi
    .irp word, 0, 8, 16, 24, 32          // rip, cs, rflags, rsp, ss
    movq \word(%rsi), %rax
    movq %rax, \word + 8(%rdi)
    .endr
    pop_registers
    movq 8 + 40 + 8(%rsp), %rax          // StackTop::cpu, above the error code and the frame
    movq LOCAL_EXIT_FRAME(%rax), %rsp
3:  movq LOCAL_GUEST_CR3(%rax), %rax
    movq %rax, %cr3
    popq %rax
    .globl isolated_iretq
isolated_iretq:
    iretq
    // Where an interrupted isolated_iretq is taken up again, from hypervisor tables: rsp is at its frame.
    .globl resume_isolated_iretq
resume_isolated_iretq:
    pushq %rax
    movq 8 + 40 + 8(%rsp), %rax
    jmp 3b
2:  call refresh_view_in_use
    jmp return_to_guest

// Exceptions and interrupts: one stub a vector.
.macro stub_of_each_vector name, target
    .balign 16
    .globl \name
\name:
    .set current_vector, 0
    .rept 256
    .balign 16
    // Vectors 8, 10 to 14, 17 and 21 come with an error code of the CPU's.
    .if (current_vector > 31) || !((0x00227d00 >> (current_vector & 31)) & 1)
    pushq $0
    .endif
    movl $current_vector, 4(%rsp)
    jmp \target
    .set current_vector, current_vector + 1
    .endr
.endm
    stub_of_each_vector trap_stubs, trap_common
    stub_of_each_vector isolated_trap_stubs, isolated_trap

// rax becomes the CpuLocal that the top of the current stack names.
.macro find_local_in_rax
    movq %rsp, %rax
    orq $(TORII_STACK_SIZE - 1), %rax
    movq -7(%rax), %rax
.endm

// With isolated guests, what comes from them comes on the entry stack, on their view of their tables. From the hypervisor
// itself it comes on its own tables, or from isolated_iretq; both may go on on its own.
    .balign 16
isolated_trap:
    testb $3, 16(%rsp)
    jnz isolated_trap_from_guest
    pushq %rax
    find_local_in_rax
    movq LOCAL_HYPERVISOR_CR3(%rax), %rax
    movq %rax, %cr3
    popq %rax
    .balign 16
trap_common:
    cld
    push_registers
    movq %rsp, %rsi
    testb $3, FRAME_CS(%rsp)
    jz 1f
    movq FRAME_SIZE(%rsp), %rdi
    call on_guest_trap
    jmp return_to_guest
1:  movq %rsi, %rdi
    call on_hypervisor_trap
    movq %rax, %rsp                       // usually the same frame; after a bad iret the guest's own, rebuilt
    testb $3, FRAME_CS(%rsp)
    jnz return_to_guest
    pop_registers
    addq $8, %rsp
    iretq

// NMI, double fault, machine check: on stacks of their own, wherever they come from.
.macro special_stub name, vector, handler, code
    .balign 16
    .globl \name
\name:
    .if \code == 0
    pushq $0
    .endif
    movl $\vector, 4(%rsp)
    cld
    push_registers
    movq %cr3, %rbx
    find_local_in_rax
    movq LOCAL_HYPERVISOR_CR3(%rax), %rax
    testq %rax, %rax
    jz 1f
    movq %rax, %cr3
1:  movq %rsp, %rdi
    call \handler
    find_local_in_rax
    cmpq $0, LOCAL_HYPERVISOR_CR3(%rax)
    je 1f
    movq %rbx, %cr3
1:  pop_registers
    addq $8, %rsp
    iretq
.endm
    special_stub nmi_stub, 2, on_nmi, 0
    special_stub double_fault_stub, 8, on_fatal_trap, 1
    special_stub machine_check_stub, 18, on_fatal_trap, 0

// Debug exceptions have a stack of their own too. A guest can make one come right behind its `syscall`, when the CPU runs the
// stub with the guest's stack pointer still (AMD64 manual vol. 2, section 8.5: mov ss delays a data breakpoint). Such a one is dropped: no
// breakpoint of a guest is meant for the hypervisor. From a guest proper, the frame moves to its vCPU's stack.
    .balign 16
    .globl debug_stub
debug_stub:
    pushq $0
    movl $1, 4(%rsp)
    testb $3, 16(%rsp)
    jz 1f
    pushq %rax
2:  movq 64(%rsp), %rax                   // StackTop::cpu, above seven words
    movq LOCAL_STACK_TOP(%rax), %rax
    subq $56, %rax
    popq (%rax)
    popq 8(%rax)
    popq 16(%rax)
    popq 24(%rax)
    popq 32(%rax)
    popq 40(%rax)
    popq 48(%rax)
    movq %rax, %rsp
    popq %rax
    jmp trap_common
1:  addq $8, %rsp
    iretq
    .balign 16
    .globl isolated_debug_stub
isolated_debug_stub:
    pushq $0
    movl $1, 4(%rsp)
    testb $3, 16(%rsp)
    jz 1b
isolated_trap_from_guest:
    pushq %rax
    movq 64(%rsp), %rax
    movq LOCAL_HYPERVISOR_CR3(%rax), %rax
    movq %rax, %cr3
    jmp 2b
    .balign 4096
    .globl entry_text_end
entry_text_end:

    .text
// void switch_stack(uint64_t* save, uint64_t load): leaves one stack for another, returns when someone comes back.
    .globl switch_stack
switch_stack:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

// Where a vCPU that never ran comes to: its frame is prepared at the top of the stack.
    .globl first_run
first_run:
    call after_first_switch
    jmp return_to_guest

// Copies that may fault. size_t copy_with_faults(void* to, const void* from, size_t bytes): 0 when all is copied.
    .globl copy_with_faults
copy_with_faults:
    cmpq $256, %rdx
    jae 6f
    movq %rdx, %rcx
    andq $~7, %rcx
    jz 2f
    addq %rcx, %rsi
    addq %rcx, %rdi
    negq %rcx
1:  movq (%rsi, %rcx), %rax
10: movq %rax, (%rdi, %rcx)
    addq $8, %rcx
    jnz 1b
2:  andl $7, %edx
    jz 4f
3:  movb (%rsi), %al
12: movb %al, (%rdi)
    incq %rsi
    incq %rdi
    decl %edx
    jnz 3b
4:  xorl %eax, %eax
    ret
5:  movl $1, %eax
    ret
6:  movq %rdx, %rcx
    shrq $3, %rcx
7:  rep movsq
    jmp 2b
    .section .fault_table, "a", @progbits
    .quad 1b, 5b, 10b, 5b, 3b, 5b, 12b, 5b, 7b, 5b
    .text

// uint64_t exchange_with_faults(uint64_t* place, uint64_t expected, uint64_t desired, bool* faulted)
    .globl exchange_with_faults
exchange_with_faults:
    movq %rsi, %rax
1:  lock cmpxchgq %rdx, (%rdi)
    movb $0, (%rcx)
    ret
2:  movb $1, (%rcx)
    ret
    .section .fault_table, "a", @progbits
    .quad 1b, 2b
    .text

// Segment loads that may fault: 1 when they did, with the register null.
.macro segment_loader name, segment
    .globl \name
\name:
1:  movl %edi, %\segment
    xorl %eax, %eax
    ret
2:  xorl %eax, %eax
    movl %eax, %\segment
    incl %eax
    ret
    .section .fault_table, "a", @progbits
    .quad 1b, 2b
    .text
.endm
    segment_loader load_ds_with_faults, ds
    segment_loader load_es_with_faults, es
    segment_loader load_fs_with_faults, fs
    segment_loader load_gs_with_faults, gs

// MSR accesses that may fault. bool read_msr_with_faults(uint32_t msr, uint64_t* value): true when done.
    .globl read_msr_with_faults
read_msr_with_faults:
    movl %edi, %ecx
1:  rdmsr
    shlq $32, %rdx
    movl %eax, %eax
    orq %rdx, %rax
    movq %rax, (%rsi)
    movl $1, %eax
    ret
2:  xorl %eax, %eax
    ret
    .section .fault_table, "a", @progbits
    .quad 1b, 2b
    .text

    .section .note.GNU-stack, "", @progbits
