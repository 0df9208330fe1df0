// The hypervisor's address space: L4 slots 256 to 271 (public xen-x86_64.h reserves them). Read by assembly
// too.
//
//   slot 256       M2P, read-only, for guests
//   slot 257       M2P writable; frame table (32 bytes for each of up to 2^32 frames)
//   slot 258       per-CPU areas, 4 MiB apart
//   slot 259       permanent mappings: guest pages above the direct map, device registers
//   slot 261       image
//   slots 262-271  direct map: up to 5 TiB; frames above go through the windows of the per-CPU area
#pragma once

#define TORII_M2P_READ_ONLY 0xffff800000000000
#define TORII_M2P_WRITABLE 0xffff808000000000
#define TORII_FRAME_TABLE 0xffff80c000000000
#define TORII_PER_CPU_BASE 0xffff810000000000
#define TORII_PER_CPU_SHIFT 22
#define TORII_PERMANENT_BASE 0xffff818000000000
#define TORII_IMAGE_BASE 0xffff82d080000000
#define TORII_DIRECT_MAP 0xffff830000000000
#define TORII_DIRECT_MAP_END 0xffff880000000000

#define TORII_TRAMPOLINE 0x8000  // where other CPUs start, in real mode; borrowed while they do

// Pages of a per-CPU area. Its first 2 MiB, under one L1 table, are what a CPU needs on the tables of a
// guest, and all of it that isolated guests have in theirs (guest_view.h): nothing there may hold what a
// guest must not read.
#define TORII_AREA_STUB 0x0           // the system call stub: code, shared by all CPUs
#define TORII_AREA_LOCAL 0x1000       // struct CpuLocal
#define TORII_AREA_GDT 0x10000        // 16 pages: 14 of the guest's, 1 of the hypervisor's, 1 empty
#define TORII_AREA_LDT 0x20000        // 16 pages
#define TORII_AREA_NMI_STACK 0x80000  // each of these: a guard page below, then the stack
#define TORII_AREA_DOUBLE_FAULT_STACK 0x90000
#define TORII_AREA_MACHINE_CHECK_STACK 0xa0000
#define TORII_AREA_ENTRY_STACK 0xb0000  // used with isolated guests only: two pages
#define TORII_AREA_DEBUG_STACK 0xc0000
// The second 2 MiB are for the hypervisor's eyes.
#define TORII_AREA_WINDOWS 0x200000  // 32 pages: frames above the direct map
#define TORII_AREA_IDLE_STACK 0x280000

#define TORII_STACK_SHIFT 14
#define TORII_STACK_SIZE (1 << TORII_STACK_SHIFT)

// Selectors in the reserved part of the GDT (public xen-x86_64.h fixes those of ring 3).
#define TORII_SELECTOR_CODE 0xe008
#define TORII_SELECTOR_DATA 0xe010
#define TORII_SELECTOR_TSS 0xe040
#define TORII_SELECTOR_LDT 0xe050

#define TORII_VECTOR_SYSCALL 0x100
#define TORII_VECTOR_SYSCALL32 0x101
