#include "arch/x86/hw/guest_view.h"

#include <cstring>

#include "arch/x86/hw/cpu.h"
#include "arch/x86/hw/layout.h"
#include "arch/x86/hw/paging.h"
#include "arch/x86/hw/registers.h"
#include "arch/x86/pv/page_type.h"
#include "port/frames.h"

namespace torii::hw {

extern "C" char entry_text_start[], entry_text_end[];

namespace {

constexpr unsigned kFirstSlot = abi::kHypervisorFirstL4Slot;
constexpr unsigned kSlots = 16;
constexpr uint64_t kExitFrameBytes = 6 * sizeof(uint64_t);  // rax and what iretq takes

uint64_t entry_stack_end(CpuId cpu) {
    return area_of(cpu) + TORII_AREA_ENTRY_STACK + TORII_STACK_SIZE - sizeof(StackTop);
}

void copy_root(GuestView& view) {
    view.stamp = pv::root_changes.load(std::memory_order_acquire);
    const MappedFrame source(frame_of(MachineAddr(view.source_cr3)));
    const auto* const from = source.as<const uint64_t>();
    auto* const to = static_cast<uint64_t*>(direct_address(view.root));
    constexpr unsigned kBehind = kFirstSlot + kSlots;
    memcpy(to, from, kFirstSlot * sizeof(uint64_t));
    memcpy(to + kBehind, from + kBehind, (pv::kEntriesPerTable - kBehind) * sizeof(uint64_t));
}

void use(CpuLocal& cpu, const GuestView& view) {
    cpu.guest_cr3 = address_of(view.root).raw();
    cpu.view_stamp = view.stamp;
}

}  // namespace

void build_guest_views(CpuId cpu) {
    CpuLocal& me = local();
    const Mfn root = me.views[0].root = new_table();
    share_large_page_in(root, area_of(cpu));
    for (auto page = reinterpret_cast<uint64_t>(entry_text_start);
         page < reinterpret_cast<uint64_t>(entry_text_end); page += kPageSize)
        show_page_in(root, page, false);
    show_page_in(root, interrupt_table_address(), false);
    auto* const first = static_cast<uint64_t*>(direct_address(root));
    first[kFirstSlot] = pv::hypervisor_slots[0];  // M2P for guests
    me.views[1].root = new_table();
    memcpy(static_cast<uint64_t*>(direct_address(me.views[1].root)) + kFirstSlot, first + kFirstSlot,
           kSlots * sizeof(uint64_t));
    me.hypervisor_cr3 = read_cr3();
    me.exit_frame = entry_stack_end(cpu) - kExitFrameBytes;
    me.task_state.stack[0] = entry_stack_end(cpu);
    *reinterpret_cast<StackTop*>(entry_stack_end(cpu)) = {nullptr, &me};
}

void choose_guest_view(CpuLocal& cpu, uint64_t cr3, bool kernel_mode) {
    if (cpu.hypervisor_cr3 == 0) return;
    cpu.hypervisor_cr3 = cr3;
    GuestView& view = cpu.views[kernel_mode ? 0 : 1];
    if (view.source_cr3 != cr3 || view.stamp != pv::root_changes.load(std::memory_order_acquire)) {
        view.source_cr3 = cr3;
        copy_root(view);
    }
    cpu.view_in_use = &view;
    use(cpu, view);
}

// From the way out: the view in use is no longer what its source is.
extern "C" void refresh_view_in_use() {
    CpuLocal& cpu = local();
    copy_root(*cpu.view_in_use);
    use(cpu, *cpu.view_in_use);
}

void wipe_entry_stacks(CpuLocal& cpu, Vcpu* next) {
    if (cpu.hypervisor_cr3 == 0) return;
    for (const uint64_t stack : {TORII_AREA_ENTRY_STACK, TORII_AREA_DEBUG_STACK, TORII_AREA_NMI_STACK})
        memset(reinterpret_cast<void*>(area_of(cpu.id) + stack + TORII_STACK_SIZE - kPageSize), 0,
               kPageSize - sizeof(StackTop));
    reinterpret_cast<StackTop*>(entry_stack_end(cpu.id))->vcpu = next;
}

}  // namespace torii::hw
