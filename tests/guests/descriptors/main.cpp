// Descriptor tables: set_gdt, update_descriptor, the LDT.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/traps.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

// 32-bit flat data, ring 3, accessed.
constexpr uint64_t kFlatData = 0x00CF'F300'0000'FFFF;

int64_t set_gdt(const uint64_t* frames, uint64_t entries) {
    return hypercall(abi::Hypercall::kSetGdt, frames, entries);
}
int64_t update_descriptor(uint64_t machine_address, uint64_t descriptor) {
    return hypercall(abi::Hypercall::kUpdateDescriptor, machine_address, descriptor);
}

bool loads(uint16_t selector) {
    return !catch_trap([&] {
                asm volatile("mov %0, %%es; mov %1, %%es" : : "r"(selector), "r"(uint16_t{0}));
            }).happened;
}

}  // namespace

GUEST_TEST(gdt_of_ours, "A read-only page becomes a GDT, its selectors load, and it can be taken away") {
    Page* page = allocate_page();
    page->words[3] = kFlatData;
    CHECK_SUCCEEDS(map_read_only(page));
    const uint64_t frame = mfn_of(page);
    CHECK_SUCCEEDS(set_gdt(&frame, 512));
    CHECK(loads(3 * 8 + 3));
    CHECK(!loads(4 * 8 + 3));
    CHECK_FAILS(map_writable(page), kEBUSY);
    CHECK_SUCCEEDS(update_descriptor(machine_address_of(&page->words[4]), kFlatData));
    CHECK(loads(4 * 8 + 3));
    CHECK_SUCCEEDS(set_gdt(nullptr, 0));
    CHECK(!loads(3 * 8 + 3));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(gdt_refused, "Pages with unsafe descriptors, page tables and too many entries are refused") {
    Page* page = allocate_page();
    page->words[3] = 0x0020'8900'0000'0000;  // an available 64-bit TSS
    CHECK_SUCCEEDS(map_read_only(page));
    uint64_t frame = mfn_of(page);
    CHECK_FAILS(set_gdt(&frame, 512), kEINVAL);
    CHECK_SUCCEEDS(map_writable(page));
    frame = mfn_of(boot_l4());
    CHECK_FAILS(set_gdt(&frame, 512), kEINVAL);
    CHECK_FAILS(set_gdt(&frame, abi::kFirstReservedGdtEntry + 1), kEINVAL);
    frame = uint64_t{1} << 40;
    CHECK_FAILS(set_gdt(&frame, 512), kEINVAL);
    page->words[3] = 0;
    free_page(page);
}

GUEST_TEST(descriptor_refused,
           "Gates, TSSs and the hypervisor's rings are refused in a live table, which stays as it was") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    const uint64_t frame = mfn_of(page);
    CHECK_SUCCEEDS(set_gdt(&frame, 512));
    const uint64_t address = machine_address_of(&page->words[5]);
    for (const uint64_t bad : {uint64_t{0x0020'8900'0000'0000},     // TSS
                               uint64_t{0x0000'EC00'E008'0000},     // call gate
                               uint64_t{0x0000'8200'0000'0000}}) {  // LDT
        CHECK_FAILS(update_descriptor(address, bad), kEINVAL);
    }
    CHECK_EQUAL(const_cast<volatile Page*>(page)->words[5], 0u);
    CHECK_FAILS(update_descriptor(uint64_t{1} << 52, kFlatData), kEINVAL);
    CHECK_SUCCEEDS(set_gdt(nullptr, 0));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(descriptor_ring_forced, "A descriptor for ring 0 is refused or made one for ring 3") {
    Page* page = allocate_page();
    CHECK_SUCCEEDS(map_read_only(page));
    const uint64_t frame = mfn_of(page);
    CHECK_SUCCEEDS(set_gdt(&frame, 512));
    constexpr uint64_t kRing0Code = 0x00AF'9B00'0000'FFFF;
    const int64_t result = update_descriptor(machine_address_of(&page->words[6]), kRing0Code);
    if (result == 0) CHECK_EQUAL(page->words[6] >> 45 & 3, 3u);
    CHECK_SUCCEEDS(set_gdt(nullptr, 0));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(ldt, "An LDT of ours is loaded upon first use and taken away") {
    Page* page = allocate_page();
    page->words[2] = kFlatData;
    CHECK_SUCCEEDS(map_read_only(page));
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kSetLdt);
    op.arg1.linear_addr = virtual_address(page);
    op.arg2.nr_ents = 16;
    CHECK_SUCCEEDS(mmuext_op(&op, 1));
    CHECK(loads(2 * 8 + 7));
    CHECK(!loads(3 * 8 + 7));
    op.arg1.linear_addr = 0;
    op.arg2.nr_ents = 0;
    CHECK_SUCCEEDS(mmuext_op(&op, 1));
    CHECK(!loads(2 * 8 + 7));
    CHECK_SUCCEEDS(map_writable(page));
    free_page(page);
}

GUEST_TEST(ldt_refused, "An LDT at an unaligned or foreign address, or too large, is refused") {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(abi::MmuextOpCommand::kSetLdt);
    op.arg1.linear_addr = virtual_base() + 8;
    op.arg2.nr_ents = 16;
    CHECK_FAILS(mmuext_op(&op, 1), kEINVAL);
    op.arg1.linear_addr = virtual_base();
    op.arg2.nr_ents = 8193;
    CHECK_FAILS(mmuext_op(&op, 1), kEINVAL);
    op.arg1.linear_addr = abi::kHypervisorVirtStart;
    op.arg2.nr_ents = 16;
    CHECK_FAILS(mmuext_op(&op, 1), kEINVAL);
}
