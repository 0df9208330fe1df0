// What the plugins have in common: the interface of QEMU's software CPU for plugins, and the two marks.
//
// Debian ships no header of that interface; what is declared here is from QEMU's documentation
// (docs/devel/tcg-plugins, version 1 of the interface, which QEMU 7.2 has).
#pragma once
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*callback)(qemu_plugin_id_t id,
                                                            struct qemu_plugin_tb* block));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
const void* qemu_plugin_insn_data(const struct qemu_plugin_insn* instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn* instruction);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn* instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* instruction,
                                            void (*callback)(unsigned cpu, void* data),
                                            enum qemu_plugin_cb_flags flags, void* data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn* instruction,
                                                enum qemu_plugin_op operation, void* counter, uint64_t value);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn* instruction,
                                      void (*callback)(unsigned cpu, qemu_plugin_meminfo_t information,
                                                       uint64_t address, void* data),
                                      enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw which,
                                      void* data);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t information);
struct qemu_plugin_hwaddr* qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t information, uint64_t address);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr* address);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr* address);

// The hypervisor's part of the address space by the guest ABI (public arch-x86/xen-x86_64.h).
static const uint64_t kHypervisorStart = 0xffff800000000000, kHypervisorEnd = 0xffff880000000000;
static const uint8_t kStart[] = {0x0f, 0x1f, 0x80, 0x01, 0x74, 0x72, 0x70},
                     kEnd[] = {0x0f, 0x1f, 0x80, 0x02, 0x74, 0x72, 0x70};

static int is(const struct qemu_plugin_insn* instruction, const uint8_t* bytes, size_t size) {
    return qemu_plugin_insn_size(instruction) == size &&
           memcmp(qemu_plugin_insn_data(instruction), bytes, size) == 0;
}
