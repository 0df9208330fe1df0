#include "guest_abi/peer_headers.h"

// Layout of event channels, grants, memory, devices, xenstore and console.
// Columns: this project's name, then the public header's. The rows are data: one per structure or field.

namespace {

using namespace torii;

// clang-format off
constexpr Comparison kComparisons[] = {
    SAME_SIZE(EventAllocUnbound, evtchn_alloc_unbound),
    SAME_FIELD(EventAllocUnbound, evtchn_alloc_unbound, dom),
    SAME_FIELD(EventAllocUnbound, evtchn_alloc_unbound, remote_dom),
    SAME_FIELD(EventAllocUnbound, evtchn_alloc_unbound, port),

    SAME_SIZE(EventBindInterdomain, evtchn_bind_interdomain),
    SAME_FIELD(EventBindInterdomain, evtchn_bind_interdomain, remote_dom),
    SAME_FIELD(EventBindInterdomain, evtchn_bind_interdomain, remote_port),
    SAME_FIELD(EventBindInterdomain, evtchn_bind_interdomain, local_port),

    SAME_SIZE(EventBindVirq, evtchn_bind_virq),
    SAME_FIELD(EventBindVirq, evtchn_bind_virq, virq),
    SAME_FIELD(EventBindVirq, evtchn_bind_virq, vcpu),
    SAME_FIELD(EventBindVirq, evtchn_bind_virq, port),

    SAME_SIZE(EventBindPirq, evtchn_bind_pirq),
    SAME_FIELD(EventBindPirq, evtchn_bind_pirq, pirq),
    SAME_FIELD(EventBindPirq, evtchn_bind_pirq, flags),
    SAME_FIELD(EventBindPirq, evtchn_bind_pirq, port),

    SAME_SIZE(EventBindIpi, evtchn_bind_ipi),
    SAME_FIELD(EventBindIpi, evtchn_bind_ipi, vcpu),
    SAME_FIELD(EventBindIpi, evtchn_bind_ipi, port),

    SAME_SIZE(EventClose, evtchn_close),
    SAME_FIELD(EventClose, evtchn_close, port),

    SAME_SIZE(EventSend, evtchn_send),
    SAME_FIELD(EventSend, evtchn_send, port),

    SAME_SIZE(EventStatusInterdomain, decltype(evtchn_status::u.interdomain)),
    SAME_FIELD(EventStatusInterdomain, decltype(evtchn_status::u.interdomain), dom),
    SAME_FIELD(EventStatusInterdomain, decltype(evtchn_status::u.interdomain), port),

    SAME_SIZE(EventStatus, evtchn_status),
    SAME_FIELD(EventStatus, evtchn_status, dom),
    SAME_FIELD(EventStatus, evtchn_status, port),
    SAME_FIELD(EventStatus, evtchn_status, status),
    SAME_FIELD(EventStatus, evtchn_status, vcpu),
    SAME_FIELD_AS(EventStatus, u.unbound, evtchn_status, u.unbound.dom),
    SAME_FIELD(EventStatus, evtchn_status, u.interdomain),
    SAME_FIELD(EventStatus, evtchn_status, u.pirq),
    SAME_FIELD(EventStatus, evtchn_status, u.virq),

    SAME_SIZE(EventBindVcpu, evtchn_bind_vcpu),
    SAME_FIELD(EventBindVcpu, evtchn_bind_vcpu, port),
    SAME_FIELD(EventBindVcpu, evtchn_bind_vcpu, vcpu),

    SAME_SIZE(EventUnmask, evtchn_unmask),
    SAME_FIELD(EventUnmask, evtchn_unmask, port),

    SAME_SIZE(EventReset, evtchn_reset),
    SAME_FIELD(EventReset, evtchn_reset, dom),

    SAME_SIZE(EventInitControl, evtchn_init_control),
    SAME_FIELD(EventInitControl, evtchn_init_control, control_gfn),
    SAME_FIELD(EventInitControl, evtchn_init_control, offset),
    SAME_FIELD(EventInitControl, evtchn_init_control, vcpu),
    SAME_FIELD(EventInitControl, evtchn_init_control, link_bits),

    SAME_SIZE(EventExpandArray, evtchn_expand_array),
    SAME_FIELD(EventExpandArray, evtchn_expand_array, array_gfn),

    SAME_SIZE(EventSetPriority, evtchn_set_priority),
    SAME_FIELD(EventSetPriority, evtchn_set_priority, port),
    SAME_FIELD(EventSetPriority, evtchn_set_priority, priority),

    SAME_SIZE(EventCompatOp, evtchn_op),
    SAME_FIELD(EventCompatOp, evtchn_op, cmd),
    SAME_FIELD(EventCompatOp, evtchn_op, u.alloc_unbound),
    SAME_FIELD(EventCompatOp, evtchn_op, u.bind_interdomain),
    SAME_FIELD(EventCompatOp, evtchn_op, u.bind_virq),
    SAME_FIELD(EventCompatOp, evtchn_op, u.bind_pirq),
    SAME_FIELD(EventCompatOp, evtchn_op, u.bind_ipi),
    SAME_FIELD(EventCompatOp, evtchn_op, u.close),
    SAME_FIELD(EventCompatOp, evtchn_op, u.send),
    SAME_FIELD(EventCompatOp, evtchn_op, u.status),
    SAME_FIELD(EventCompatOp, evtchn_op, u.bind_vcpu),
    SAME_FIELD(EventCompatOp, evtchn_op, u.unmask),

    SAME_SIZE(FifoControlBlock, evtchn_fifo_control_block),
    SAME_FIELD(FifoControlBlock, evtchn_fifo_control_block, ready),
    SAME_FIELD_AS(FifoControlBlock, reserved, evtchn_fifo_control_block, _rsvd),
    SAME_FIELD(FifoControlBlock, evtchn_fifo_control_block, head),

    SAME_SIZE(GrantEntryV1, grant_entry_v1),
    SAME_FIELD(GrantEntryV1, grant_entry_v1, flags),
    SAME_FIELD(GrantEntryV1, grant_entry_v1, domid),
    SAME_FIELD(GrantEntryV1, grant_entry_v1, frame),

    SAME_SIZE(GrantEntryHeader, grant_entry_header),
    SAME_FIELD(GrantEntryHeader, grant_entry_header, flags),
    SAME_FIELD(GrantEntryHeader, grant_entry_header, domid),

    SAME_SIZE(GrantEntryV2FullPage, decltype(grant_entry_v2::full_page)),
    SAME_FIELD_AS(GrantEntryV2FullPage, header, decltype(grant_entry_v2::full_page), hdr),
    SAME_FIELD(GrantEntryV2FullPage, decltype(grant_entry_v2::full_page), frame),

    SAME_SIZE(GrantEntryV2SubPage, decltype(grant_entry_v2::sub_page)),
    SAME_FIELD_AS(GrantEntryV2SubPage, header, decltype(grant_entry_v2::sub_page), hdr),
    SAME_FIELD(GrantEntryV2SubPage, decltype(grant_entry_v2::sub_page), page_off),
    SAME_FIELD(GrantEntryV2SubPage, decltype(grant_entry_v2::sub_page), length),
    SAME_FIELD(GrantEntryV2SubPage, decltype(grant_entry_v2::sub_page), frame),

    SAME_SIZE(GrantEntryV2Transitive, decltype(grant_entry_v2::transitive)),
    SAME_FIELD_AS(GrantEntryV2Transitive, header, decltype(grant_entry_v2::transitive), hdr),
    SAME_FIELD(GrantEntryV2Transitive, decltype(grant_entry_v2::transitive), trans_domid),
    SAME_FIELD(GrantEntryV2Transitive, decltype(grant_entry_v2::transitive), gref),

    SAME_SIZE(GrantEntryV2, grant_entry_v2),
    SAME_FIELD_AS(GrantEntryV2, header, grant_entry_v2, hdr),
    SAME_FIELD(GrantEntryV2, grant_entry_v2, full_page),
    SAME_FIELD(GrantEntryV2, grant_entry_v2, sub_page),
    SAME_FIELD(GrantEntryV2, grant_entry_v2, transitive),
    SAME_FIELD_AS(GrantEntryV2, words, grant_entry_v2, __spacer),

    SAME_SIZE(GrantMap, gnttab_map_grant_ref),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, host_addr),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, flags),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, ref),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, dom),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, status),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, handle),
    SAME_FIELD(GrantMap, gnttab_map_grant_ref, dev_bus_addr),

    SAME_SIZE(GrantUnmap, gnttab_unmap_grant_ref),
    SAME_FIELD(GrantUnmap, gnttab_unmap_grant_ref, host_addr),
    SAME_FIELD(GrantUnmap, gnttab_unmap_grant_ref, dev_bus_addr),
    SAME_FIELD(GrantUnmap, gnttab_unmap_grant_ref, handle),
    SAME_FIELD(GrantUnmap, gnttab_unmap_grant_ref, status),

    SAME_SIZE(GrantSetupTable, gnttab_setup_table),
    SAME_FIELD(GrantSetupTable, gnttab_setup_table, dom),
    SAME_FIELD(GrantSetupTable, gnttab_setup_table, nr_frames),
    SAME_FIELD(GrantSetupTable, gnttab_setup_table, status),
    SAME_FIELD(GrantSetupTable, gnttab_setup_table, frame_list),

    SAME_SIZE(GrantDumpTable, gnttab_dump_table),
    SAME_FIELD(GrantDumpTable, gnttab_dump_table, dom),
    SAME_FIELD(GrantDumpTable, gnttab_dump_table, status),

    SAME_SIZE(GrantTransfer, gnttab_transfer),
    SAME_FIELD(GrantTransfer, gnttab_transfer, mfn),
    SAME_FIELD(GrantTransfer, gnttab_transfer, domid),
    SAME_FIELD(GrantTransfer, gnttab_transfer, ref),
    SAME_FIELD(GrantTransfer, gnttab_transfer, status),

    SAME_SIZE(GrantCopyPointer, gnttab_copy::gnttab_copy_ptr),
    SAME_FIELD(GrantCopyPointer, gnttab_copy::gnttab_copy_ptr, u.ref),
    SAME_FIELD(GrantCopyPointer, gnttab_copy::gnttab_copy_ptr, u.gmfn),
    SAME_FIELD(GrantCopyPointer, gnttab_copy::gnttab_copy_ptr, domid),
    SAME_FIELD(GrantCopyPointer, gnttab_copy::gnttab_copy_ptr, offset),

    SAME_SIZE(GrantCopy, gnttab_copy),
    SAME_FIELD(GrantCopy, gnttab_copy, source),
    SAME_FIELD(GrantCopy, gnttab_copy, dest),
    SAME_FIELD(GrantCopy, gnttab_copy, len),
    SAME_FIELD(GrantCopy, gnttab_copy, flags),
    SAME_FIELD(GrantCopy, gnttab_copy, status),

    SAME_SIZE(GrantQuerySize, gnttab_query_size),
    SAME_FIELD(GrantQuerySize, gnttab_query_size, dom),
    SAME_FIELD(GrantQuerySize, gnttab_query_size, nr_frames),
    SAME_FIELD(GrantQuerySize, gnttab_query_size, max_nr_frames),
    SAME_FIELD(GrantQuerySize, gnttab_query_size, status),

    SAME_SIZE(GrantUnmapAndReplace, gnttab_unmap_and_replace),
    SAME_FIELD(GrantUnmapAndReplace, gnttab_unmap_and_replace, host_addr),
    SAME_FIELD(GrantUnmapAndReplace, gnttab_unmap_and_replace, new_addr),
    SAME_FIELD(GrantUnmapAndReplace, gnttab_unmap_and_replace, handle),
    SAME_FIELD(GrantUnmapAndReplace, gnttab_unmap_and_replace, status),

    SAME_SIZE(GrantSetVersion, gnttab_set_version),
    SAME_FIELD(GrantSetVersion, gnttab_set_version, version),

    SAME_SIZE(GrantGetStatusFrames, gnttab_get_status_frames),
    SAME_FIELD(GrantGetStatusFrames, gnttab_get_status_frames, nr_frames),
    SAME_FIELD(GrantGetStatusFrames, gnttab_get_status_frames, dom),
    SAME_FIELD(GrantGetStatusFrames, gnttab_get_status_frames, status),
    SAME_FIELD(GrantGetStatusFrames, gnttab_get_status_frames, frame_list),

    SAME_SIZE(GrantGetVersion, gnttab_get_version),
    SAME_FIELD(GrantGetVersion, gnttab_get_version, dom),
    SAME_FIELD(GrantGetVersion, gnttab_get_version, version),

    SAME_SIZE(GrantSwapRef, gnttab_swap_grant_ref),
    SAME_FIELD(GrantSwapRef, gnttab_swap_grant_ref, ref_a),
    SAME_FIELD(GrantSwapRef, gnttab_swap_grant_ref, ref_b),
    SAME_FIELD(GrantSwapRef, gnttab_swap_grant_ref, status),

    SAME_SIZE(GrantCacheFlush, gnttab_cache_flush),
    SAME_FIELD(GrantCacheFlush, gnttab_cache_flush, a.dev_bus_addr),
    SAME_FIELD(GrantCacheFlush, gnttab_cache_flush, a.ref),
    SAME_FIELD(GrantCacheFlush, gnttab_cache_flush, offset),
    SAME_FIELD(GrantCacheFlush, gnttab_cache_flush, length),
    SAME_FIELD(GrantCacheFlush, gnttab_cache_flush, op),

    SAME_SIZE(MemoryReservation, xen_memory_reservation),
    SAME_FIELD(MemoryReservation, xen_memory_reservation, extent_start),
    SAME_FIELD(MemoryReservation, xen_memory_reservation, nr_extents),
    SAME_FIELD(MemoryReservation, xen_memory_reservation, extent_order),
    SAME_FIELD(MemoryReservation, xen_memory_reservation, mem_flags),
    SAME_FIELD(MemoryReservation, xen_memory_reservation, domid),

    SAME_SIZE(MemoryExchange, xen_memory_exchange),
    SAME_FIELD(MemoryExchange, xen_memory_exchange, in),
    SAME_FIELD(MemoryExchange, xen_memory_exchange, out),
    SAME_FIELD(MemoryExchange, xen_memory_exchange, nr_exchanged),

    SAME_SIZE(MemoryDomain, xen_memory_domain),
    SAME_FIELD(MemoryDomain, xen_memory_domain, domid),

    SAME_SIZE(MachphysMfnList, xen_machphys_mfn_list),
    SAME_FIELD(MachphysMfnList, xen_machphys_mfn_list, max_extents),
    SAME_FIELD(MachphysMfnList, xen_machphys_mfn_list, extent_start),
    SAME_FIELD(MachphysMfnList, xen_machphys_mfn_list, nr_extents),

    SAME_SIZE(MachphysMapping, xen_machphys_mapping),
    SAME_FIELD(MachphysMapping, xen_machphys_mapping, v_start),
    SAME_FIELD(MachphysMapping, xen_machphys_mapping, v_end),
    SAME_FIELD(MachphysMapping, xen_machphys_mapping, max_mfn),

    SAME_SIZE(AddToPhysmap, xen_add_to_physmap),
    SAME_FIELD(AddToPhysmap, xen_add_to_physmap, domid),
    SAME_FIELD(AddToPhysmap, xen_add_to_physmap, size),
    SAME_FIELD(AddToPhysmap, xen_add_to_physmap, space),
    SAME_FIELD(AddToPhysmap, xen_add_to_physmap, idx),
    SAME_FIELD(AddToPhysmap, xen_add_to_physmap, gpfn),

    SAME_SIZE(AddToPhysmapBatch, xen_add_to_physmap_batch),
    SAME_FIELD(AddToPhysmapBatch, xen_add_to_physmap_batch, domid),
    SAME_FIELD(AddToPhysmapBatch, xen_add_to_physmap_batch, space),
    SAME_FIELD(AddToPhysmapBatch, xen_add_to_physmap_batch, size),
    SAME_FIELD_AS(AddToPhysmapBatch, foreign_domid, xen_add_to_physmap_batch, u.foreign_domid),
    SAME_FIELD(AddToPhysmapBatch, xen_add_to_physmap_batch, idxs),
    SAME_FIELD(AddToPhysmapBatch, xen_add_to_physmap_batch, gpfns),
    SAME_FIELD(AddToPhysmapBatch, xen_add_to_physmap_batch, errs),

    SAME_SIZE(RemoveFromPhysmap, xen_remove_from_physmap),
    SAME_FIELD(RemoveFromPhysmap, xen_remove_from_physmap, domid),
    SAME_FIELD(RemoveFromPhysmap, xen_remove_from_physmap, gpfn),

    SAME_SIZE(MemoryMap, xen_memory_map),
    SAME_FIELD(MemoryMap, xen_memory_map, nr_entries),
    SAME_FIELD(MemoryMap, xen_memory_map, buffer),

    SAME_SIZE(ForeignMemoryMap, xen_foreign_memory_map),
    SAME_FIELD(ForeignMemoryMap, xen_foreign_memory_map, domid),
    SAME_FIELD(ForeignMemoryMap, xen_foreign_memory_map, map),

    SAME_SIZE(PodTarget, xen_pod_target),
    SAME_FIELD(PodTarget, xen_pod_target, target_pages),
    SAME_FIELD(PodTarget, xen_pod_target, tot_pages),
    SAME_FIELD(PodTarget, xen_pod_target, pod_cache_pages),
    SAME_FIELD(PodTarget, xen_pod_target, pod_entries),
    SAME_FIELD(PodTarget, xen_pod_target, domid),

    SAME_SIZE(ReservedDeviceMemory, xen_reserved_device_memory),
    SAME_FIELD(ReservedDeviceMemory, xen_reserved_device_memory, start_pfn),
    SAME_FIELD(ReservedDeviceMemory, xen_reserved_device_memory, nr_pages),

    SAME_SIZE(ReservedDeviceMemoryMap, xen_reserved_device_memory_map),
    SAME_FIELD(ReservedDeviceMemoryMap, xen_reserved_device_memory_map, flags),
    SAME_FIELD(ReservedDeviceMemoryMap, xen_reserved_device_memory_map, nr_entries),
    SAME_FIELD(ReservedDeviceMemoryMap, xen_reserved_device_memory_map, buffer),
    SAME_FIELD_AS(ReservedDeviceMemoryMap, pci, xen_reserved_device_memory_map, dev.pci),

    SAME_SIZE(AcquireResource, xen_mem_acquire_resource),
    SAME_FIELD(AcquireResource, xen_mem_acquire_resource, domid),
    SAME_FIELD(AcquireResource, xen_mem_acquire_resource, type),
    SAME_FIELD(AcquireResource, xen_mem_acquire_resource, id),
    SAME_FIELD(AcquireResource, xen_mem_acquire_resource, nr_frames),
    SAME_FIELD(AcquireResource, xen_mem_acquire_resource, frame),
    SAME_FIELD(AcquireResource, xen_mem_acquire_resource, frame_list),

    SAME_SIZE(VirtualMemoryRange, xen_vmemrange),
    SAME_FIELD(VirtualMemoryRange, xen_vmemrange, start),
    SAME_FIELD(VirtualMemoryRange, xen_vmemrange, end),
    SAME_FIELD(VirtualMemoryRange, xen_vmemrange, flags),
    SAME_FIELD(VirtualMemoryRange, xen_vmemrange, nid),

    SAME_SIZE(VirtualNumaTopology, xen_vnuma_topology_info),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, domid),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, nr_vnodes),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, nr_vcpus),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, nr_vmemranges),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, vdistance),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, vcpu_to_vnode),
    SAME_FIELD(VirtualNumaTopology, xen_vnuma_topology_info, vmemrange),

    SAME_SIZE(PhysdevEoi, physdev_eoi),
    SAME_FIELD(PhysdevEoi, physdev_eoi, irq),

    SAME_SIZE(PhysdevPirqEoiGmfn, physdev_pirq_eoi_gmfn),
    SAME_FIELD(PhysdevPirqEoiGmfn, physdev_pirq_eoi_gmfn, gmfn),

    SAME_SIZE(PhysdevIrqStatusQuery, physdev_irq_status_query),
    SAME_FIELD(PhysdevIrqStatusQuery, physdev_irq_status_query, irq),
    SAME_FIELD(PhysdevIrqStatusQuery, physdev_irq_status_query, flags),

    SAME_SIZE(PhysdevSetIopl, physdev_set_iopl),
    SAME_FIELD(PhysdevSetIopl, physdev_set_iopl, iopl),

    SAME_SIZE(PhysdevSetIobitmap, physdev_set_iobitmap),
    SAME_FIELD(PhysdevSetIobitmap, physdev_set_iobitmap, bitmap),
    SAME_FIELD(PhysdevSetIobitmap, physdev_set_iobitmap, nr_ports),

    SAME_SIZE(PhysdevApic, physdev_apic),
    SAME_FIELD(PhysdevApic, physdev_apic, apic_physbase),
    SAME_FIELD(PhysdevApic, physdev_apic, reg),
    SAME_FIELD(PhysdevApic, physdev_apic, value),

    SAME_SIZE(PhysdevIrq, physdev_irq),
    SAME_FIELD(PhysdevIrq, physdev_irq, irq),
    SAME_FIELD(PhysdevIrq, physdev_irq, vector),

    SAME_SIZE(PhysdevMapPirq, physdev_map_pirq),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, domid),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, type),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, index),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, pirq),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, bus),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, devfn),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, entry_nr),
    SAME_FIELD(PhysdevMapPirq, physdev_map_pirq, table_base),

    SAME_SIZE(PhysdevUnmapPirq, physdev_unmap_pirq),
    SAME_FIELD(PhysdevUnmapPirq, physdev_unmap_pirq, domid),
    SAME_FIELD(PhysdevUnmapPirq, physdev_unmap_pirq, pirq),

    SAME_SIZE(PhysdevManagePci, physdev_manage_pci),
    SAME_FIELD(PhysdevManagePci, physdev_manage_pci, bus),
    SAME_FIELD(PhysdevManagePci, physdev_manage_pci, devfn),

    SAME_SIZE(PhysdevRestoreMsi, physdev_restore_msi),
    SAME_FIELD(PhysdevRestoreMsi, physdev_restore_msi, bus),
    SAME_FIELD(PhysdevRestoreMsi, physdev_restore_msi, devfn),

    SAME_SIZE(PhysdevManagePciExt, physdev_manage_pci_ext),
    SAME_FIELD(PhysdevManagePciExt, physdev_manage_pci_ext, bus),
    SAME_FIELD(PhysdevManagePciExt, physdev_manage_pci_ext, devfn),
    SAME_FIELD(PhysdevManagePciExt, physdev_manage_pci_ext, is_extfn),
    SAME_FIELD(PhysdevManagePciExt, physdev_manage_pci_ext, is_virtfn),
    SAME_FIELD(PhysdevManagePciExt, physdev_manage_pci_ext, physfn),

    SAME_SIZE(PhysdevCompatOp, physdev_op),
    SAME_FIELD(PhysdevCompatOp, physdev_op, cmd),
    SAME_FIELD(PhysdevCompatOp, physdev_op, u.irq_status_query),
    SAME_FIELD(PhysdevCompatOp, physdev_op, u.set_iopl),
    SAME_FIELD(PhysdevCompatOp, physdev_op, u.set_iobitmap),
    SAME_FIELD(PhysdevCompatOp, physdev_op, u.apic_op),
    SAME_FIELD(PhysdevCompatOp, physdev_op, u.irq_op),

    SAME_SIZE(PhysdevSetupGsi, physdev_setup_gsi),
    SAME_FIELD(PhysdevSetupGsi, physdev_setup_gsi, gsi),
    SAME_FIELD(PhysdevSetupGsi, physdev_setup_gsi, triggering),
    SAME_FIELD(PhysdevSetupGsi, physdev_setup_gsi, polarity),

    SAME_SIZE(PhysdevGetFreePirq, physdev_get_free_pirq),
    SAME_FIELD(PhysdevGetFreePirq, physdev_get_free_pirq, type),
    SAME_FIELD(PhysdevGetFreePirq, physdev_get_free_pirq, pirq),

    SAME_SIZE(PhysdevPciMmcfgReserved, physdev_pci_mmcfg_reserved),
    SAME_FIELD(PhysdevPciMmcfgReserved, physdev_pci_mmcfg_reserved, address),
    SAME_FIELD(PhysdevPciMmcfgReserved, physdev_pci_mmcfg_reserved, segment),
    SAME_FIELD(PhysdevPciMmcfgReserved, physdev_pci_mmcfg_reserved, start_bus),
    SAME_FIELD(PhysdevPciMmcfgReserved, physdev_pci_mmcfg_reserved, end_bus),
    SAME_FIELD(PhysdevPciMmcfgReserved, physdev_pci_mmcfg_reserved, flags),

    SAME_SIZE(PhysdevPciDeviceAdd, physdev_pci_device_add),
    SAME_FIELD(PhysdevPciDeviceAdd, physdev_pci_device_add, seg),
    SAME_FIELD(PhysdevPciDeviceAdd, physdev_pci_device_add, bus),
    SAME_FIELD(PhysdevPciDeviceAdd, physdev_pci_device_add, devfn),
    SAME_FIELD(PhysdevPciDeviceAdd, physdev_pci_device_add, flags),
    SAME_FIELD(PhysdevPciDeviceAdd, physdev_pci_device_add, physfn),

    SAME_SIZE(PciDevice, physdev_pci_device),
    SAME_FIELD(PciDevice, physdev_pci_device, seg),
    SAME_FIELD(PciDevice, physdev_pci_device, bus),
    SAME_FIELD(PciDevice, physdev_pci_device, devfn),

    SAME_SIZE(PhysdevDbgpOp, physdev_dbgp_op),
    SAME_FIELD(PhysdevDbgpOp, physdev_dbgp_op, op),
    SAME_FIELD(PhysdevDbgpOp, physdev_dbgp_op, bus),
    SAME_FIELD_AS(PhysdevDbgpOp, pci, physdev_dbgp_op, u.pci),

    SAME_SIZE(XenstoreHeader, xsd_sockmsg),
    SAME_FIELD(XenstoreHeader, xsd_sockmsg, type),
    SAME_FIELD(XenstoreHeader, xsd_sockmsg, req_id),
    SAME_FIELD(XenstoreHeader, xsd_sockmsg, tx_id),
    SAME_FIELD(XenstoreHeader, xsd_sockmsg, len),

    SAME_SIZE(XenstoreRing, xenstore_domain_interface),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, req),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, rsp),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, req_cons),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, req_prod),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, rsp_cons),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, rsp_prod),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, server_features),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, connection),
    SAME_FIELD(XenstoreRing, xenstore_domain_interface, error),

    SAME_SIZE(TxRequest, netif_tx_request),
    SAME_FIELD(TxRequest, netif_tx_request, gref),
    SAME_FIELD(TxRequest, netif_tx_request, offset),
    SAME_FIELD(TxRequest, netif_tx_request, flags),
    SAME_FIELD(TxRequest, netif_tx_request, id),
    SAME_FIELD(TxRequest, netif_tx_request, size),

    SAME_SIZE(TxResponse, netif_tx_response),
    SAME_FIELD(TxResponse, netif_tx_response, id),
    SAME_FIELD(TxResponse, netif_tx_response, status),

    SAME_SIZE(RxRequest, netif_rx_request),
    SAME_FIELD(RxRequest, netif_rx_request, id),
    SAME_FIELD(RxRequest, netif_rx_request, pad),
    SAME_FIELD(RxRequest, netif_rx_request, gref),

    SAME_SIZE(RxResponse, netif_rx_response),
    SAME_FIELD(RxResponse, netif_rx_response, id),
    SAME_FIELD(RxResponse, netif_rx_response, offset),
    SAME_FIELD(RxResponse, netif_rx_response, flags),
    SAME_FIELD(RxResponse, netif_rx_response, status),

    SAME_SIZE(NetExtraGso, decltype(netif_extra_info::u.gso)),
    SAME_FIELD(NetExtraGso, decltype(netif_extra_info::u.gso), size),
    SAME_FIELD(NetExtraGso, decltype(netif_extra_info::u.gso), type),
    SAME_FIELD(NetExtraGso, decltype(netif_extra_info::u.gso), pad),
    SAME_FIELD(NetExtraGso, decltype(netif_extra_info::u.gso), features),

    SAME_SIZE(NetExtraMulticast, decltype(netif_extra_info::u.mcast)),
    SAME_FIELD(NetExtraMulticast, decltype(netif_extra_info::u.mcast), addr),

    SAME_SIZE(NetExtraHash, decltype(netif_extra_info::u.hash)),
    SAME_FIELD(NetExtraHash, decltype(netif_extra_info::u.hash), type),
    SAME_FIELD(NetExtraHash, decltype(netif_extra_info::u.hash), algorithm),
    SAME_FIELD(NetExtraHash, decltype(netif_extra_info::u.hash), value),

    SAME_SIZE(NetExtraInfo, netif_extra_info),
    SAME_FIELD(NetExtraInfo, netif_extra_info, type),
    SAME_FIELD(NetExtraInfo, netif_extra_info, flags),
    SAME_FIELD(NetExtraInfo, netif_extra_info, u.gso),
    SAME_FIELD(NetExtraInfo, netif_extra_info, u.mcast),
    SAME_FIELD(NetExtraInfo, netif_extra_info, u.hash),
    SAME_FIELD(NetExtraInfo, netif_extra_info, u.pad),

    SAME_SIZE(NetControlRequest, xen_netif_ctrl_request),
    SAME_FIELD(NetControlRequest, xen_netif_ctrl_request, id),
    SAME_FIELD(NetControlRequest, xen_netif_ctrl_request, type),
    SAME_FIELD(NetControlRequest, xen_netif_ctrl_request, data),

    SAME_SIZE(NetControlResponse, xen_netif_ctrl_response),
    SAME_FIELD(NetControlResponse, xen_netif_ctrl_response, id),
    SAME_FIELD(NetControlResponse, xen_netif_ctrl_response, type),
    SAME_FIELD(NetControlResponse, xen_netif_ctrl_response, status),
    SAME_FIELD(NetControlResponse, xen_netif_ctrl_response, data),

    SAME_SIZE(NetGref, xen_netif_gref),
    SAME_FIELD(NetGref, xen_netif_gref, ref),
    SAME_FIELD(NetGref, xen_netif_gref, flags),
    SAME_FIELD(NetGref, xen_netif_gref, status),

    SAME_SIZE(ConsoleRing, xencons_interface),
    SAME_FIELD(ConsoleRing, xencons_interface, in),
    SAME_FIELD(ConsoleRing, xencons_interface, out),
    SAME_FIELD(ConsoleRing, xencons_interface, in_cons),
    SAME_FIELD(ConsoleRing, xencons_interface, in_prod),
    SAME_FIELD(ConsoleRing, xencons_interface, out_cons),
    SAME_FIELD(ConsoleRing, xencons_interface, out_prod),
};
// clang-format on

TEST(ServiceLayout, AgreesWithPublicHeaders) {
    expect_equal(kComparisons);
}

}  // namespace
