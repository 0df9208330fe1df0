// What firmware says of itself and does at run time, for the control domain's kernel (public platform.h;
// UEFI specification 2.10, chapter 8).
#include "core/call/platform_firmware.h"

#include "core/call/guest_ptr.h"
#include "core/call/platform_hooks.h"
#include "core/memory/heap.h"

namespace torii::call {
namespace {

using abi::EfiFunction;
using abi::PlatformEfiCall;

Result<> tell_vendor(const EfiFirmware& efi, abi::FirmwareEfiVendor& vendor) {
    // As much as fits, with a zero at its end.
    const uint32_t room = vendor.bufsz / sizeof(uint16_t);
    if (room == 0) return Errno::kEINVAL;
    const uint32_t length = efi.vendor_length < room - 1 ? efi.vendor_length : room - 1;
    const GuestArray<uint16_t> name(vendor.name);
    TRY(name.write_many(0, efi.vendor, length));
    TRY(name.write(length, 0));
    vendor.revision = efi.vendor_revision;
    return {};
}

// What the memory from an address on is, up to the size that was asked for.
Result<> tell_memory(const EfiFirmware& efi, abi::FirmwareEfiMemory& memory) {
    for (size_t i = 0; i < efi.memory_count; ++i) {
        const EfiMemory& found = efi.memory[i];
        if (memory.addr < found.start || memory.addr - found.start >= found.size) continue;
        const uint64_t left = found.size - (memory.addr - found.start);
        if (memory.size > left) memory.size = left;
        memory.attr = found.attributes;
        memory.type = found.type;
        return {};
    }
    return Errno::kESRCH;
}

Result<> efi_info(uint32_t index, abi::FirmwareEfiInfo& info) {
    if (platform.efi == nullptr) return Errno::kENOSYS;
    const EfiFirmware& efi = *platform.efi;
    switch (static_cast<abi::FirmwareEfiIndex>(index)) {
        case abi::FirmwareEfiIndex::kVersion:
            info.version = efi.revision;
            return {};
        case abi::FirmwareEfiIndex::kRtVersion:
            info.version = efi.runtime_revision;
            return {};
        case abi::FirmwareEfiIndex::kConfigTable:
            info.cfg = {.addr = efi.config_table, .nent = efi.config_entries, .padding = 0};
            return {};
        case abi::FirmwareEfiIndex::kVendor:
            return tell_vendor(efi, info.vendor);
        case abi::FirmwareEfiIndex::kMemInfo:
            return tell_memory(efi, info.mem);
        // Boot services would have to tell, which have ended.
        case abi::FirmwareEfiIndex::kPciRom:
        case abi::FirmwareEfiIndex::kAppleProperties:
            return Errno::kENODEV;
    }
    return Errno::kEINVAL;
}

// --- runtime services ---

constexpr uint64_t kMostNameUnits = 1024;
constexpr uint64_t kMostDataBytes = uint64_t{64} << 10;

uint64_t address_of(const void* place) {
    return reinterpret_cast<uint64_t>(place);
}

Result<uint64_t> call(EfiService service, EfiArguments arguments) {
    if (platform.call_efi == nullptr) return Errno::kENOSYS;
    return platform.call_efi(service, arguments);
}

// Memory that the firmware may read and write; freed with the object.
class Room {
public:
    Room() = default;
    Room(const Room&) = delete;
    ~Room() { heap_free(memory_); }
    [[nodiscard]] Result<> take(uint64_t bytes) {
        memory_ = TRY(heap_allocate(bytes == 0 ? 1 : bytes));
        return {};
    }
    template <class T>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(memory_);
    }

private:
    void* memory_ = nullptr;
};

// A name, with its terminating zero, in `room` units of memory.
Result<> copy_name_in(abi::GuestPtr64 from, uint16_t* to, uint64_t room) {
    const GuestArray<uint16_t> name(from);
    for (uint64_t i = 0; i < room; ++i) {
        TRY(name.read(i, to[i]));
        if (to[i] == 0) return {};
    }
    return Errno::kEINVAL;
}

Result<> get_time(PlatformEfiCall& request) {
    struct Capabilities {
        uint32_t resolution = 0, accuracy = 0;
        uint8_t sets_to_zero = 0;
    } capabilities;
    abi::EfiTime time{};
    request.status = TRY(call(EfiService::kGetTime, {address_of(&time), address_of(&capabilities)}));
    request.misc = capabilities.sets_to_zero != 0 ? abi::kEfiGetTimeSetClearsNs : 0;
    request.u.get_time = {
        .time = time, .resolution = capabilities.resolution, .accuracy = capabilities.accuracy};
    return {};
}

Result<> set_time(PlatformEfiCall& request) {
    if (request.misc != 0) return Errno::kEINVAL;
    abi::EfiTime time = request.u.time;
    request.status = TRY(call(EfiService::kSetTime, {address_of(&time)}));
    return {};
}

Result<> get_wakeup_time(PlatformEfiCall& request) {
    uint8_t enabled = 0;
    uint8_t pending = 0;
    abi::EfiTime time{};
    request.status = TRY(
        call(EfiService::kGetWakeupTime, {address_of(&enabled), address_of(&pending), address_of(&time)}));
    request.misc = (enabled != 0 ? abi::kEfiGetWakeupTimeEnabled : 0) |
                   (pending != 0 ? abi::kEfiGetWakeupTimePending : 0);
    request.u.time = time;
    return {};
}

Result<> set_wakeup_time(PlatformEfiCall& request) {
    if ((request.misc & ~(abi::kEfiSetWakeupTimeEnable | abi::kEfiSetWakeupTimeEnableOnly)) != 0)
        return Errno::kEINVAL;
    abi::EfiTime time = request.u.time;
    const bool only_enable = (request.misc & abi::kEfiSetWakeupTimeEnableOnly) != 0;
    const bool enable = (request.misc & abi::kEfiSetWakeupTimeEnable) != 0;
    request.status = TRY(
        call(EfiService::kSetWakeupTime, {enable ? uint64_t{1} : 0, only_enable ? 0 : address_of(&time)}));
    return {};
}

Result<> get_monotonic_count(PlatformEfiCall& request) {
    if (request.misc != 0) return Errno::kEINVAL;
    uint32_t count = 0;
    request.status = TRY(call(EfiService::kGetNextHighMonotonicCount, {address_of(&count)}));
    request.misc = count;
    return {};
}

Result<> get_variable(PlatformEfiCall& request) {
    auto& variable = request.u.variable;
    if (request.misc != 0) return Errno::kEINVAL;
    uint64_t size = variable.size < kMostDataBytes ? variable.size : kMostDataBytes;
    const uint64_t room = size;
    Room name;
    Room data;
    TRY(name.take(kMostNameUnits * sizeof(uint16_t)));
    TRY(data.take(size));
    TRY(copy_name_in(variable.name, name.as<uint16_t>(), kMostNameUnits));
    uint32_t attributes = 0;
    abi::EfiGuid guid = variable.vendor_guid;
    request.status = TRY(call(EfiService::kGetVariable,
                              {address_of(name.as<void>()), address_of(&guid), address_of(&attributes),
                               address_of(&size), size != 0 ? address_of(data.as<void>()) : 0}));
    if (request.status == kEfiSuccess) {
        if (size > room) return Errno::kEIO;  // more than it was given room for
        TRY(GuestArray<uint8_t>(variable.data).write_many(0, data.as<uint8_t>(), size));
        request.misc = attributes;
    }
    if (request.status == kEfiSuccess || request.status == kEfiBufferTooSmall) variable.size = size;
    return {};
}

Result<> set_variable(PlatformEfiCall& request) {
    const auto& variable = request.u.variable;
    if (variable.size > kMostDataBytes) return Errno::kEINVAL;
    Room name;
    Room data;
    TRY(name.take(kMostNameUnits * sizeof(uint16_t)));
    TRY(data.take(variable.size));
    TRY(copy_name_in(variable.name, name.as<uint16_t>(), kMostNameUnits));
    TRY(GuestArray<uint8_t>(variable.data).read_many(0, data.as<uint8_t>(), variable.size));
    abi::EfiGuid guid = variable.vendor_guid;
    request.status = TRY(call(EfiService::kSetVariable,
                              {address_of(name.as<void>()), address_of(&guid), request.misc, variable.size,
                               variable.size != 0 ? address_of(data.as<void>()) : 0}));
    return {};
}

Result<> get_next_variable_name(PlatformEfiCall& request) {
    auto& next = request.u.next_name;
    if (request.misc != 0) return Errno::kEINVAL;
    uint64_t size =
        next.size < kMostNameUnits * sizeof(uint16_t) ? next.size : kMostNameUnits * sizeof(uint16_t);
    const uint64_t room = size;
    Room name;
    TRY(name.take(kMostNameUnits * sizeof(uint16_t)));
    TRY(copy_name_in(next.name, name.as<uint16_t>(), room / sizeof(uint16_t)));
    abi::EfiGuid guid = next.vendor_guid;
    request.status = TRY(call(EfiService::kGetNextVariableName,
                              {address_of(&size), address_of(name.as<void>()), address_of(&guid)}));
    if (request.status == kEfiSuccess) {
        if (size > room) return Errno::kEIO;
        TRY(GuestArray<uint8_t>(next.name).write_many(0, name.as<uint8_t>(), size));
        next.vendor_guid = guid;
    }
    if (request.status == kEfiSuccess || request.status == kEfiBufferTooSmall) next.size = size;
    return {};
}

Result<> query_variable_info(PlatformEfiCall& request) {
    auto& info = request.u.variable_info;
    // What it was when the machine booted is not kept.
    if ((request.misc & abi::kEfiVariableInfoBootSnapshot) != 0) return Errno::kEOPNOTSUPP;
    if (request.misc != 0) return Errno::kEINVAL;
    constexpr uint32_t kSince20 = 2u << 16;
    if (platform.efi == nullptr || platform.efi->runtime_revision < kSince20) return Errno::kEOPNOTSUPP;
    uint64_t sizes[3]{};
    request.status =
        TRY(call(EfiService::kQueryVariableInfo,
                 {info.attr, address_of(&sizes[0]), address_of(&sizes[1]), address_of(&sizes[2])}));
    info.max_store_size = sizes[0];
    info.remain_store_size = sizes[1];
    info.max_size = sizes[2];
    return {};
}

}  // namespace

