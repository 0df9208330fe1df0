#include "guest_abi/peer_headers.h"

// Layout of platform_op.
// Columns: this project's name, then the public header's. The rows are data: one per structure or field.

namespace {

using namespace torii;

// clang-format off
constexpr Comparison kComparisons[] = {
    SAME_SIZE(PlatformSettime32, xenpf_settime32),
    SAME_FIELD(PlatformSettime32, xenpf_settime32, secs),
    SAME_FIELD(PlatformSettime32, xenpf_settime32, nsecs),
    SAME_FIELD(PlatformSettime32, xenpf_settime32, system_time),

    SAME_SIZE(PlatformSettime64, xenpf_settime64),
    SAME_FIELD(PlatformSettime64, xenpf_settime64, secs),
    SAME_FIELD(PlatformSettime64, xenpf_settime64, nsecs),
    SAME_FIELD(PlatformSettime64, xenpf_settime64, mbz),
    SAME_FIELD(PlatformSettime64, xenpf_settime64, system_time),

    SAME_SIZE(PlatformAddMemtype, xenpf_add_memtype),
    SAME_FIELD(PlatformAddMemtype, xenpf_add_memtype, mfn),
    SAME_FIELD(PlatformAddMemtype, xenpf_add_memtype, nr_mfns),
    SAME_FIELD(PlatformAddMemtype, xenpf_add_memtype, type),
    SAME_FIELD(PlatformAddMemtype, xenpf_add_memtype, handle),
    SAME_FIELD(PlatformAddMemtype, xenpf_add_memtype, reg),

    SAME_SIZE(PlatformDelMemtype, xenpf_del_memtype),
    SAME_FIELD(PlatformDelMemtype, xenpf_del_memtype, handle),
    SAME_FIELD(PlatformDelMemtype, xenpf_del_memtype, reg),

    SAME_SIZE(PlatformReadMemtype, xenpf_read_memtype),
    SAME_FIELD(PlatformReadMemtype, xenpf_read_memtype, reg),
    SAME_FIELD(PlatformReadMemtype, xenpf_read_memtype, mfn),
    SAME_FIELD(PlatformReadMemtype, xenpf_read_memtype, nr_mfns),
    SAME_FIELD(PlatformReadMemtype, xenpf_read_memtype, type),

    SAME_SIZE(PlatformMicrocodeUpdate, xenpf_microcode_update),
    SAME_FIELD(PlatformMicrocodeUpdate, xenpf_microcode_update, data),
    SAME_FIELD(PlatformMicrocodeUpdate, xenpf_microcode_update, length),

    SAME_SIZE(PlatformQuirk, xenpf_platform_quirk),
    SAME_FIELD(PlatformQuirk, xenpf_platform_quirk, quirk_id),

    SAME_SIZE(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info)),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), device),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), version),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), interface_support),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), legacy_max_cylinder),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), legacy_max_head),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), legacy_sectors_per_track),
    SAME_FIELD(FirmwareDiskInfo, decltype(xenpf_firmware_info::u.disk_info), edd_params),

    SAME_SIZE(FirmwareDiskMbrSignature, decltype(xenpf_firmware_info::u.disk_mbr_signature)),
    SAME_FIELD(FirmwareDiskMbrSignature, decltype(xenpf_firmware_info::u.disk_mbr_signature), device),
    SAME_FIELD(FirmwareDiskMbrSignature, decltype(xenpf_firmware_info::u.disk_mbr_signature), mbr_signature),

    SAME_SIZE(FirmwareVbeddcInfo, decltype(xenpf_firmware_info::u.vbeddc_info)),
    SAME_FIELD(FirmwareVbeddcInfo, decltype(xenpf_firmware_info::u.vbeddc_info), capabilities),
    SAME_FIELD(FirmwareVbeddcInfo, decltype(xenpf_firmware_info::u.vbeddc_info), edid_transfer_time),
    SAME_FIELD(FirmwareVbeddcInfo, decltype(xenpf_firmware_info::u.vbeddc_info), edid),

    SAME_SIZE(FirmwareEfiConfigTable, decltype(XenEfiInfo::cfg)),
    SAME_FIELD(FirmwareEfiConfigTable, decltype(XenEfiInfo::cfg), addr),
    SAME_FIELD(FirmwareEfiConfigTable, decltype(XenEfiInfo::cfg), nent),

    SAME_SIZE(FirmwareEfiVendor, decltype(XenEfiInfo::vendor)),
    SAME_FIELD(FirmwareEfiVendor, decltype(XenEfiInfo::vendor), revision),
    SAME_FIELD(FirmwareEfiVendor, decltype(XenEfiInfo::vendor), bufsz),
    SAME_FIELD(FirmwareEfiVendor, decltype(XenEfiInfo::vendor), name),

    SAME_SIZE(FirmwareEfiMemory, decltype(XenEfiInfo::mem)),
    SAME_FIELD(FirmwareEfiMemory, decltype(XenEfiInfo::mem), addr),
    SAME_FIELD(FirmwareEfiMemory, decltype(XenEfiInfo::mem), size),
    SAME_FIELD(FirmwareEfiMemory, decltype(XenEfiInfo::mem), attr),
    SAME_FIELD(FirmwareEfiMemory, decltype(XenEfiInfo::mem), type),

    SAME_SIZE(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom)),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), segment),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), bus),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), devfn),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), vendor),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), devid),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), address),
    SAME_FIELD(FirmwareEfiPciRom, decltype(XenEfiInfo::pci_rom), size),

    SAME_SIZE(FirmwareEfiAppleProperties, decltype(XenEfiInfo::apple_properties)),
    SAME_FIELD(FirmwareEfiAppleProperties, decltype(XenEfiInfo::apple_properties), address),
    SAME_FIELD(FirmwareEfiAppleProperties, decltype(XenEfiInfo::apple_properties), size),

    SAME_SIZE(FirmwareEfiInfo, XenEfiInfo),
    SAME_FIELD(FirmwareEfiInfo, XenEfiInfo, version),
    SAME_FIELD(FirmwareEfiInfo, XenEfiInfo, cfg),
    SAME_FIELD(FirmwareEfiInfo, XenEfiInfo, vendor),
    SAME_FIELD(FirmwareEfiInfo, XenEfiInfo, mem),
    SAME_FIELD(FirmwareEfiInfo, XenEfiInfo, pci_rom),
    SAME_FIELD(FirmwareEfiInfo, XenEfiInfo, apple_properties),

    SAME_SIZE(PlatformFirmwareInfo, xenpf_firmware_info),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, type),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, index),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, u.disk_info),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, u.disk_mbr_signature),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, u.vbeddc_info),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, u.efi_info),
    SAME_FIELD(PlatformFirmwareInfo, xenpf_firmware_info, u.kbd_shift_flags),

    SAME_SIZE(PlatformEnterAcpiSleep, xenpf_enter_acpi_sleep),
    SAME_FIELD(PlatformEnterAcpiSleep, xenpf_enter_acpi_sleep, val_a),
    SAME_FIELD(PlatformEnterAcpiSleep, xenpf_enter_acpi_sleep, val_b),
    SAME_FIELD(PlatformEnterAcpiSleep, xenpf_enter_acpi_sleep, sleep_state),
    SAME_FIELD(PlatformEnterAcpiSleep, xenpf_enter_acpi_sleep, flags),

    SAME_SIZE(PlatformChangeFreq, xenpf_change_freq),
    SAME_FIELD(PlatformChangeFreq, xenpf_change_freq, flags),
    SAME_FIELD(PlatformChangeFreq, xenpf_change_freq, cpu),
    SAME_FIELD(PlatformChangeFreq, xenpf_change_freq, freq),

    SAME_SIZE(PlatformGetidletime, xenpf_getidletime),
    SAME_FIELD(PlatformGetidletime, xenpf_getidletime, cpumap_bitmap),
    SAME_FIELD(PlatformGetidletime, xenpf_getidletime, cpumap_nr_cpus),
    SAME_FIELD(PlatformGetidletime, xenpf_getidletime, idletime),
    SAME_FIELD(PlatformGetidletime, xenpf_getidletime, now),

    SAME_SIZE(PowerRegister, xen_power_register),
    SAME_FIELD(PowerRegister, xen_power_register, space_id),
    SAME_FIELD(PowerRegister, xen_power_register, bit_width),
    SAME_FIELD(PowerRegister, xen_power_register, bit_offset),
    SAME_FIELD(PowerRegister, xen_power_register, access_size),
    SAME_FIELD(PowerRegister, xen_power_register, address),

    SAME_SIZE(ProcessorCsd, xen_processor_csd),
    SAME_FIELD(ProcessorCsd, xen_processor_csd, domain),
    SAME_FIELD(ProcessorCsd, xen_processor_csd, coord_type),
    SAME_FIELD(ProcessorCsd, xen_processor_csd, num),

    SAME_SIZE(ProcessorCx, xen_processor_cx),
    SAME_FIELD(ProcessorCx, xen_processor_cx, reg),
    SAME_FIELD(ProcessorCx, xen_processor_cx, type),
    SAME_FIELD(ProcessorCx, xen_processor_cx, latency),
    SAME_FIELD(ProcessorCx, xen_processor_cx, power),
    SAME_FIELD(ProcessorCx, xen_processor_cx, dpcnt),
    SAME_FIELD(ProcessorCx, xen_processor_cx, dp),

    SAME_SIZE(ProcessorPower, xen_processor_power),
    SAME_FIELD(ProcessorPower, xen_processor_power, count),
    SAME_FIELD(ProcessorPower, xen_processor_power, flags),
    SAME_FIELD(ProcessorPower, xen_processor_power, states),

    SAME_SIZE(PctRegister, xen_pct_register),
    SAME_FIELD(PctRegister, xen_pct_register, descriptor),
    SAME_FIELD(PctRegister, xen_pct_register, length),
    SAME_FIELD(PctRegister, xen_pct_register, space_id),
    SAME_FIELD(PctRegister, xen_pct_register, bit_width),
    SAME_FIELD(PctRegister, xen_pct_register, bit_offset),
    SAME_FIELD(PctRegister, xen_pct_register, reserved),
    SAME_FIELD(PctRegister, xen_pct_register, address),

    SAME_SIZE(ProcessorPx, xen_processor_px),
    SAME_FIELD(ProcessorPx, xen_processor_px, core_frequency),
    SAME_FIELD(ProcessorPx, xen_processor_px, power),
    SAME_FIELD(ProcessorPx, xen_processor_px, transition_latency),
    SAME_FIELD(ProcessorPx, xen_processor_px, bus_master_latency),
    SAME_FIELD(ProcessorPx, xen_processor_px, control),
    SAME_FIELD(ProcessorPx, xen_processor_px, status),

    SAME_SIZE(PsdPackage, xen_psd_package),
    SAME_FIELD(PsdPackage, xen_psd_package, num_entries),
    SAME_FIELD(PsdPackage, xen_psd_package, revision),
    SAME_FIELD(PsdPackage, xen_psd_package, domain),
    SAME_FIELD(PsdPackage, xen_psd_package, coord_type),
    SAME_FIELD(PsdPackage, xen_psd_package, num_processors),

    SAME_SIZE(ProcessorPerformance, xen_processor_performance),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, flags),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, platform_limit),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, control_register),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, status_register),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, state_count),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, states),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, domain_info),
    SAME_FIELD(ProcessorPerformance, xen_processor_performance, shared_type),

    SAME_SIZE(PlatformSetProcessorPminfo, xenpf_set_processor_pminfo),
    SAME_FIELD(PlatformSetProcessorPminfo, xenpf_set_processor_pminfo, id),
    SAME_FIELD(PlatformSetProcessorPminfo, xenpf_set_processor_pminfo, type),
    SAME_FIELD(PlatformSetProcessorPminfo, xenpf_set_processor_pminfo, u.power),
    SAME_FIELD(PlatformSetProcessorPminfo, xenpf_set_processor_pminfo, u.perf),
    SAME_FIELD(PlatformSetProcessorPminfo, xenpf_set_processor_pminfo, u.pdc),

    SAME_SIZE(PlatformCpuinfo, xenpf_pcpuinfo),
    SAME_FIELD(PlatformCpuinfo, xenpf_pcpuinfo, xen_cpuid),
    SAME_FIELD(PlatformCpuinfo, xenpf_pcpuinfo, max_present),
    SAME_FIELD(PlatformCpuinfo, xenpf_pcpuinfo, flags),
    SAME_FIELD(PlatformCpuinfo, xenpf_pcpuinfo, apic_id),
    SAME_FIELD(PlatformCpuinfo, xenpf_pcpuinfo, acpi_id),

    SAME_SIZE(PlatformCpuVersion, xenpf_pcpu_version),
    SAME_FIELD(PlatformCpuVersion, xenpf_pcpu_version, xen_cpuid),
    SAME_FIELD(PlatformCpuVersion, xenpf_pcpu_version, max_present),
    SAME_FIELD(PlatformCpuVersion, xenpf_pcpu_version, vendor_id),
    SAME_FIELD(PlatformCpuVersion, xenpf_pcpu_version, family),
    SAME_FIELD(PlatformCpuVersion, xenpf_pcpu_version, model),
    SAME_FIELD(PlatformCpuVersion, xenpf_pcpu_version, stepping),

    SAME_SIZE(PlatformCpuOnline, xenpf_cpu_ol),
    SAME_FIELD(PlatformCpuOnline, xenpf_cpu_ol, cpuid),

    SAME_SIZE(PlatformCpuHotadd, xenpf_cpu_hotadd),
    SAME_FIELD(PlatformCpuHotadd, xenpf_cpu_hotadd, apic_id),
    SAME_FIELD(PlatformCpuHotadd, xenpf_cpu_hotadd, acpi_id),
    SAME_FIELD(PlatformCpuHotadd, xenpf_cpu_hotadd, pxm),

    SAME_SIZE(PlatformMemHotadd, xenpf_mem_hotadd),
    SAME_FIELD(PlatformMemHotadd, xenpf_mem_hotadd, spfn),
    SAME_FIELD(PlatformMemHotadd, xenpf_mem_hotadd, epfn),
    SAME_FIELD(PlatformMemHotadd, xenpf_mem_hotadd, pxm),
    SAME_FIELD(PlatformMemHotadd, xenpf_mem_hotadd, flags),

    SAME_SIZE(PlatformCoreParking, xenpf_core_parking),
    SAME_FIELD(PlatformCoreParking, xenpf_core_parking, type),
    SAME_FIELD(PlatformCoreParking, xenpf_core_parking, idle_nums),

    SAME_SIZE(PlatformResourceEntry, xenpf_resource_entry),
    SAME_FIELD(PlatformResourceEntry, xenpf_resource_entry, u.cmd),
    SAME_FIELD(PlatformResourceEntry, xenpf_resource_entry, u.ret),
    SAME_FIELD_AS(PlatformResourceEntry, reserved, xenpf_resource_entry, rsvd),
    SAME_FIELD(PlatformResourceEntry, xenpf_resource_entry, idx),
    SAME_FIELD(PlatformResourceEntry, xenpf_resource_entry, val),

    SAME_SIZE(PlatformResourceOp, xenpf_resource_op),
    SAME_FIELD(PlatformResourceOp, xenpf_resource_op, nr_entries),
    SAME_FIELD(PlatformResourceOp, xenpf_resource_op, cpu),
    SAME_FIELD(PlatformResourceOp, xenpf_resource_op, entries),

    SAME_SIZE(PlatformSymbol, xenpf_symdata),
    SAME_FIELD(PlatformSymbol, xenpf_symdata, namelen),
    SAME_FIELD(PlatformSymbol, xenpf_symdata, symnum),
    SAME_FIELD(PlatformSymbol, xenpf_symdata, name),
    SAME_FIELD(PlatformSymbol, xenpf_symdata, address),
    SAME_FIELD(PlatformSymbol, xenpf_symdata, type),

    SAME_SIZE(PlatformOp, xen_platform_op),
    SAME_FIELD(PlatformOp, xen_platform_op, cmd),
    SAME_FIELD(PlatformOp, xen_platform_op, interface_version),
    SAME_FIELD(PlatformOp, xen_platform_op, u.settime32),
    SAME_FIELD(PlatformOp, xen_platform_op, u.settime64),
    SAME_FIELD(PlatformOp, xen_platform_op, u.add_memtype),
    SAME_FIELD(PlatformOp, xen_platform_op, u.del_memtype),
    SAME_FIELD(PlatformOp, xen_platform_op, u.read_memtype),
    SAME_FIELD(PlatformOp, xen_platform_op, u.microcode),
    SAME_FIELD(PlatformOp, xen_platform_op, u.platform_quirk),
    SAME_FIELD(PlatformOp, xen_platform_op, u.firmware_info),
    SAME_FIELD(PlatformOp, xen_platform_op, u.enter_acpi_sleep),
    SAME_FIELD(PlatformOp, xen_platform_op, u.change_freq),
    SAME_FIELD(PlatformOp, xen_platform_op, u.getidletime),
    SAME_FIELD(PlatformOp, xen_platform_op, u.set_pminfo),
    SAME_FIELD(PlatformOp, xen_platform_op, u.pcpu_info),
    SAME_FIELD(PlatformOp, xen_platform_op, u.pcpu_version),
    SAME_FIELD(PlatformOp, xen_platform_op, u.cpu_ol),
    SAME_FIELD(PlatformOp, xen_platform_op, u.cpu_add),
    SAME_FIELD(PlatformOp, xen_platform_op, u.mem_add),
    SAME_FIELD(PlatformOp, xen_platform_op, u.core_parking),
    SAME_FIELD(PlatformOp, xen_platform_op, u.resource_op),
    SAME_FIELD(PlatformOp, xen_platform_op, u.symdata),
    SAME_FIELD(PlatformOp, xen_platform_op, u.pad),
};
// clang-format on

TEST(PlatformLayout, AgreesWithPublicHeaders) {
    expect_equal(kComparisons);
}

}  // namespace
