#include <torii/guest/grants.h>
#include <torii/guest/hypercall.h>
#include <torii/guest/report.h>
#include <torii/guest/start.h>

#include <atomic>

namespace torii::guest {

namespace {

// Its frame is replaced by the table's.
Page g_table_page;
bool g_ready;
constexpr size_t kEntries = abi::kPageSize / sizeof(abi::GrantEntryV1);
abi::RawGrantRef g_next_ref = abi::kGrantReservedEntries;
abi::RawGrantRef g_given_back[kEntries];
size_t g_given_back_count;

}  // namespace

bool set_up_grants() {
    if (g_ready) return true;
    uint64_t frame = 0;
    abi::GrantSetupTable setup{};
    setup.dom = abi::kDomIdSelf;
    setup.nr_frames = 1;
    setup.frame_list.address = virtual_address(&frame);
    const int64_t result = grant_table_op(abi::GrantTableOp::kSetupTable, &setup);
    if (result != 0 || setup.status != 0) {
        error("the grant table could not be set up: {} {}", result, setup.status);
        return false;
    }
    g_ready = update_va_mapping(virtual_address(&g_table_page), make_entry(frame, kPtePage)) == 0;
    if (!g_ready) error("the grant table's frame could not be mapped");
    return g_ready;
}

abi::GrantEntryV1& grant_entry(abi::RawGrantRef ref) {
    return reinterpret_cast<abi::GrantEntryV1*>(&g_table_page)[ref];
}

void grant_access(abi::RawGrantRef ref, abi::RawDomId to, uint64_t mfn, bool read_only) {
    abi::GrantEntryV1& entry = grant_entry(ref);
    entry.domid = to;
    entry.frame = static_cast<uint32_t>(mfn);
    // The flags make the entry valid and go last.
    std::atomic_ref<uint16_t>(entry.flags)
        .store(static_cast<uint16_t>(abi::kGtfPermitAccess | (read_only ? abi::kGtfReadonly : 0)),
               std::memory_order_release);
}

bool end_access(abi::RawGrantRef ref) {
    std::atomic_ref<uint16_t> flags(grant_entry(ref).flags);
    uint16_t seen = flags.load();
    while ((seen & (abi::kGtfReading | abi::kGtfWriting)) == 0) {
        if (flags.compare_exchange_weak(seen, 0)) return true;
    }
    return false;
}

abi::RawGrantRef allocate_grant_ref() {
    if (g_given_back_count != 0) return g_given_back[--g_given_back_count];
    if (g_next_ref == kEntries) {
        error("the grant table's {} entries are used up", uint64_t{kEntries});
        shutdown(abi::ShutdownReason::kCrash);
    }
    return g_next_ref++;
}

void free_grant_ref(abi::RawGrantRef ref) {
    g_given_back[g_given_back_count++] = ref;
}

abi::GrantMap map_grant(abi::RawDomId domain, abi::RawGrantRef ref, const void* at, uint32_t flags) {
    abi::GrantMap map{};
    map.host_addr = virtual_address(at);
    map.flags = flags;
    map.ref = ref;
    map.dom = domain;
    if (grant_table_op(abi::GrantTableOp::kMapGrantRef, &map) != 0) map.status = -128;
    return map;
}

abi::GrantStatus unmap_grant(const abi::GrantMap& map) {
    abi::GrantUnmap unmap{};
    unmap.host_addr = map.host_addr;
    unmap.dev_bus_addr = (map.flags & abi::kGrantMapDevice) != 0 ? map.dev_bus_addr : 0;
    unmap.handle = map.handle;
    grant_table_op(abi::GrantTableOp::kUnmapGrantRef, &unmap);
    return static_cast<abi::GrantStatus>(unmap.status);
}

}  // namespace torii::guest
