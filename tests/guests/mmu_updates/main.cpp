// mmu_update.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr unsigned kSlot = 5;

int64_t update(uint64_t machine_address, uint64_t value,
               abi::MmuUpdateType type = abi::MmuUpdateType::kNormalPtUpdate) {
    const abi::MmuUpdate request{machine_address | static_cast<uint64_t>(type), value};
    return mmu_update(&request, 1);
}

uint64_t read_at(uint64_t address) {
    return *reinterpret_cast<volatile uint64_t*>(address);
}

// The frame that holds the beginning of the M2P: the hypervisor's, and known to every guest that may ask.
uint64_t hypervisor_frame() {
    uint64_t frame = 0;
    abi::MachphysMfnList list{1, 0, {virtual_address(&frame)}, 0, 0};
    return memory_op(abi::MemoryOp::kMachphysMfnList, list) == 0 ? frame : 0;
}

}  // namespace

GUEST_TEST(mmu_update_map, "An L1 entry can be filled, changed and cleared") {
    Page* first = allocate_page();
    Page* second = allocate_page();
    first->words[0] = 1;
    second->words[0] = 2;
    ScratchMapping mapping = make_scratch_mapping(kSlot, make_entry(mfn_of(first), kPtePage));
    const uint64_t entry = machine_address_of(&mapping.l1->words[0]);
    CHECK_EQUAL(read_at(mapping.address), 1u);
    CHECK_SUCCEEDS(update(entry, make_entry(mfn_of(second), kPtePage)));
    abi::MmuextOp flush{};
    flush.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kInvlpgLocal);
    flush.arg1.linear_addr = mapping.address;
    CHECK_SUCCEEDS(mmuext_op(&flush, 1));
    CHECK_EQUAL(read_at(mapping.address), 2u);
    CHECK_SUCCEEDS(update(entry, 0));
    CHECK_SUCCEEDS(mmuext_op(&flush, 1));
    CHECK(catch_trap([&] { read_at(mapping.address); }).is(kVectorPageFault));
    drop_scratch_mapping(mapping);
    free_page(first);
    free_page(second);
}

GUEST_TEST(mmu_update_refused, "Frames of others are refused and the entry keeps what it had") {
    Page* page = allocate_page();
    ScratchMapping mapping = make_scratch_mapping(kSlot, make_entry(mfn_of(page), kPtePage));
    const uint64_t before = mapping.l1->words[0];
    const uint64_t entry = machine_address_of(&mapping.l1->words[0]);
    const uint64_t foreign = hypervisor_frame();
    CHECK(foreign != 0);
    CHECK_FAILS(update(entry, make_entry(foreign, kPtePage)), kEBUSY);
    CHECK_FAILS(update(entry, make_entry(foreign, kPteReadOnlyPage)), kEBUSY);
    CHECK_EQUAL(mapping.l1->words[0] & ~(kPteAccessed | kPteDirty), before & ~(kPteAccessed | kPteDirty));
    drop_scratch_mapping(mapping);
    free_page(page);
}

GUEST_TEST(mmu_update_wrong_pointer,
           "Pointers into frames that are not ours, or beyond memory, are refused") {
    CHECK_FAILS(update(hypervisor_frame() * abi::kPageSize, 0), kEINVAL);
    CHECK_FAILS(update(0xFFFF'FFFF'F000, 0), kEINVAL);
}

GUEST_TEST(mmu_update_data_page, "An update of a page that is no page table is an ordinary write") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(update(machine_address_of(&page->words[3]), 0x1234'5678'9ABC));
    CHECK_EQUAL(page->words[3], 0x1234'5678'9ABCu);
    free_page(page);
}

GUEST_TEST(mmu_update_batch, "A batch stops at its first refusal and counts what was done") {
    Page* page = allocate_page();
    ScratchMapping mapping = make_scratch_mapping(kSlot, 0);
    const uint64_t good = make_entry(mfn_of(page), kPtePage);
    const abi::MmuUpdate requests[] = {
        {machine_address_of(&mapping.l1->words[0]), good},
        {machine_address_of(&mapping.l1->words[1]), make_entry(hypervisor_frame(), kPtePage)},
        {machine_address_of(&mapping.l1->words[2]), good},
    };
    uint32_t done = 77;
    CHECK_FAILS(mmu_update(requests, 3, &done), kEBUSY);
    CHECK_EQUAL(done, 1u);
    CHECK((mapping.l1->words[0] & kPtePresent) != 0);
    CHECK_EQUAL(mapping.l1->words[1], 0u);
    CHECK_EQUAL(mapping.l1->words[2], 0u);
    drop_scratch_mapping(mapping);
    free_page(page);
}

GUEST_TEST(mmu_update_preserve, "The preserving update keeps accessed and dirty bits that the CPU has set") {
    Page* page = allocate_page();
    ScratchMapping mapping = make_scratch_mapping(kSlot, make_entry(mfn_of(page), kPtePage));
    *reinterpret_cast<volatile uint64_t*>(mapping.address) = 5;
    const uint64_t entry = machine_address_of(&mapping.l1->words[0]);
    const uint64_t clean = make_entry(mfn_of(page), kPtePresent | kPteUser);
    CHECK_SUCCEEDS(update(entry, clean, abi::MmuUpdateType::kPtUpdatePreserveAd));
    CHECK_EQUAL(mapping.l1->words[0] & (kPteAccessed | kPteDirty | kPteWritable), kPteAccessed | kPteDirty);
    CHECK_SUCCEEDS(update(entry, clean));
    CHECK_EQUAL(mapping.l1->words[0] & (kPteAccessed | kPteDirty), 0u);
    drop_scratch_mapping(mapping);
    free_page(page);
}

GUEST_TEST(mmu_update_machphys, "The M2P entry of our own frame can be set, others' not") {
    Page* page = allocate_page();
    const uint64_t mfn = mfn_of(page);
    const uint64_t pfn = pfn_of(page);
    CHECK_SUCCEEDS(update(mfn * abi::kPageSize, pfn + 1, abi::MmuUpdateType::kMachphysUpdate));
    CHECK_EQUAL(pfn_of_mfn(mfn), pfn + 1);
    CHECK_SUCCEEDS(update(mfn * abi::kPageSize, pfn, abi::MmuUpdateType::kMachphysUpdate));
    CHECK_EQUAL(pfn_of_mfn(mfn), pfn);
    CHECK_FAILS(update(hypervisor_frame() * abi::kPageSize, 1, abi::MmuUpdateType::kMachphysUpdate), kEINVAL);
    free_page(page);
}

GUEST_TEST(mmu_update_domains, "Unknown domains are refused, none means nothing to do") {
    Page* page = allocate_page();
    const abi::MmuUpdate request{machine_address_of(&page->words[0]), 1};
    CHECK_FAILS(mmu_update(&request, 1, nullptr, 0x7000), kESRCH);
    CHECK_EQUAL(page->words[0], 0u);
    CHECK_SUCCEEDS(mmu_update(&request, 0));
    CHECK_EQUAL(page->words[0], 0u);
    free_page(page);
}
