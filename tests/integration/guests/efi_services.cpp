// EFI's runtime services, as the control domain's kernel calls them on a machine that EFI started.

#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

using namespace torii::guest;
namespace abi = torii::abi;

namespace {

constexpr uint32_t kNonVolatile = 1, kBootService = 2, kRuntime = 4;
constexpr uint64_t kNotFound = (uint64_t{1} << 63) | 14;
constexpr abi::EfiGuid kOurs{0x746f7269, 0x6925, 0x4ecc, {1, 2, 3, 4, 5, 6, 7, 8}};

template <class T>
abi::GuestPtr64 pointer(T* to) {
    return {reinterpret_cast<uint64_t>(to)};
}

abi::PlatformOp op_for(abi::PlatformCommand command) {
    abi::PlatformOp op{};
    op.cmd = static_cast<uint32_t>(command);
    op.interface_version = abi::kPlatformInterfaceVersion;
    return op;
}

abi::PlatformOp call_of(abi::EfiFunction function, uint32_t misc = 0) {
    abi::PlatformOp op = op_for(abi::PlatformCommand::kEfiRuntimeCall);
    op.u.efi_call.function = static_cast<uint32_t>(function);
    op.u.efi_call.misc = misc;
    return op;
}

abi::PlatformOp about(abi::FirmwareEfiIndex index) {
    abi::PlatformOp op = op_for(abi::PlatformCommand::kFirmwareInfo);
    op.u.firmware_info.type = static_cast<uint32_t>(abi::FirmwareInfoType::kEfiInfo);
    op.u.firmware_info.index = static_cast<uint32_t>(index);
    return op;
}

void set_xmm(uint64_t value) {
    asm volatile("movq %0, %%xmm3; movq %0, %%xmm15" : : "r"(value));
}
bool xmm_is(uint64_t value) {
    uint64_t low = 0;
    uint64_t high = 0;
    asm volatile("movq %%xmm3, %0; movq %%xmm15, %1" : "=r"(low), "=r"(high));
    return low == value && high == value;
}

char16_t g_name[] = u"ToriiTest";
char g_data[] = "kept by the firmware";

int64_t set_variable(uint64_t bytes, uint64_t& status) {
    abi::PlatformOp op = call_of(abi::EfiFunction::kSetVariable, kNonVolatile | kBootService | kRuntime);
    op.u.efi_call.u.variable = {pointer(g_name), bytes, pointer(g_data), kOurs};
    const int64_t result = platform_op(op);
    status = op.u.efi_call.status;
    return result;
}

}  // namespace

GUEST_TEST(efi_info, "Firmware says what it is, and what its memory is") {
    abi::PlatformOp op = about(abi::FirmwareEfiIndex::kConfigTable);
    CHECK_SUCCEEDS(platform_op(op));
    CHECK(op.u.firmware_info.u.efi_info.cfg.addr != 0);
    CHECK(op.u.firmware_info.u.efi_info.cfg.nent > 2);
    const uint64_t table = op.u.firmware_info.u.efi_info.cfg.addr;
    op = about(abi::FirmwareEfiIndex::kMemInfo);
    op.u.firmware_info.u.efi_info.mem = {table, ~uint64_t{0} - table, 0, 0, 0};
    CHECK_SUCCEEDS(platform_op(op));
    CHECK(op.u.firmware_info.u.efi_info.mem.attr >> 63 == 1);
    char16_t vendor[32] = {};
    op = about(abi::FirmwareEfiIndex::kVendor);
    op.u.firmware_info.u.efi_info.vendor = {0, sizeof(vendor), pointer(vendor)};
    CHECK_SUCCEEDS(platform_op(op));
    CHECK(vendor[0] != 0);
}

GUEST_TEST(efi_time, "The time is told") {
    abi::PlatformOp op = call_of(abi::EfiFunction::kGetTime);
    CHECK_SUCCEEDS(platform_op(op));
    CHECK_EQUAL(op.u.efi_call.status, 0u);
    CHECK(op.u.efi_call.u.get_time.time.year >= 2024);
    CHECK(op.u.efi_call.u.get_time.time.month >= 1 && op.u.efi_call.u.get_time.time.month <= 12);
}

GUEST_TEST(efi_variables, "A variable is written, read and removed, and vector registers are ours") {
    constexpr uint64_t kSentinel = 0x1122'3344'5566'7788;
    uint64_t status = 1;
    set_xmm(kSentinel);
    CHECK_SUCCEEDS(set_variable(sizeof(g_data), status));
    CHECK_EQUAL(status, 0u);
    CHECK(xmm_is(kSentinel));

    char read[64] = {};
    abi::PlatformOp op = call_of(abi::EfiFunction::kGetVariable);
    op.u.efi_call.u.variable = {pointer(g_name), sizeof(read), pointer(read), kOurs};
    CHECK_SUCCEEDS(platform_op(op));
    CHECK_EQUAL(op.u.efi_call.status, 0u);
    CHECK_EQUAL(op.u.efi_call.u.variable.size, sizeof(g_data));
    CHECK_EQUAL(op.u.efi_call.misc, kNonVolatile | kBootService | kRuntime);
    for (unsigned i = 0; i < sizeof(g_data); ++i)
        CHECK_EQUAL(read[i], g_data[i]);
    CHECK(xmm_is(kSentinel));

    CHECK_SUCCEEDS(set_variable(0, status));
    CHECK_EQUAL(status, 0u);
    CHECK_SUCCEEDS(set_variable(0, status));
    CHECK_EQUAL(status, kNotFound);
}

GUEST_TEST(efi_variable_names, "All variables are listed, and the list ends") {
    char16_t name[512] = {};
    abi::EfiGuid guid{};
    unsigned count = 0;
    for (; count < 1000; ++count) {
        abi::PlatformOp op = call_of(abi::EfiFunction::kGetNextVariableName);
        op.u.efi_call.u.next_name = {sizeof(name), pointer(name), guid};
        CHECK_SUCCEEDS(platform_op(op));
        if (op.u.efi_call.status == kNotFound) break;
        CHECK_EQUAL(op.u.efi_call.status, 0u);
        guid = op.u.efi_call.u.next_name.vendor_guid;
    }
    CHECK(count > 5 && count < 1000);
}

GUEST_TEST(efi_room, "The room for variables is told") {
    abi::PlatformOp op = call_of(abi::EfiFunction::kQueryVariableInfo);
    op.u.efi_call.u.variable_info.attr = kNonVolatile | kBootService | kRuntime;
    CHECK_SUCCEEDS(platform_op(op));
    CHECK_EQUAL(op.u.efi_call.status, 0u);
    CHECK(op.u.efi_call.u.variable_info.max_store_size >= op.u.efi_call.u.variable_info.remain_store_size);
    CHECK(op.u.efi_call.u.variable_info.max_size != 0);
}
