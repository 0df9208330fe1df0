// What a 64-bit PV kernel finds at its entry.

#include <torii/abi/mmu.h>
#include <torii/guest/cpu.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

GUEST_TEST(start_info_fields, "The start info page says what it must") {
    const abi::StartInfo& info = start_info();
    CHECK(std::string_view(info.magic).starts_with("xen-3.0-x86_64"));
    CHECK(info.nr_pages > 1024);
    CHECK_EQUAL(info.shared_info % abi::kPageSize, 0u);
    CHECK_EQUAL(info.pt_base % abi::kPageSize, 0u);
    CHECK(info.nr_pt_frames >= 4);
    CHECK(info.mfn_list % abi::kPageSize == 0 && info.mfn_list >= virtual_base());
    if (is_control_domain()) {
        CHECK((info.flags & abi::kStartPrivileged) != 0);
    } else {
        CHECK(info.store_mfn != 0 && info.store_evtchn != 0);
        CHECK(info.console.dom_u.mfn != 0 && info.console.dom_u.evtchn != 0);
    }
}

GUEST_TEST(start_p2m_and_m2p, "P2M and M2P are inverse for every frame of ours") {
    for (uint64_t pfn = 0; pfn < start_info().nr_pages; ++pfn) {
        if (pfn_of_mfn(mfn_of_pfn(pfn)) != pfn) {
            error("frame {x} is mfn {x}, whose pfn is {x}", pfn, mfn_of_pfn(pfn),
                  pfn_of_mfn(mfn_of_pfn(pfn)));
            CHECK_EQUAL(pfn_of_mfn(mfn_of_pfn(pfn)), pfn);
            return;
        }
    }
}

GUEST_TEST(start_mapping, "The initial mapping is linear, page tables in it are read-only") {
    const uint64_t tables = (start_info().pt_base - virtual_base()) / abi::kPageSize;
    const uint64_t end = tables + start_info().nr_pt_frames;
    uint64_t replaced = 0;
    for (uint64_t pfn = 0; pfn < end; ++pfn) {
        const uint64_t* entry = table_entry(virtual_base() + pfn * abi::kPageSize, 1);
        if (!CHECK(entry != nullptr)) return;
        if ((*entry & kPteFrameMask) / abi::kPageSize != mfn_of_pfn(pfn)) {
            // The kit itself has put shared info and perhaps the grant table in the place of pages of its
            // own.
            if (!CHECK(++replaced <= 2)) return;
            continue;
        }
        const bool writable = (*entry & kPteWritable) != 0;
        if (!CHECK_EQUAL(writable, pfn < tables)) return;
    }
}

GUEST_TEST(start_slack, "At least 512 KiB follow the page tables, up to a 4 MiB border") {
    const uint64_t end_of_tables = start_info().pt_base + start_info().nr_pt_frames * abi::kPageSize;
    const uint64_t* last = table_entry(end_of_tables + 0x7'F000, 1);
    CHECK(last != nullptr && (*last & (kPtePresent | kPteWritable)) == (kPtePresent | kPteWritable));
}

GUEST_TEST(start_registers, "Flat selectors, direction up, upcalls masked at the entry") {
    // The kit has changed nothing of these yet.
    CHECK_EQUAL(read_cs() & 3, 3);
    CHECK_EQUAL(read_cs() & ~3, abi::kFlatRing3Cs64 & ~3);
    CHECK_EQUAL(vcpu_info().evtchn_upcall_mask, 1);
    CHECK_EQUAL(read_flags() & 0x400, 0u);
}

GUEST_TEST(start_hypervisor_slots,
           "The hypervisor's slots are filled in our top-level table and lead nowhere we may write") {
    CHECK((boot_l4()->words[abi::kHypervisorFirstL4Slot] & kPtePresent) != 0);
    const Caught write =
        catch_trap([] { *reinterpret_cast<volatile uint64_t*>(abi::kMachineToPhysVirtStart) = 1; });
    CHECK(write.is(kVectorPageFault));
    const Caught read = catch_trap(
        [] { (void)*reinterpret_cast<volatile uint64_t*>(abi::kHypervisorVirtEnd - abi::kPageSize); });
    CHECK(read.is(kVectorPageFault));
}
