// What firmware says of itself, and EFI's runtime services, with a firmware that is a map of variables.
#include <torii/abi/platform.h>

#include <map>
#include <string>

#include "core/call/platform_hooks.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

using abi::EfiFunction;
using abi::FirmwareEfiIndex;
using abi::FirmwareInfoType;
using abi::Hypercall;

constexpr uint64_t kNotFound = (uint64_t{1} << 63) | 14;
constexpr uint64_t kUnsupported = (uint64_t{1} << 63) | 3;

struct Variable {
    std::string data;
    uint32_t attributes;
};
std::map<std::u16string, Variable> variables;
bool garbles_sizes = false;

template <class T>
T* at(uint64_t address) {
    return reinterpret_cast<T*>(address);
}

uint64_t get_variable(const uint64_t* a) {
    const auto found = variables.find(at<char16_t>(a[0]));
    if (found == variables.end()) return kNotFound;
    auto& size = *at<uint64_t>(a[3]);
    const std::string& data = found->second.data;
    if (garbles_sizes) {
        size = 1 << 20;
        return kEfiSuccess;
    }
    const bool fits = data.size() <= size;
    size = data.size();
    if (!fits) return kEfiBufferTooSmall;
    *at<uint32_t>(a[2]) = found->second.attributes;
    memcpy(at<char>(a[4]), data.data(), data.size());
    return kEfiSuccess;
}

uint64_t next_name(const uint64_t* a) {
    const std::u16string before = at<char16_t>(a[1]);
    const auto next = before.empty() ? variables.begin() : variables.upper_bound(before);
    if (next == variables.end()) return kNotFound;
    auto& size = *at<uint64_t>(a[0]);
    const uint64_t needed = (next->first.size() + 1) * 2;
    const bool fits = needed <= size;
    size = needed;
    if (!fits) return kEfiBufferTooSmall;
    memcpy(at<char16_t>(a[1]), next->first.c_str(), needed);
    *at<abi::EfiGuid>(a[2]) = {1, 2, 3, {4}};
    return kEfiSuccess;
}

Result<uint64_t> firmware(EfiService service, const EfiArguments& arguments) {
    const uint64_t* const a = arguments.values;
    switch (service) {
        case EfiService::kGetTime:
            *at<abi::EfiTime>(a[0]) = {2026, 11, 26, 15, 0, 0, 0, 0, 0, 0, 0};
            memset(at<char>(a[1]), 1, 9);
            return kEfiSuccess;
        case EfiService::kSetTime:
            return at<abi::EfiTime>(a[0])->year == 2027 ? kEfiSuccess : kUnsupported;
        case EfiService::kGetVariable:
            return get_variable(a);
        case EfiService::kSetVariable:
            if (a[3] == 0) {
                variables.erase(at<char16_t>(a[0]));
            } else {
                variables[at<char16_t>(a[0])] = {std::string(at<char>(a[4]), a[3]),
                                                 static_cast<uint32_t>(a[2])};
            }
            return kEfiSuccess;
        case EfiService::kGetNextVariableName:
            return next_name(a);
        case EfiService::kSetWakeupTime:
            return (a[0] == 1) == (a[1] == 0) ? kEfiSuccess : kUnsupported;
        case EfiService::kQueryVariableInfo:
            for (const unsigned i : {1u, 2u, 3u})
                *at<uint64_t>(a[i]) = i * 100;
            return kEfiSuccess;
        default:
            return kUnsupported;
    }
}

constexpr EfiMemory kMemory[] = {{0x100000, 0x4000, 0xf, 7},
                                 {0x7f000000, 0x10000, (uint64_t{1} << 63) | 0xf, 6}};

