// GNTTABOP_copy: bytes from one page to another, each end a grant or a frame of the caller.
#include <span>

#include "core/call/grant_call.h"
#include "core/grant/pinning.h"
#include "port/frames.h"

namespace torii::call {
namespace {

using abi::GrantStatus;

constexpr uint32_t kCopyChunk = 16;

// One end of a copy: its page, pinned. It stays pinned while consecutive elements name the same page, as
// those of a network backend do.
template <GrantAccess access>
class CopyEnd {
public:
    explicit CopyEnd(Domain& caller) : caller_(caller), granters_(caller) {}
    CopyEnd(const CopyEnd&) = delete;
    ~CopyEnd() { close(); }

    // Inlined, as are its parts: a network backend names another page with each element.
    [[nodiscard, gnu::always_inline]] GrantStatus open(const abi::GrantCopyPointer& end, bool is_grant) {
        // All of the union: what lies beside a grant reference doesn't change what is meant.
        const Name name{end.u.gmfn, uint32_t{end.domid} | (is_grant ? kGrant : 0)};
        if (frame_ != nullptr) {
            if (name == name_) return GrantStatus::kOkay;
            if (granter_ != nullptr) {
                GrantTable::unpin_inlined(pin_, access);
            } else {
                if (access == GrantAccess::kWrite) inlined::put_writable(*frame_);
                inlined::put_frame(*frame_);
            }
            frame_ = nullptr;
        }
        name_ = name;
        if (is_grant) [[likely]]
            return open_grant(end);
        return open_own_frame(end);
    }
    // The page, after a successful `open`.
    [[nodiscard]] Mfn mfn() const { return mfn_of(*frame_); }

    // As before each other page, but once for many, by way of calls.
    [[gnu::noinline]] void close() {
        if (frame_ == nullptr) return;
        if (granter_ != nullptr) {
            GrantTable::unpin(pin_, access);
        } else {
            if (access == GrantAccess::kWrite) put_writable(*frame_);
            put_frame(*frame_);
        }
        frame_ = nullptr;
    }

private:
    // What an element calls the page.
    struct Name {
        uint64_t number = 0;  // grant reference or frame
        uint32_t granter = 0;
        friend bool operator==(Name, Name) = default;
    };
    static constexpr uint32_t kGrant = 1 << 16;

    [[gnu::always_inline]] GrantStatus open_grant(const abi::GrantCopyPointer& end) {
        Domain* const granter = granters_.find_living(end.domid);
        if (granter == nullptr) [[unlikely]]
            return GrantStatus::kBadDomain;
        const GrantRef ref(end.u.ref);
        if (granter == &caller_) {
            granter_ = nullptr;
            return granter->grants.take_own(ref, access, frame_);
        }
        const GrantStatus status = granter->grants.pin_inlined(ref, caller_.id, access, pin_);
        if (status != GrantStatus::kOkay) [[unlikely]]
            return status;
        frame_ = pin_.frame();
        granter_ = granter;
        return status;
    }

    [[gnu::noinline]] GrantStatus open_own_frame(const abi::GrantCopyPointer& end) {
        if (end.domid != abi::kDomIdSelf) return GrantStatus::kPermissionDenied;
        FrameRef frame = FrameRef::take(Mfn(end.u.gmfn), caller_.id);
        if (!frame) return GrantStatus::kBadPage;
        if (access == GrantAccess::kWrite && !get_writable(*frame)) return GrantStatus::kGeneralError;
        frame_ = frame.release();
        granter_ = nullptr;
        return GrantStatus::kOkay;
    }

    Domain& caller_;
    NamedDomain granters_;       // keeps granter_: our pin may be the last thing that did
    Frame* frame_ = nullptr;     // null: nothing is open
    Domain* granter_ = nullptr;  // null: a frame of the caller
    GrantTable::Pin pin_;        // with a granter
    Name name_;
};

template <class Source, class Destination>
[[gnu::always_inline]] inline GrantStatus copy_one(Source& source, Destination& destination,
                                                   const abi::GrantCopy& element) {
    const uint64_t bytes = element.len;
    if (element.source.offset + bytes > kPageSize || element.dest.offset + bytes > kPageSize) [[unlikely]]
        return GrantStatus::kBadCopyArg;
    GrantStatus status = source.open(element.source, (element.flags & abi::kGrantCopySourceGref) != 0);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    status = destination.open(element.dest, (element.flags & abi::kGrantCopyDestGref) != 0);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    const MappedFrame from(source.mfn());
    const MappedFrame to(destination.mfn());
    move_guest_bytes(to.as<unsigned char>() + element.dest.offset,
                     from.as<const unsigned char>() + element.source.offset, bytes);
    return GrantStatus::kOkay;
}

}  // namespace

CallResult copy_grants(CallContext& context, uint64_t array, uint32_t count) {
    Domain& caller = context.domain();
    CopyEnd<GrantAccess::kRead> source(caller);
    CopyEnd<GrantAccess::kWrite> destination(caller);
    return for_each_chunk<abi::GrantCopy, kCopyChunk>(
        context, array, count,
        [&](std::span<abi::GrantCopy> elements) {
            for (abi::GrantCopy& element : elements)
                element.status = static_cast<int16_t>(copy_one(source, destination, element));
            // The statuses tell that the copies are done: the marks are gone by then.
            source.close();
            destination.close();
        },
        [](std::span<abi::GrantCopy>) {});
}

}  // namespace torii::call
