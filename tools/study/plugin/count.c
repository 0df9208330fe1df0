// A plugin of QEMU's software CPU that counts executed instructions, by the place of their code, and executed
// `hlt`: each is a CPU that went to sleep, and so was woken. The time stamp counter can't tell: it goes on
// while the CPU sleeps. Also `pause`: each is a CPU that waits for another. Where a program (idle, or the
// small guest curve) executes one of its two marks, a line goes to QEMU's console:
//   COUNTERS start|end hypervisor=N kernel=N user=N halts=N pauses=N high_kernel=N high_user=N
//
// The last two are those of domains whose data of the running CPU lies high in memory, as dom0's does where
// it has more memory than a guest: a kernel's accesses to that data (by gs) tell which domain is running.
#include "interface.h"

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static const uint64_t kKernelStart = 0x8000000000000000;
static const uint8_t kHalt = 0xf4, kPause[] = {0xf3, 0x90};

// Linux's map of all memory, and in it what a guest of 256 MiB has not.
static const uint64_t kHighMemory = 0xffff888000000000 + (256 << 20), kMemoryEnd = 0xffffc88000000000;
static const uint8_t kGsPrefix = 0x65;

static uint64_t hypervisor_instructions, kernel_instructions, user_instructions, halts, pauses;
static int running_high;
static uint64_t high_kernel, high_user, switched_kernel, switched_user;

// What has been executed since the last switch belongs to the domain that was running.
static void settle(void) {
    if (running_high) {
        high_kernel += kernel_instructions - switched_kernel;
        high_user += user_instructions - switched_user;
    }
    switched_kernel = kernel_instructions;
    switched_user = user_instructions;
}

static void see_access(unsigned cpu, qemu_plugin_meminfo_t information, uint64_t address, void* data) {
    (void)cpu;
    (void)information;
    (void)data;
    const int high = address >= kHighMemory && address < kMemoryEnd;
    if (high == running_high) return;
    settle();
    running_high = high;
}

static void print_counters(unsigned cpu, void* mark) {
    (void)cpu;
    settle();
    fprintf(stderr,
            "\nCOUNTERS %s hypervisor=%" PRIu64 " kernel=%" PRIu64 " user=%" PRIu64 " halts=%" PRIu64
            " pauses=%" PRIu64 " high_kernel=%" PRIu64 " high_user=%" PRIu64 "\n",
            (const char*)mark, hypervisor_instructions, kernel_instructions, user_instructions, halts, pauses,
            high_kernel, high_user);
}

static uint64_t* counter_of(uint64_t address) {
    if (address >= kHypervisorStart && address < kHypervisorEnd) return &hypervisor_instructions;
    return address >= kKernelStart ? &kernel_instructions : &user_instructions;
}

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
        uint64_t* counter = counter_of(qemu_plugin_insn_vaddr(instruction));
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, QEMU_PLUGIN_INLINE_ADD_U64, counter, 1);
        if (counter == &kernel_instructions &&
            *(const uint8_t*)qemu_plugin_insn_data(instruction) == kGsPrefix)
            qemu_plugin_register_vcpu_mem_cb(instruction, see_access, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, NULL);
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