class FirmwareTest : public CallWorld {
protected:
    void SetUp() override {
        CallWorld::SetUp();
        efi_ = {.revision = 0x20046,
                .vendor_revision = 0x10000,
                .vendor = {'E', 'D', 'K'},
                .vendor_length = 3,
                .config_table = 0x7f001000,
                .config_entries = 9,
                .runtime_table = 0x7f002000,
                .runtime_revision = 0x20046,
                .memory = kMemory,
                .memory_count = 2};
        variables = {{u"Boot0001", {"first", 7}}, {u"BootOrder", {std::string("\1\0", 2), 6}}};
        garbles_sizes = false;
    }
    void TearDown() override {
        platform.efi = nullptr;
        platform.call_efi = nullptr;
        platform.keyboard_shift_flags = 0;
        CallWorld::TearDown();
    }
    void start_by_efi() {
        platform.efi = &efi_;
        platform.call_efi = firmware;
    }
    int64_t info(FirmwareInfoType type, uint32_t index = 0) {
        op_.cmd = static_cast<uint32_t>(abi::PlatformCommand::kFirmwareInfo);
        op_.u.firmware_info.type = static_cast<uint32_t>(type);
        op_.u.firmware_info.index = index;
        return issue();
    }
    int64_t info(FirmwareEfiIndex index) {
        return info(FirmwareInfoType::kEfiInfo, static_cast<uint32_t>(index));
    }
    int64_t run(EfiFunction function, uint32_t misc = 0) {
        op_.cmd = static_cast<uint32_t>(abi::PlatformCommand::kEfiRuntimeCall);
        op_.u.efi_call.function = static_cast<uint32_t>(function);
        op_.u.efi_call.misc = misc;
        op_.u.efi_call.status = 0x5555;
        return issue();
    }
    int64_t issue() {
        op_.interface_version = abi::kPlatformInterfaceVersion;
        return call(control(), Hypercall::kPlatformOp, {address(&op_)});
    }
    abi::FirmwareEfiInfo& efi_info() { return op_.u.firmware_info.u.efi_info; }
    abi::PlatformEfiCall& efi_call() { return op_.u.efi_call; }
    void name_variable(const char16_t* name, void* data, uint64_t size) {
        efi_call().u.variable = {
            .name = {address(name)}, .size = size, .data = {address(data)}, .vendor_guid = {}};
    }

    EfiFirmware efi_;
    abi::PlatformOp op_{};
};

TEST_F(FirmwareTest, ABiosKnowsTheShiftKeysAndNothingElse) {
    platform.keyboard_shift_flags = 0x20;
    EXPECT_EQ(info(FirmwareInfoType::kKbdShiftFlags), 0);
    EXPECT_EQ(op_.u.firmware_info.u.kbd_shift_flags, 0x20);
    EXPECT_EQ(info(FirmwareInfoType::kDiskInfo), failure(Errno::kESRCH));
    EXPECT_EQ(info(FirmwareInfoType::kDiskMbrSignature), failure(Errno::kESRCH));
    EXPECT_EQ(info(FirmwareEfiIndex::kConfigTable), failure(Errno::kENOSYS));
    EXPECT_EQ(run(EfiFunction::kGetTime), failure(Errno::kENOSYS));
    EXPECT_EQ(info(static_cast<FirmwareInfoType>(77)), failure(Errno::kEINVAL));
}

TEST_F(FirmwareTest, EfiSaysWhatItIs) {
    start_by_efi();
    EXPECT_EQ(info(FirmwareEfiIndex::kConfigTable), 0);
    EXPECT_EQ(efi_info().cfg.addr, 0x7f001000u);
    EXPECT_EQ(efi_info().cfg.nent, 9u);
    EXPECT_EQ(info(FirmwareEfiIndex::kVersion), 0);
    EXPECT_EQ(efi_info().version, 0x20046u);
    EXPECT_EQ(info(FirmwareEfiIndex::kRtVersion), 0);
    EXPECT_EQ(efi_info().version, 0x20046u);
    EXPECT_EQ(info(FirmwareEfiIndex::kPciRom), failure(Errno::kENODEV));
    EXPECT_EQ(info(static_cast<FirmwareEfiIndex>(77)), failure(Errno::kEINVAL));
}

TEST_F(FirmwareTest, TheVendorsNameIsCutToTheRoom) {
    start_by_efi();
    char16_t name[5] = u"zzzz";
    efi_info().vendor = {.revision = 0, .bufsz = sizeof(name), .name = {address(name)}};
    EXPECT_EQ(info(FirmwareEfiIndex::kVendor), 0);
    EXPECT_EQ(std::u16string(name), u"EDK");
    EXPECT_EQ(name[4], 0);
    EXPECT_EQ(efi_info().vendor.revision, 0x10000u);
    efi_info().vendor.bufsz = 5;
    EXPECT_EQ(info(FirmwareEfiIndex::kVendor), 0);
    EXPECT_EQ(std::u16string(name), u"E");
    efi_info().vendor.bufsz = 1;
    EXPECT_EQ(info(FirmwareEfiIndex::kVendor), failure(Errno::kEINVAL));
    efi_info().vendor = {.revision = 0, .bufsz = 10, .name = {0}};
    EXPECT_EQ(info(FirmwareEfiIndex::kVendor), failure(Errno::kEFAULT));
}

