// A plugin of QEMU's software CPU that counts executed instructions, by the place of their code, and executed
// `hlt`: each is a CPU that went to sleep, and so was woken. The time stamp counter can't tell: it goes on
// while the CPU sleeps. Also `pause`: each is a CPU that waits for another. Where a program (idle, or the
// small guest curve) executes one of its two marks, a line goes to QEMU's console:
//   COUNTERS start|end hypervisor=N kernel=N user=N halts=N pauses=N
//
// Debian ships no header of the plugins' interface; what is declared here is from QEMU's documentation
// (docs/devel/tcg-plugins, version 1 of the interface, which QEMU 7.2 has).
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

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

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

// The hypervisor's part of the address space by the guest ABI (public arch-x86/xen-x86_64.h).
static const uint64_t kHypervisorStart = 0xffff800000000000, kHypervisorEnd = 0xffff880000000000;
static const uint64_t kKernelStart = 0x8000000000000000;
static const uint8_t kHalt = 0xf4, kPause[] = {0xf3, 0x90};
static const uint8_t kStart[] = {0x0f, 0x1f, 0x80, 0x01, 0x74, 0x72, 0x70},
                     kEnd[] = {0x0f, 0x1f, 0x80, 0x02, 0x74, 0x72, 0x70};

static uint64_t hypervisor_instructions, kernel_instructions, user_instructions, halts, pauses;

static void print_counters(unsigned cpu, void* mark) {
    (void)cpu;
    fprintf(stderr,
            "\nCOUNTERS %s hypervisor=%" PRIu64 " kernel=%" PRIu64 " user=%" PRIu64 " halts=%" PRIu64
            " pauses=%" PRIu64 "\n",
            (const char*)mark, hypervisor_instructions, kernel_instructions, user_instructions, halts,
            pauses);
}

static uint64_t* counter_of(uint64_t address) {
    if (address >= kHypervisorStart && address < kHypervisorEnd) return &hypervisor_instructions;
    return address >= kKernelStart ? &kernel_instructions : &user_instructions;
}

static int is(const struct qemu_plugin_insn* instruction, const uint8_t* bytes, size_t size) {
    return qemu_plugin_insn_size(instruction) == size &&
           memcmp(qemu_plugin_insn_data(instruction), bytes, size) == 0;
}

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
        uint64_t* counter = counter_of(qemu_plugin_insn_vaddr(instruction));
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, counter, 1);
        if (is(instruction, &kHalt, sizeof kHalt))
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, &halts, 1);
        if (is(instruction, kPause, sizeof kPause))
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, &pauses, 1);
        if (is(instruction, kStart, sizeof kStart))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, print_counters, QEMU_PLUGIN_CB_NO_REGS,
                                                   "start");
        if (is(instruction, kEnd, sizeof kEnd))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, print_counters, QEMU_PLUGIN_CB_NO_REGS,
                                                   "end");
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void* information,
                                                               int count, char** arguments) {
    (void)information;
    (void)count;
    (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    return 0;
}
