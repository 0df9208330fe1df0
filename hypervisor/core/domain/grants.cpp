#include "core/domain/grants.h"

#include "core/call/context.h"
#include "core/grant/release.h"
#include "core/memory/reservation.h"

namespace torii {
namespace {

// Closing a page looks at all its entries.
constexpr uint32_t kCostOfPage = 8;

Result<> add_table_page(Domain& domain) {
    const Mfn page = TRY(allocate_shared_frame(domain));
    const Result<> added = domain.grants.add_frame(page);
    if (!added.ok()) stop_sharing_frame(page);
    return added;
}

// Ends what the handle stands for. The page-table entry, if it had one, is gone.
void release_handle(Domain& domain, GrantHandle handle) {
    Maptrack& handles = domain.grants.handles;
    const GrantMapping* const mapping = handles.claim(handle);
    if (mapping == nullptr) return;
    const uint16_t state = mapping->state.load(std::memory_order_relaxed);
    const GrantAccess access =
        (state & GrantMapping::kReadonly) != 0 ? GrantAccess::kRead : GrantAccess::kWrite;
    const DomainRef granter(find_domain(mapping->granter));
    // The pins hold a frame of the granter, and that holds the granter.
    BUG_ON(!granter);
    if ((state & GrantMapping::kHost) != 0) granter->grants.unpin(mapping->ref, access);
    if ((state & GrantMapping::kDevice) != 0) granter->grants.unpin(mapping->ref, access);
    handles.release(handle);
}

}  // namespace

Result<> grow_grant_table(Domain& domain, uint32_t frames) {
    if (frames > domain.grants.frame_limit()) return Errno::kEINVAL;
    while (domain.grants.frame_count() < frames) {
        const Result<> added = add_table_page(domain);
        // Somebody else may have added the last page meanwhile: the loop's condition tells.
        if (!added.ok() && added.error() != Errno::kENOSPC) return added;
    }
    return {};
}

Result<> get_grant_frames(Domain& domain, uint64_t first, std::span<Mfn> out) {
    const uint64_t limit = domain.grants.frame_limit();
    if (first > limit || out.size() > limit - first) return Errno::kEINVAL;
    TRY(grow_grant_table(domain, static_cast<uint32_t>(first + out.size())));
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = domain.grants.frame(static_cast<uint32_t>(first + i));
    return {};
}

Result<> release_all_grants(Domain& domain, Budget& budget) {
    GrantTable& grants = domain.grants;
    if (grants.handles.in_use() == 0) grants.release_cursor = grants.handles.used_so_far();
    while (grants.release_cursor < grants.handles.used_so_far()) {
        if (!budget.spend(1)) return Errno::kERESTART;
        release_handle(domain, GrantHandle(grants.release_cursor++));
    }
    for (;;) {
        if (!budget.spend(kCostOfPage)) return Errno::kERESTART;
        const Mfn page = grants.close_one_frame();
        if (page == kInvalidMfn) return {};
        stop_sharing_frame(page);
    }
}

}  // namespace torii