TEST_F(FirmwareTest, MemoryIsToldByAddress) {
    start_by_efi();
    efi_info().mem = {0x7f001000, ~uint64_t{0}, 0, 0, 0};
    EXPECT_EQ(info(FirmwareEfiIndex::kMemInfo), 0);
    EXPECT_EQ(efi_info().mem.addr, 0x7f001000u);
    EXPECT_EQ(efi_info().mem.size, 0xf000u);
    EXPECT_EQ(efi_info().mem.type, 6u);
    EXPECT_EQ(efi_info().mem.attr >> 63, 1u);
    efi_info().mem = {0x100000, 0x1000, 0, 0, 0};
    EXPECT_EQ(info(FirmwareEfiIndex::kMemInfo), 0);
    EXPECT_EQ(efi_info().mem.size, 0x1000u);
    efi_info().mem = {0x104000, 1, 0, 0, 0};
    EXPECT_EQ(info(FirmwareEfiIndex::kMemInfo), failure(Errno::kESRCH));
}

TEST_F(FirmwareTest, Times) {
    start_by_efi();
    EXPECT_EQ(run(EfiFunction::kGetTime), 0);
    EXPECT_EQ(efi_call().status, kEfiSuccess);
    EXPECT_EQ(efi_call().u.get_time.time.year, 2026);
    EXPECT_EQ(efi_call().u.get_time.resolution, 0x01010101u);
    EXPECT_EQ(efi_call().misc, abi::kEfiGetTimeSetClearsNs);
    efi_call().u.time.year = 2027;
    EXPECT_EQ(run(EfiFunction::kSetTime), 0);
    EXPECT_EQ(efi_call().status, kEfiSuccess);
    EXPECT_EQ(run(EfiFunction::kSetTime, 1), failure(Errno::kEINVAL));
    EXPECT_EQ(
        run(EfiFunction::kSetWakeupTime, abi::kEfiSetWakeupTimeEnable | abi::kEfiSetWakeupTimeEnableOnly), 0);
    EXPECT_EQ(efi_call().status, kEfiSuccess);
    EXPECT_EQ(run(EfiFunction::kSetWakeupTime, 0), 0);
    EXPECT_EQ(efi_call().status, kEfiSuccess);
    EXPECT_EQ(run(EfiFunction::kGetWakeupTime), 0);
    EXPECT_EQ(efi_call().status, kUnsupported);
}

TEST_F(FirmwareTest, VariablesAreRead) {
    start_by_efi();
    char data[8] = {};
    name_variable(u"Boot0001", data, sizeof(data));
    EXPECT_EQ(run(EfiFunction::kGetVariable), 0);
    EXPECT_EQ(efi_call().status, kEfiSuccess);
    EXPECT_EQ(efi_call().u.variable.size, 5u);
    EXPECT_EQ(efi_call().misc, 7u);
    EXPECT_STREQ(data, "first");

    name_variable(u"Boot0001", nullptr, 0);
    EXPECT_EQ(run(EfiFunction::kGetVariable), 0);
    EXPECT_EQ(efi_call().status, kEfiBufferTooSmall);
    EXPECT_EQ(efi_call().u.variable.size, 5u);

    name_variable(u"Nothing", data, sizeof(data));
    EXPECT_EQ(run(EfiFunction::kGetVariable), 0);
    EXPECT_EQ(efi_call().status, kNotFound);
    EXPECT_EQ(run(EfiFunction::kGetVariable, 1), failure(Errno::kEINVAL));
}

TEST_F(FirmwareTest, VariablesAreWrittenAndRemoved) {
    start_by_efi();
    char data[] = "new";
    name_variable(u"Boot0002", data, 3);
    EXPECT_EQ(run(EfiFunction::kSetVariable, 7), 0);
    EXPECT_EQ(variables[u"Boot0002"].data, "new");
    EXPECT_EQ(variables[u"Boot0002"].attributes, 7u);
    name_variable(u"Boot0002", nullptr, 0);
    EXPECT_EQ(run(EfiFunction::kSetVariable, 7), 0);
    EXPECT_EQ(variables.count(u"Boot0002"), 0u);
    name_variable(u"Boot0002", data, uint64_t{1} << 40);
    EXPECT_EQ(run(EfiFunction::kSetVariable, 7), failure(Errno::kEINVAL));
    name_variable(u"Boot0002", nullptr, 3);
    EXPECT_EQ(run(EfiFunction::kSetVariable, 7), failure(Errno::kEFAULT));
    name_variable(nullptr, data, 3);
    EXPECT_EQ(run(EfiFunction::kSetVariable, 7), failure(Errno::kEFAULT));
}

