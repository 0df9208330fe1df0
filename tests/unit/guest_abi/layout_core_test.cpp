#include "guest_abi/peer_headers.h"

// Layout of what every guest meets: shared info, start of day, traps, paging, scheduling.
// Columns: this project's name, then the public header's. The rows are data: one per structure or field.

namespace {

using namespace torii;

// clang-format off
constexpr Comparison kComparisons[] = {
    SAME_SIZE(NmiCallback, xennmi_callback_t),
    SAME_FIELD(NmiCallback, xennmi_callback_t, handler_address),

    SAME_SIZE(GuestPtr64, XEN_GUEST_HANDLE(void)),

    SAME_SIZE(ControlBitmap, xenctl_bitmap),
    SAME_FIELD(ControlBitmap, xenctl_bitmap, bitmap),
    SAME_FIELD(ControlBitmap, xenctl_bitmap, nr_bits),

    SAME_SIZE(DomainHandle, xen_domain_handle_t),

    SAME_SIZE(CompileInfo, xen_compile_info_t),
    SAME_FIELD(CompileInfo, xen_compile_info_t, compiler),
    SAME_FIELD(CompileInfo, xen_compile_info_t, compile_by),
    SAME_FIELD(CompileInfo, xen_compile_info_t, compile_domain),
    SAME_FIELD(CompileInfo, xen_compile_info_t, compile_date),

    SAME_SIZE(PlatformParameters, xen_platform_parameters_t),
    SAME_FIELD(PlatformParameters, xen_platform_parameters_t, virt_start),

    SAME_SIZE(FeatureInfo, xen_feature_info_t),
    SAME_FIELD(FeatureInfo, xen_feature_info_t, submap_idx),
    SAME_FIELD(FeatureInfo, xen_feature_info_t, submap),

    SAME_SIZE(BuildId, xen_build_id_t),
    SAME_FIELD(BuildId, xen_build_id_t, len),

    SAME_SIZE(VcpuTimeInfo, vcpu_time_info),
    SAME_FIELD(VcpuTimeInfo, vcpu_time_info, version),
    SAME_FIELD(VcpuTimeInfo, vcpu_time_info, tsc_timestamp),
    SAME_FIELD(VcpuTimeInfo, vcpu_time_info, system_time),
    SAME_FIELD(VcpuTimeInfo, vcpu_time_info, tsc_to_system_mul),
    SAME_FIELD(VcpuTimeInfo, vcpu_time_info, tsc_shift),
    SAME_FIELD(VcpuTimeInfo, vcpu_time_info, flags),

    SAME_SIZE(ArchVcpuInfo, arch_vcpu_info),
    SAME_FIELD(ArchVcpuInfo, arch_vcpu_info, cr2),

    SAME_SIZE(VcpuInfo, vcpu_info),
    SAME_FIELD(VcpuInfo, vcpu_info, evtchn_upcall_pending),
    SAME_FIELD(VcpuInfo, vcpu_info, evtchn_upcall_mask),
    SAME_FIELD(VcpuInfo, vcpu_info, evtchn_pending_sel),
    SAME_FIELD(VcpuInfo, vcpu_info, arch),
    SAME_FIELD(VcpuInfo, vcpu_info, time),

    SAME_SIZE(ArchSharedInfo, arch_shared_info),
    SAME_FIELD(ArchSharedInfo, arch_shared_info, max_pfn),
    SAME_FIELD(ArchSharedInfo, arch_shared_info, pfn_to_mfn_frame_list_list),
    SAME_FIELD(ArchSharedInfo, arch_shared_info, nmi_reason),
    SAME_FIELD(ArchSharedInfo, arch_shared_info, p2m_cr3),
    SAME_FIELD(ArchSharedInfo, arch_shared_info, p2m_vaddr),
    SAME_FIELD(ArchSharedInfo, arch_shared_info, p2m_generation),

    SAME_SIZE(SharedInfo, shared_info),
    SAME_FIELD(SharedInfo, shared_info, vcpu_info),
    SAME_FIELD(SharedInfo, shared_info, evtchn_pending),
    SAME_FIELD(SharedInfo, shared_info, evtchn_mask),
    SAME_FIELD(SharedInfo, shared_info, wc_version),
    SAME_FIELD(SharedInfo, shared_info, wc_sec),
    SAME_FIELD(SharedInfo, shared_info, wc_nsec),
    SAME_FIELD(SharedInfo, shared_info, wc_sec_hi),
    SAME_FIELD(SharedInfo, shared_info, arch),

    SAME_SIZE(StartInfoDomUConsole, decltype(start_info::console.domU)),
    SAME_FIELD(StartInfoDomUConsole, decltype(start_info::console.domU), mfn),
    SAME_FIELD(StartInfoDomUConsole, decltype(start_info::console.domU), evtchn),

    SAME_SIZE(StartInfo, start_info),
    SAME_FIELD(StartInfo, start_info, magic),
    SAME_FIELD(StartInfo, start_info, nr_pages),
    SAME_FIELD(StartInfo, start_info, shared_info),
    SAME_FIELD(StartInfo, start_info, flags),
    SAME_FIELD(StartInfo, start_info, store_mfn),
    SAME_FIELD(StartInfo, start_info, store_evtchn),
    SAME_FIELD_AS(StartInfo, console.dom_u, start_info, console.domU),
    SAME_FIELD(StartInfo, start_info, console.dom0),
    SAME_FIELD(StartInfo, start_info, pt_base),
    SAME_FIELD(StartInfo, start_info, nr_pt_frames),
    SAME_FIELD(StartInfo, start_info, mfn_list),
    SAME_FIELD(StartInfo, start_info, mod_start),
    SAME_FIELD(StartInfo, start_info, mod_len),
    SAME_FIELD(StartInfo, start_info, cmd_line),
    SAME_FIELD(StartInfo, start_info, first_p2m_pfn),
    SAME_FIELD(StartInfo, start_info, nr_p2m_frames),

    SAME_SIZE(MultibootModule, xen_multiboot_mod_list),
    SAME_FIELD(MultibootModule, xen_multiboot_mod_list, mod_start),
    SAME_FIELD(MultibootModule, xen_multiboot_mod_list, mod_end),
    SAME_FIELD(MultibootModule, xen_multiboot_mod_list, cmdline),

    SAME_SIZE(VgaTextMode3, decltype(dom0_vga_console_info::u.text_mode_3)),
    SAME_FIELD(VgaTextMode3, decltype(dom0_vga_console_info::u.text_mode_3), font_height),
    SAME_FIELD(VgaTextMode3, decltype(dom0_vga_console_info::u.text_mode_3), cursor_x),
    SAME_FIELD(VgaTextMode3, decltype(dom0_vga_console_info::u.text_mode_3), cursor_y),
    SAME_FIELD(VgaTextMode3, decltype(dom0_vga_console_info::u.text_mode_3), rows),
    SAME_FIELD(VgaTextMode3, decltype(dom0_vga_console_info::u.text_mode_3), columns),

    SAME_SIZE(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb)),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), width),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), height),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), bytes_per_line),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), bits_per_pixel),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), lfb_base),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), lfb_size),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), red_pos),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), red_size),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), green_pos),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), green_size),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), blue_pos),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), blue_size),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), rsvd_pos),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), rsvd_size),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), gbl_caps),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), mode_attrs),
    SAME_FIELD(VgaFrameBuffer, decltype(dom0_vga_console_info::u.vesa_lfb), ext_lfb_base),

    SAME_SIZE(VgaConsoleInfo, dom0_vga_console_info),
    SAME_FIELD(VgaConsoleInfo, dom0_vga_console_info, video_type),
    SAME_FIELD(VgaConsoleInfo, dom0_vga_console_info, u.text_mode_3),
    SAME_FIELD(VgaConsoleInfo, dom0_vga_console_info, u.vesa_lfb),

    SAME_SIZE(MmuUpdate, mmu_update),
    SAME_FIELD(MmuUpdate, mmu_update, ptr),
    SAME_FIELD(MmuUpdate, mmu_update, val),

    SAME_SIZE(MmuextOp, mmuext_op),
    SAME_FIELD(MmuextOp, mmuext_op, cmd),
    SAME_FIELD(MmuextOp, mmuext_op, arg1.mfn),
    SAME_FIELD(MmuextOp, mmuext_op, arg1.linear_addr),
    SAME_FIELD(MmuextOp, mmuext_op, arg2.nr_ents),
    SAME_FIELD(MmuextOp, mmuext_op, arg2.vcpumask),
    SAME_FIELD(MmuextOp, mmuext_op, arg2.src_mfn),

    SAME_SIZE(TrapInfo, trap_info),
    SAME_FIELD(TrapInfo, trap_info, vector),
    SAME_FIELD(TrapInfo, trap_info, flags),
    SAME_FIELD(TrapInfo, trap_info, cs),
    SAME_FIELD(TrapInfo, trap_info, address),

    SAME_SIZE(IretContext, iret_context),
    SAME_FIELD(IretContext, iret_context, rax),
    SAME_FIELD(IretContext, iret_context, r11),
    SAME_FIELD(IretContext, iret_context, rcx),
    SAME_FIELD(IretContext, iret_context, flags),
    SAME_FIELD(IretContext, iret_context, rip),
    SAME_FIELD(IretContext, iret_context, cs),
    SAME_FIELD(IretContext, iret_context, rflags),
    SAME_FIELD(IretContext, iret_context, rsp),
    SAME_FIELD(IretContext, iret_context, ss),

    SAME_SIZE(CpuUserRegs, cpu_user_regs),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r15),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r14),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r13),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r12),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rbp),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rbx),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r11),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r10),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r9),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, r8),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rax),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rcx),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rdx),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rsi),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rdi),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, error_code),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, entry_vector),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rip),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, cs),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, saved_upcall_mask),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rflags),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, rsp),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, ss),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, es),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, ds),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, fs),
    SAME_FIELD(CpuUserRegs, cpu_user_regs, gs),

    SAME_SIZE(VcpuGuestContext, vcpu_guest_context),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, fpu_ctxt),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, flags),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, user_regs),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, trap_ctxt),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, ldt_base),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, ldt_ents),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, gdt_frames),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, gdt_ents),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, kernel_ss),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, kernel_sp),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, ctrlreg),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, debugreg),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, event_callback_eip),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, failsafe_callback_eip),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, syscall_callback_eip),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, vm_assist),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, fs_base),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, gs_base_kernel),
    SAME_FIELD(VcpuGuestContext, vcpu_guest_context, gs_base_user),

    SAME_SIZE(CpuidLeafEntry, xen_cpuid_leaf),
    SAME_FIELD(CpuidLeafEntry, xen_cpuid_leaf, leaf),
    SAME_FIELD(CpuidLeafEntry, xen_cpuid_leaf, subleaf),
    SAME_FIELD(CpuidLeafEntry, xen_cpuid_leaf, a),
    SAME_FIELD(CpuidLeafEntry, xen_cpuid_leaf, b),
    SAME_FIELD(CpuidLeafEntry, xen_cpuid_leaf, c),
    SAME_FIELD(CpuidLeafEntry, xen_cpuid_leaf, d),

    SAME_SIZE(MsrEntry, xen_msr_entry),
    SAME_FIELD(MsrEntry, xen_msr_entry, idx),
    SAME_FIELD(MsrEntry, xen_msr_entry, flags),
    SAME_FIELD(MsrEntry, xen_msr_entry, val),

    SAME_SIZE(ArchDomainConfig, xen_arch_domainconfig),
    SAME_FIELD(ArchDomainConfig, xen_arch_domainconfig, emulation_flags),
    SAME_FIELD(ArchDomainConfig, xen_arch_domainconfig, misc_flags),

    SAME_SIZE(MulticallEntry, multicall_entry),
    SAME_FIELD(MulticallEntry, multicall_entry, op),
    SAME_FIELD(MulticallEntry, multicall_entry, result),
    SAME_FIELD(MulticallEntry, multicall_entry, args),

    SAME_SIZE(SchedShutdown, sched_shutdown),
    SAME_FIELD(SchedShutdown, sched_shutdown, reason),

    SAME_SIZE(SchedPoll, sched_poll),
    SAME_FIELD(SchedPoll, sched_poll, ports),
    SAME_FIELD(SchedPoll, sched_poll, nr_ports),
    SAME_FIELD(SchedPoll, sched_poll, timeout),

    SAME_SIZE(SchedRemoteShutdown, sched_remote_shutdown),
    SAME_FIELD(SchedRemoteShutdown, sched_remote_shutdown, domain_id),
    SAME_FIELD(SchedRemoteShutdown, sched_remote_shutdown, reason),

    SAME_SIZE(SchedWatchdog, sched_watchdog),
    SAME_FIELD(SchedWatchdog, sched_watchdog, id),
    SAME_FIELD(SchedWatchdog, sched_watchdog, timeout),

    SAME_SIZE(SchedPinOverride, sched_pin_override),
    SAME_FIELD(SchedPinOverride, sched_pin_override, pcpu),

    SAME_SIZE(VcpuRunstateInfo, vcpu_runstate_info),
    SAME_FIELD(VcpuRunstateInfo, vcpu_runstate_info, state),
    SAME_FIELD(VcpuRunstateInfo, vcpu_runstate_info, state_entry_time),
    SAME_FIELD(VcpuRunstateInfo, vcpu_runstate_info, time),

    SAME_SIZE(VcpuRegisterRunstateMemoryArea, vcpu_register_runstate_memory_area),
    SAME_FIELD_AS(VcpuRegisterRunstateMemoryArea, address, vcpu_register_runstate_memory_area, addr),

    SAME_SIZE(VcpuRegisterTimeMemoryArea, vcpu_register_time_memory_area),
    SAME_FIELD_AS(VcpuRegisterTimeMemoryArea, address, vcpu_register_time_memory_area, addr),

    SAME_SIZE(VcpuSetPeriodicTimer, vcpu_set_periodic_timer),
    SAME_FIELD(VcpuSetPeriodicTimer, vcpu_set_periodic_timer, period_ns),

    SAME_SIZE(VcpuSetSingleshotTimer, vcpu_set_singleshot_timer),
    SAME_FIELD(VcpuSetSingleshotTimer, vcpu_set_singleshot_timer, timeout_abs_ns),
    SAME_FIELD(VcpuSetSingleshotTimer, vcpu_set_singleshot_timer, flags),

    SAME_SIZE(VcpuRegisterVcpuInfo, vcpu_register_vcpu_info),
    SAME_FIELD(VcpuRegisterVcpuInfo, vcpu_register_vcpu_info, mfn),
    SAME_FIELD(VcpuRegisterVcpuInfo, vcpu_register_vcpu_info, offset),
    SAME_FIELD_AS(VcpuRegisterVcpuInfo, reserved, vcpu_register_vcpu_info, rsvd),

    SAME_SIZE(VcpuGetPhysid, vcpu_get_physid),
    SAME_FIELD(VcpuGetPhysid, vcpu_get_physid, phys_id),

    SAME_SIZE(CallbackRegister, callback_register),
    SAME_FIELD(CallbackRegister, callback_register, type),
    SAME_FIELD(CallbackRegister, callback_register, flags),
    SAME_FIELD(CallbackRegister, callback_register, address),

    SAME_SIZE(CallbackUnregister, callback_unregister),
    SAME_FIELD(CallbackUnregister, callback_unregister, type),
    SAME_FIELD_AS(CallbackUnregister, unused, callback_unregister, _unused),
};
// clang-format on

TEST(CoreLayout, AgreesWithPublicHeaders) {
    expect_equal(kComparisons);
}

}  // namespace
