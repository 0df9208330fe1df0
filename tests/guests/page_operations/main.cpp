// mmuext_op's flushes, page clearing and copying, and its refusals in general.

#include <torii/guest/hypercall.h>
#include <torii/guest/memory.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

using Command = abi::MmuextOpCommand;

abi::MmuextOp operation(Command command, uint64_t first = 0, uint64_t second = 0) {
    abi::MmuextOp op{};
    op.cmd = static_cast<uint32_t>(command);
    op.arg1.mfn = first;
    op.arg2.src_mfn = second;
    return op;
}

int64_t run(abi::MmuextOp op) {
    return mmuext_op(&op, 1);
}

}  // namespace

GUEST_TEST(page_clear_copy, "Pages of ours are cleared and copied by frame number") {
    Page* from = allocate_page();
    Page* to = allocate_page();
    for (unsigned index = 0; index < 512; ++index) {
        from->words[index] = index * 3 + 1;
    }
    CHECK_SUCCEEDS(run(operation(Command::kCopyPage, mfn_of(to), mfn_of(from))));
    CHECK_EQUAL(__builtin_memcmp(from, to, sizeof(Page)), 0);
    CHECK_SUCCEEDS(run(operation(Command::kClearPage, mfn_of(to))));
    CHECK_EQUAL(const_cast<volatile Page*>(to)->words[511], 0u);
    free_page(from);
    free_page(to);
}

GUEST_TEST(page_clear_refused, "Page tables are neither cleared nor copied over") {
    const uint64_t before = boot_l4()->words[511];
    Page* page = allocate_page();
    CHECK(run(operation(Command::kClearPage, mfn_of(boot_l4()))) < 0);
    CHECK(run(operation(Command::kCopyPage, mfn_of(boot_l4()), mfn_of(page))) < 0);
    CHECK(run(operation(Command::kCopyPage, uint64_t{1} << 40, mfn_of(page))) < 0);
    CHECK(run(operation(Command::kCopyPage, mfn_of(page), uint64_t{1} << 40)) < 0);
    CHECK_EQUAL(boot_l4()->words[511], before);
    free_page(page);
}

GUEST_TEST(flushes, "All flushes are accepted") {
    uint64_t vcpus = 1;
    CHECK_SUCCEEDS(run(operation(Command::kTlbFlushLocal)));
    CHECK_SUCCEEDS(run(operation(Command::kInvlpgLocal, virtual_base())));
    CHECK_SUCCEEDS(run(operation(Command::kTlbFlushMulti, 0, virtual_address(&vcpus))));
    CHECK_SUCCEEDS(run(operation(Command::kInvlpgMulti, virtual_base(), virtual_address(&vcpus))));
    CHECK_SUCCEEDS(run(operation(Command::kTlbFlushAll)));
    CHECK_SUCCEEDS(run(operation(Command::kInvlpgAll, virtual_base())));
}

GUEST_TEST(flush_bad_mask, "A vCPU mask that cannot be read is refused") {
    CHECK(run(operation(Command::kTlbFlushMulti, 0, kNeverMapped)) < 0);
}

GUEST_TEST(mmuext_unknown, "Unknown operations are refused, and a batch says how far it came") {
    CHECK_FAILS(run(operation(static_cast<Command>(14))), kENOSYS);
    CHECK_FAILS(run(operation(static_cast<Command>(99))), kENOSYS);
    abi::MmuextOp batch[] = {operation(Command::kTlbFlushLocal), operation(static_cast<Command>(99)),
                             operation(Command::kTlbFlushLocal)};
    uint32_t done = 77;
    CHECK_FAILS(mmuext_op(batch, 3, &done), kENOSYS);
    CHECK_EQUAL(done, 1u);
    CHECK_FAILS(mmuext_op(batch, 1, nullptr, 0x7000), kESRCH);
}
