// GNTTABOP_copy: bytes from one page to another, each end a grant or a frame of the caller.
#include <cstring>
#include <span>

#include "core/call/grant_call.h"
#include "port/frames.h"

namespace torii::call {
namespace {

using abi::GrantStatus;

constexpr uint32_t kCopyChunk = 16;

// One end of a copy: its page, pinned. It stays pinned while consecutive elements name the same page, as
// those of a network backend do.
class CopyEnd {
public:
    CopyEnd(Domain& caller, GrantAccess access) : caller_(caller), access_(access), granters_(caller) {}
    CopyEnd(const CopyEnd&) = delete;
    ~CopyEnd() { close(); }

    // Inlined, as are its parts: a network backend names another page with each element.
    [[nodiscard, gnu::always_inline]] GrantStatus open(const abi::GrantCopyPointer& end, bool is_grant) {
        const Name name{is_grant ? uint64_t{end.u.ref} : end.u.gmfn,
                        uint32_t{end.domid} | (is_grant ? kGrant : 0)};
        if (frame_ != nullptr && name == name_) return GrantStatus::kOkay;
        close();
        name_ = name;
        if (is_grant) [[likely]]
            return open_grant(end);
        return open_own_frame(end);
    }
    // The page, after a successful `open`.
    [[nodiscard]] Mfn mfn() const { return mfn_of(*frame_); }

    void close() {
        if (frame_ == nullptr) return;
        if (granter_ != nullptr) {
            granter_->grants.unpin(pin_, access_);
        } else {
            if (access_ == GrantAccess::kWrite) put_writable(*frame_);
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
            FrameRef frame;
            return keep(granter->grants.take_own(ref, access_, frame), frame);
        }
        const GrantStatus status = granter->grants.pin(ref, caller_.id, access_, pin_);
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
        if (access_ == GrantAccess::kWrite && !get_writable(*frame)) return GrantStatus::kGeneralError;
        return keep(GrantStatus::kOkay, frame);
    }

    // The references of a frame of the caller, if it has been opened.
    GrantStatus keep(GrantStatus status, FrameRef& frame) {
        if (status != GrantStatus::kOkay) [[unlikely]]
            return status;
        frame_ = frame.release();
        granter_ = nullptr;
        return status;
    }

    Domain& caller_;
    const GrantAccess access_;
    NamedDomain granters_;       // keeps granter_: our pin may be the last thing that did
    Frame* frame_ = nullptr;     // null: nothing is open
    Domain* granter_ = nullptr;  // null: a frame of the caller
    GrantTable::Pin pin_;        // with a granter
    Name name_;
};

void copy_bytes(Mfn to, uint64_t to_offset, Mfn from, uint64_t from_offset, uint64_t bytes) {
    if (bytes == kPageSize && to != from) return copy_frame(to, from);
    const MappedFrame source(from);
    const MappedFrame destination(to);
    // A caller may name one page twice.
    memmove(destination.as<unsigned char>() + to_offset, source.as<const unsigned char>() + from_offset,
            bytes);
}

GrantStatus copy_one(CopyEnd& source, CopyEnd& destination, const abi::GrantCopy& element) {
    const uint64_t bytes = element.len;
    if (element.source.offset + bytes > kPageSize || element.dest.offset + bytes > kPageSize) [[unlikely]]
        return GrantStatus::kBadCopyArg;
    GrantStatus status = source.open(element.source, (element.flags & abi::kGrantCopySourceGref) != 0);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    status = destination.open(element.dest, (element.flags & abi::kGrantCopyDestGref) != 0);
    if (status != GrantStatus::kOkay) [[unlikely]]
        return status;
    copy_bytes(destination.mfn(), element.dest.offset, source.mfn(), element.source.offset, bytes);
    return GrantStatus::kOkay;
}

}  // namespace

CallResult copy_grants(CallContext& context, uint64_t array, uint32_t count) {
    Domain& caller = context.domain();
    CopyEnd source(caller, GrantAccess::kRead);
    CopyEnd destination(caller, GrantAccess::kWrite);
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