TEST_F(FirmwareTest, ANameWithoutAnEndIsRefused) {
    start_by_efi();
    const std::u16string endless(5000, u'x');
    char data[8];
    name_variable(endless.c_str(), data, sizeof(data));
    EXPECT_EQ(run(EfiFunction::kGetVariable), failure(Errno::kEINVAL));
}

TEST_F(FirmwareTest, NamesAreListedOneByOne) {
    start_by_efi();
    char16_t name[16] = {};
    efi_call().u.next_name = {.size = sizeof(name), .name = {address(name)}, .vendor_guid = {}};
    EXPECT_EQ(run(EfiFunction::kGetNextVariableName), 0);
    EXPECT_EQ(std::u16string(name), u"Boot0001");
    EXPECT_EQ(efi_call().u.next_name.vendor_guid.data1, 1u);
    efi_call().u.next_name.size = sizeof(name);
    EXPECT_EQ(run(EfiFunction::kGetNextVariableName), 0);
    EXPECT_EQ(std::u16string(name), u"BootOrder");
    efi_call().u.next_name.size = sizeof(name);
    EXPECT_EQ(run(EfiFunction::kGetNextVariableName), 0);
    EXPECT_EQ(efi_call().status, kNotFound);

    name[0] = 0;
    efi_call().u.next_name.size = 4;
    EXPECT_EQ(run(EfiFunction::kGetNextVariableName), 0);
    EXPECT_EQ(efi_call().status, kEfiBufferTooSmall);
    EXPECT_EQ(efi_call().u.next_name.size, 18u);
    efi_call().u.next_name.size = 0;  // no room for the zero at its end
    EXPECT_EQ(run(EfiFunction::kGetNextVariableName), failure(Errno::kEINVAL));
}

TEST_F(FirmwareTest, FirmwareThatClaimsMoreThanItHadRoomForIsNotBelieved) {
    start_by_efi();
    garbles_sizes = true;
    char data[8];
    name_variable(u"Boot0001", data, sizeof(data));
    EXPECT_EQ(run(EfiFunction::kGetVariable), failure(Errno::kEIO));
}

TEST_F(FirmwareTest, RoomForVariables) {
    start_by_efi();
    EXPECT_EQ(run(EfiFunction::kQueryVariableInfo), 0);
    EXPECT_EQ(efi_call().u.variable_info.max_store_size, 100u);
    EXPECT_EQ(efi_call().u.variable_info.max_size, 300u);
    EXPECT_EQ(run(EfiFunction::kQueryVariableInfo, abi::kEfiVariableInfoBootSnapshot),
              failure(Errno::kEOPNOTSUPP));
    efi_.runtime_revision = 0x1000a;
    EXPECT_EQ(run(EfiFunction::kQueryVariableInfo), failure(Errno::kEOPNOTSUPP));
}

TEST_F(FirmwareTest, CapsulesAndTheUnknownAreNotThere) {
    start_by_efi();
    EXPECT_EQ(run(EfiFunction::kUpdateCapsule), failure(Errno::kENOSYS));
    EXPECT_EQ(run(EfiFunction::kQueryCapsuleCapabilities), failure(Errno::kENOSYS));
    EXPECT_EQ(run(static_cast<EfiFunction>(99)), failure(Errno::kENOSYS));
}

TEST_F(FirmwareTest, OnlyTheControlDomainMayAsk) {
    start_by_efi();
    op_.cmd = static_cast<uint32_t>(abi::PlatformCommand::kEfiRuntimeCall);
    op_.interface_version = abi::kPlatformInterfaceVersion;
    op_.u.efi_call.function = static_cast<uint32_t>(EfiFunction::kGetTime);
    EXPECT_EQ(call(guest(), Hypercall::kPlatformOp, {address(&op_)}), failure(Errno::kEPERM));
}

}  // namespace
}  // namespace torii::test
