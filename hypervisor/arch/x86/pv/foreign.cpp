#include "arch/x86/pv/foreign.h"

#include <torii/abi/domid.h>

#include "core/domain/domain.h"

namespace torii::pv {
namespace {

struct Found {
    Domain* domain = nullptr;
    bool held = false;
};

Result<Found> find(CallContext& context, uint16_t domid) {
    if (domid == abi::kDomIdSelf || domid == context.domain().id.raw())
        return Found{&context.domain(), false};
    if (!context.domain().privileged) return Errno::kEPERM;
    // DOMID_IO names memory that is nobody's: whoever may map it maps it as the caller.
    if (domid == abi::kDomIdIo || domid == abi::kDomIdXen) return Found{&context.domain(), false};
    Domain* const domain = find_domain(DomId(domid));
    if (domain == nullptr) return Errno::kESRCH;
    return Found{domain, true};
}

}  // namespace

Result<ForeignPair> find_table_and_frame_owner(CallContext& context, uint32_t domains) {
    const Found frame_owner = TRY(find(context, static_cast<uint16_t>(domains)));
    const auto table_code = static_cast<uint16_t>(domains >> 16);
    if (table_code == 0) return ForeignPair(&context.domain(), frame_owner.domain, false, frame_owner.held);
    Result<Found> table_owner = find(context, static_cast<uint16_t>(table_code - 1));
    if (!table_owner.ok()) {
        if (frame_owner.held) put_domain(*frame_owner.domain);
        return table_owner.error();
    }
    return ForeignPair(table_owner.value().domain, frame_owner.domain, table_owner.value().held,
                       frame_owner.held);
}

}  // namespace torii::pv