// A BIOS leaves disks behind too, of which the loader passes nothing on.
Result<> firmware_info(abi::PlatformFirmwareInfo& request) {
    switch (static_cast<abi::FirmwareInfoType>(request.type)) {
        case abi::FirmwareInfoType::kDiskInfo:
        case abi::FirmwareInfoType::kDiskMbrSignature:
        case abi::FirmwareInfoType::kVbeddcInfo:
            return Errno::kESRCH;
        case abi::FirmwareInfoType::kKbdShiftFlags:
            if (request.index != 0) return Errno::kESRCH;
            request.u.kbd_shift_flags = platform.keyboard_shift_flags;
            return {};
        case abi::FirmwareInfoType::kEfiInfo:
            return efi_info(request.index, request.u.efi_info);
    }
    return Errno::kEINVAL;
}

Result<> efi_runtime_call(PlatformEfiCall& request) {
    if (platform.call_efi == nullptr) return Errno::kENOSYS;
    switch (static_cast<EfiFunction>(request.function)) {
        case EfiFunction::kGetTime:
            return get_time(request);
        case EfiFunction::kSetTime:
            return set_time(request);
        case EfiFunction::kGetWakeupTime:
            return get_wakeup_time(request);
        case EfiFunction::kSetWakeupTime:
            return set_wakeup_time(request);
        case EfiFunction::kGetNextHighMonotonicCount:
            return get_monotonic_count(request);
        case EfiFunction::kGetVariable:
            return get_variable(request);
        case EfiFunction::kSetVariable:
            return set_variable(request);
        case EfiFunction::kGetNextVariableName:
            return get_next_variable_name(request);
        case EfiFunction::kQueryVariableInfo:
            return query_variable_info(request);
        // They would have the firmware read memory of the control domain's after a reset.
        case EfiFunction::kQueryCapsuleCapabilities:
        case EfiFunction::kUpdateCapsule:
            return Errno::kENOSYS;
    }
    return Errno::kENOSYS;
}

}  // namespace torii::call
