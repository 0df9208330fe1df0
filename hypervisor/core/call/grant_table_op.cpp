// grant_table_op: rdi names the operation, rsi an array, rdx its length (public grant_table.h).
#include <torii/abi/grant_table.h>

#include "core/call/grant_call.h"
#include "core/call/handlers.h"
#include "core/domain/grants.h"
#include "core/domain/privilege.h"
#include "core/memory/m2p.h"
#include "core/memory/reservation.h"

namespace torii::call {
namespace {

using abi::GrantStatus;
using abi::GrantTableOp;

constexpr uint32_t kTransferChunk = 16;
constexpr uint32_t kSwapChunk = 16;

constexpr int16_t raw(GrantStatus status) {
    return static_cast<int16_t>(status);
}

// The domain that a table operation is about; null with `status` set.
Domain* find_target(NamedDomain& domains, const Domain& caller, abi::RawDomId id, GrantStatus& status) {
    Domain* const target = domains.find_living(id);
    if (target == nullptr) {
        status = GrantStatus::kBadDomain;
        return nullptr;
    }
    status = may_ask_about(caller, *target) ? GrantStatus::kOkay : GrantStatus::kPermissionDenied;
    return status == GrantStatus::kOkay ? target : nullptr;
}

GrantStatus list_frames(Domain& target, const abi::GrantSetupTable& request) {
    const GuestArray<uint64_t> list(request.frame_list);
    if (!grow_grant_table(target, request.nr_frames).ok()) return GrantStatus::kGeneralError;
    for (uint32_t i = 0; i < request.nr_frames; ++i) {
        if (!list.write(i, target.grants.frame(i).raw()).ok()) return GrantStatus::kBadVirtAddr;
    }
    return GrantStatus::kOkay;
}

CallResult setup_table(CallContext& context, uint64_t address, uint32_t count) {
    if (count != 1) return Errno::kEINVAL;
    const GuestInOut<abi::GrantSetupTable> argument(address);
    abi::GrantSetupTable request;
    TRY(argument.copy_in(request));
    NamedDomain domains(context.domain());
    GrantStatus status{};
    Domain* const target = find_target(domains, context.domain(), request.dom, status);
    if (target != nullptr) status = list_frames(*target, request);
    request.status = raw(status);
    TRY(argument.copy_out(request));
    return 0;
}

CallResult query_size(CallContext& context, uint64_t address, uint32_t count) {
    if (count != 1) return Errno::kEINVAL;
    const GuestInOut<abi::GrantQuerySize> argument(address);
    abi::GrantQuerySize request;
    TRY(argument.copy_in(request));
    NamedDomain domains(context.domain());
    GrantStatus status{};
    const Domain* const target = find_target(domains, context.domain(), request.dom, status);
    if (target != nullptr) {
        request.nr_frames = target->grants.frame_count();
        request.max_nr_frames = target->grants.frame_limit();
    }
    request.status = raw(status);
    TRY(argument.copy_out(request));
    return 0;
}

// Version 2 is not offered; asking for the version that is in use anyway succeeds.
CallResult set_version(uint64_t address) {
    const GuestInOut<abi::GrantSetVersion> argument(address);
    abi::GrantSetVersion request;
    TRY(argument.copy_in(request));
    if (request.version == 2) return Errno::kENOSYS;
    if (request.version != 1) return Errno::kEINVAL;
    TRY(argument.copy_out(request));
    return 0;
}

CallResult get_version(CallContext& context, uint64_t address) {
    const GuestInOut<abi::GrantGetVersion> argument(address);
    abi::GrantGetVersion request;
    TRY(argument.copy_in(request));
    NamedDomain domains(context.domain());
    GrantStatus status{};
    if (find_target(domains, context.domain(), request.dom, status) == nullptr)
        return status == GrantStatus::kBadDomain ? Errno::kESRCH : Errno::kEPERM;
    request.version = 1;
    TRY(argument.copy_out(request));
    return 0;
}

// Tables of version 1 have no status frames.
CallResult get_status_frames(CallContext& context, uint64_t address, uint32_t count) {
    if (count != 1) return Errno::kEINVAL;
    const GuestInOut<abi::GrantGetStatusFrames> argument(address);
    abi::GrantGetStatusFrames request;
    TRY(argument.copy_in(request));
    NamedDomain domains(context.domain());
    GrantStatus status{};
    if (find_target(domains, context.domain(), request.dom, status) != nullptr)
        status = GrantStatus::kGeneralError;
    request.status = raw(status);
    TRY(argument.copy_out(request));
    return 0;
}

CallResult swap_refs(CallContext& context, uint64_t array, uint32_t count) {
    GrantTable& grants = context.domain().grants;
    return for_each_chunk<abi::GrantSwapRef, kSwapChunk>(
        context, array, count,
        [&](std::span<abi::GrantSwapRef> elements) {
            for (abi::GrantSwapRef& element : elements)
                element.status = raw(grants.swap(GrantRef(element.ref_a), GrantRef(element.ref_b)));
        },
        [](std::span<abi::GrantSwapRef>) {});
}

// Gives a stolen frame to `to` through the entry that waits for it.
GrantStatus deliver_frame(const Domain& from, Domain* to, Mfn mfn, GrantRef ref) {
    if (to == nullptr) return GrantStatus::kBadDomain;
    const GrantStatus status = to->grants.begin_transfer(ref, from.id);
    if (status != GrantStatus::kOkay) return status;
    const bool assigned = assign_frame(*to, mfn, true).ok();
    to->grants.end_transfer(ref, assigned ? mfn : kInvalidMfn);
    return assigned ? GrantStatus::kOkay : GrantStatus::kGeneralError;
}

GrantStatus transfer_one(Domain& from, NamedDomain& targets, const abi::GrantTransfer& element) {
    const Mfn mfn(element.mfn);
    // Also refused: frames that somebody maps or uses as a table.
    if (!steal_frame(from, mfn).ok()) return GrantStatus::kBadPage;
    m2p_clear(mfn);
    // From here on the frame is no longer the caller's, whatever happens (public grant_table.h).
    const GrantStatus status =
        deliver_frame(from, targets.find_living(element.domid), mfn, GrantRef(element.ref));
    if (status != GrantStatus::kOkay) free_stolen_frame(mfn);
    return status;
}

}  // namespace

void NamedDomain::look_up(DomId id) {
    drop();
    held_ = find_domain(id);
}

CallResult transfer_grants(CallContext& context, uint64_t array, uint32_t count) {
    NamedDomain targets(context.domain());
    return for_each_chunk<abi::GrantTransfer, kTransferChunk>(
        context, array, count,
        [&](std::span<abi::GrantTransfer> elements) {
            for (abi::GrantTransfer& element : elements)
                element.status = raw(transfer_one(context.domain(), targets, element));
        },
        [](std::span<abi::GrantTransfer>) {});
}

CallResult grant_table_op(CallContext& context) {
    const uint64_t array = context.arg<1>();
    const uint32_t count = context.arg32<2>();
    // The public interface counts with a signed number.
    if (static_cast<int32_t>(count) < 0) return Errno::kEINVAL;
    switch (static_cast<GrantTableOp>(context.arg32<0>())) {
        case GrantTableOp::kMapGrantRef:
            return map_grants(context, array, count);
        case GrantTableOp::kUnmapGrantRef:
            return unmap_grants(context, array, count);
        case GrantTableOp::kUnmapAndReplace:
            return unmap_and_replace_grants(context, array, count);
        case GrantTableOp::kCopy:
            return copy_grants(context, array, count);
        case GrantTableOp::kTransfer:
            return transfer_grants(context, array, count);
        case GrantTableOp::kSwapGrantRef:
            return swap_refs(context, array, count);
        case GrantTableOp::kSetupTable:
            return setup_table(context, array, count);
        case GrantTableOp::kQuerySize:
            return query_size(context, array, count);
        case GrantTableOp::kSetVersion:
            return set_version(array);
        case GrantTableOp::kGetVersion:
            return get_version(context, array);
        case GrantTableOp::kGetStatusFrames:
            return get_status_frames(context, array, count);
        // A way to fill the console with guest data, and a call that only non-coherent machines need.
        case GrantTableOp::kDumpTable:
            return Errno::kENOSYS;
        case GrantTableOp::kCacheFlush:
            return Errno::kEOPNOTSUPP;
    }
    return Errno::kENOSYS;
}

}  // namespace torii::call
