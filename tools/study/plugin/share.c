// A plugin of QEMU's software CPU that finds the memory for which the hypervisor's CPUs compete, which a
// count of instructions can't show. Between two marks (as for count.c) it follows the cache lines that the
// hypervisor uses: a line moves when a CPU reads what another one has written since, or writes what others
// have too. For each line that has moved, where the second mark is executed:
//   SHARED line=ADDRESS code=ADDRESS users=CPUS uses=N moves=N
// with the address at which the hypervisor saw it, the place of the last instruction that wrote it, and the
// CPUs as bits; then
//   SHARED-END
#include "interface.h"

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { kLineShift = 6, kLines = 1 << 20 };

// A table of lines by their physical address, open-addressed; a key of zero is free.
static struct {
    uint64_t key, address, code, uses, moves;
    uint32_t holders, users;
} lines[kLines];
static uint32_t used;
static bool running;

static uint32_t place_of(uint64_t key) {
    uint32_t place = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 44);
    while (lines[place].key != 0 && lines[place].key != key)
        place = (place + 1) % kLines;
    return place;
}

static void note_use(unsigned cpu, qemu_plugin_meminfo_t information, uint64_t address, void* code) {
    if (!running) return;
    struct qemu_plugin_hwaddr* where = qemu_plugin_get_hwaddr(information, address);
    if (where == NULL || qemu_plugin_hwaddr_is_io(where)) return;
    const uint64_t key = qemu_plugin_hwaddr_phys_addr(where) >> kLineShift;
    const uint32_t place = place_of(key), self = 1u << cpu;
    if (lines[place].key == 0) {
        if (++used > kLines / 2) running = false;
        lines[place].key = key;
        lines[place].holders = self;
    }
    const bool store = qemu_plugin_mem_is_store(information);
    if (store ? lines[place].holders != self : (lines[place].holders & self) == 0) ++lines[place].moves;
    lines[place].holders = store ? self : lines[place].holders | self;
    lines[place].users |= self;
    ++lines[place].uses;
    lines[place].address = address;
    if (store) lines[place].code = (uint64_t)code;
}

static void start(unsigned cpu, void* data) {
    (void)cpu;
    (void)data;
    memset(lines, 0, sizeof lines);
    used = 0;
    running = true;
}

static void end(unsigned cpu, void* data) {
    (void)cpu;
    (void)data;
    for (uint32_t i = 0; i < kLines; i++) {
        if (lines[i].moves == 0 || lines[i].code == 0) continue;
        fprintf(stderr,
                "\nSHARED line=%" PRIx64 " code=%" PRIx64 " users=%x uses=%" PRIu64 " moves=%" PRIu64 "\n",
                lines[i].address, lines[i].code, lines[i].users, lines[i].uses, lines[i].moves);
    }
    fprintf(stderr, "\nSHARED-END%s\n", running ? "" : " incomplete");
    running = false;
}

static void watch_block(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
        const uint64_t code = qemu_plugin_insn_vaddr(instruction);
        if (code >= kHypervisorStart && code < kHypervisorEnd)
            qemu_plugin_register_vcpu_mem_cb(instruction, note_use, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_RW, (void*)code);
        if (is(instruction, kStart, sizeof kStart))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, start, QEMU_PLUGIN_CB_NO_REGS, NULL);
        if (is(instruction, kEnd, sizeof kEnd))
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, end, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void* information,
                                                               int count, char** arguments) {
    (void)information;
    (void)count;
    (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, watch_block);
    return 0;
}
